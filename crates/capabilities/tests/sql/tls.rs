//! TLS to the servers, with an authority of our own.

use crate::with::{Database, at, block_on, one};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sampan_capabilities::sql::{Dialect, Error, Value};
use sampan_testing::servers::{MariaDb, Postgres};

struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for `localhost`, not for its address; and its key.
    fn server(&self) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        (params.signed_by(&key, &self.issuer).expect("a certificate").pem(), key.serialize_pem())
    }
}

/// Opens a handle with the mode, the host and the authority; whether the connection is encrypted.
fn encrypted(dialect: Dialect, url: &str, ca: Option<&str>) -> Result<bool, Error> {
    let mut database: Database = at(dialect, url);
    let folder = sampan_testing::temp_dir();
    if let Some(ca) = ca {
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, ca).expect("a file in our own folder");
        database.store.ca = Some(path);
    }
    let granted = database.granted();
    block_on(async {
        let db = granted.open(dialect, "db", None).await?;
        Ok(match dialect {
            Dialect::Postgres => {
                let statement = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
                one(&db, statement, &[]).await? == Value::Boolean(true)
            }
            _ => {
                let statement = "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'";
                one(&db, statement, &[]).await? != Value::Text(String::new())
            }
        })
    })
}

/// Mode, host, with our authority or none; the outcome.
const MODES: &[(&str, &str, bool, Option<bool>)] = &[
    ("disable", "127.0.0.1", false, Some(false)),
    ("prefer", "127.0.0.1", false, Some(true)),
    ("require", "127.0.0.1", false, Some(true)),
    ("verify-ca", "127.0.0.1", true, Some(true)),
    ("verify-ca", "127.0.0.1", false, None),
    ("verify-full", "localhost", true, Some(true)),
    ("verify-full", "localhost", false, None),
    ("verify-full", "127.0.0.1", true, None),
];

fn check(dialect: Dialect, url: &str, parameter: &str, authority: &Authority) {
    let stranger = Authority::new();
    for (mode, host, trusted, expected) in MODES {
        let url = format!("{}?{parameter}={mode}", url.replace("127.0.0.1", host));
        let ca = trusted.then_some(authority.certificate.as_str());
        let result = encrypted(dialect, &url, ca);
        // MySQL's driver cannot leave out the name.
        let expected =
            if dialect == Dialect::MySql && *host == "127.0.0.1" && *trusted { &None } else { expected };
        match expected {
            Some(expected) => assert_eq!(result, Ok(*expected), "{dialect:?} {mode} {host} {trusted}"),
            None => {
                let Err(Error::Connection(text)) = result else { panic!("{mode} {host}: {result:?}") };
                assert!(text.contains("certificate"), "{mode} {host}: {text}");
            }
        }
    }
    // With an authority given, `require` is not satisfied by another one.
    let url = format!("{}?{parameter}=require", url.replace("127.0.0.1", "localhost"));
    assert_eq!(encrypted(dialect, &url, Some(&authority.certificate)), Ok(true));
    assert!(matches!(encrypted(dialect, &url, Some(&stranger.certificate)), Err(Error::Connection(_))));
}

#[test]
fn postgres_by_mode() {
    let authority = Authority::new();
    let (certificate, key) = authority.server();
    let Some(server) = Postgres::start_tls(&certificate, &key) else { return };
    check(Dialect::Postgres, &server.url(), "sslmode", &authority);
    // A guest brings its own authority.
    let url = format!("{}?sslmode=verify-full", server.url().replace("127.0.0.1", "localhost"));
    let grants = crate::guests::reach("postgres", "localhost", server.port);
    for (ca, expected) in [
        (&authority.certificate, "[[DbValue::Int32(1)]]"),
        (&Authority::new().certificate, "certificate"),
        (&"nonsense".to_owned(), "not in PEM"),
    ] {
        let grants = sampan_app::Grants { env: vec![("CA".to_owned(), ca.clone())], ..grants.clone() };
        let lines =
            crate::guests::lines("sql-v3", &sampan_app::App::default(), &grants, &["postgres-ca", &url]);
        assert!(lines[0].contains(expected), "{lines:?}");
    }
}

#[test]
fn mariadb_by_mode() {
    let authority = Authority::new();
    let (certificate, key) = authority.server();
    let Some(server) = MariaDb::start_tls(&certificate, &key) else { return };
    check(Dialect::MySql, &server.url(), "ssl-mode", &authority);
}

#[test]
fn a_server_without_tls() {
    let mut cases = Vec::new();
    cases.extend(crate::with::postgres().map(|server| (Dialect::Postgres, server.url(), "sslmode")));
    cases.extend(crate::with::mariadb().map(|server| (Dialect::MySql, server.url(), "ssl-mode")));
    for (dialect, url, parameter) in cases {
        assert_eq!(encrypted(dialect, &url, None), Ok(false), "{dialect:?}");
        let required = encrypted(dialect, &format!("{url}?{parameter}=require"), None);
        assert!(matches!(required, Err(Error::Connection(_))), "{dialect:?}: {required:?}");
    }
}
