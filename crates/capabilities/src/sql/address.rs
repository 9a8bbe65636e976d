//! Where a database server is: the addresses that manifests and guests write.
//!
//! PostgreSQL's come as a URL or as `host=… user=…`, MySQL's as a URL. Only what is understood here reaches
//! a driver: no files of this machine (sockets, certificates, keys), no options that change how a driver
//! treats it. No message repeats the text of an address, because it may contain a password.

use super::Error;
use super::tls::TlsMode;
use crate::http::policy::Space;
use percent::decode;
use sampan_app::{HostPattern, Origin};
use std::net::{IpAddr, SocketAddr};
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use url::Url;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// An address has so many bytes at most.
const TEXT_MAX: usize = 4 << 10;

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    /// The grants under which a guest reaches it; `None` where the manifest names it.
    reach: Option<Vec<HostPattern>>,
}

/// What an address says.
#[derive(Clone, Debug)]
pub enum Address {
    /// The configuration is without hosts and TLS.
    Postgres {
        servers: Vec<Server>,
        tls: TlsMode,
        config: Box<Config>,
    },
    MySql {
        server: Server,
        tls: TlsMode,
        login: Login,
    },
}

#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub password: Option<String>,
    pub database: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

fn bad(text: impl Into<String>) -> Error {
    Error::Connection(text.into())
}

impl Address {
    pub fn postgres(text: &str) -> Result<Address, Error> {
        if text.len() > TEXT_MAX {
            return Err(bad("the address is too long"));
        }
        let (text, mode) = take_parameter(text, "sslmode");
        let (text, _) = take_parameter(&text, "sslrootcert");
        let tls = match mode {
            None => TlsMode::default(),
            Some(mode) => TlsMode::parse(&mode)
                .ok_or_else(|| bad("sslmode is disable, prefer, require, verify-ca or verify-full"))?,
        };
        let parsed: Config = text.parse().map_err(|_| {
            bad("the address is not postgres://USER:PASSWORD@HOST:PORT/DATABASE or host=HOST user=USER …")
        })?;
        if !parsed.get_hostaddrs().is_empty() {
            return Err(bad("the address may not have `hostaddr`; write the address as the host"));
        }
        let (hosts, ports) = (parsed.get_hosts(), parsed.get_ports());
        let mut servers = Vec::new();
        for (index, host) in hosts.iter().enumerate() {
            let Host::Tcp(host) = host else {
                return Err(bad("a Unix socket cannot be granted; write a host"));
            };
            let port = match ports {
                [] => 5432,
                [one] => *one,
                many => many.get(index).copied().unwrap_or(5432),
            };
            servers.push(Server::new(host, port)?);
        }
        if servers.is_empty() {
            servers.push(Server::new("localhost", ports.first().copied().unwrap_or(5432))?);
        }
        let mut config = Config::new();
        config.user(parsed.get_user().ok_or_else(|| bad("the address names no user"))?);
        config.application_name(parsed.get_application_name().unwrap_or("sampan"));
        config.channel_binding(parsed.get_channel_binding());
        config.target_session_attrs(parsed.get_target_session_attrs());
        if let Some(password) = parsed.get_password() {
            config.password(password);
        }
        if let Some(database) = parsed.get_dbname() {
            config.dbname(database);
        }
        if let Some(options) = parsed.get_options() {
            config.options(options);
        }
        Ok(Address::Postgres { servers, tls, config: Box::new(config) })
    }

    pub fn mysql(text: &str) -> Result<Address, Error> {
        if text.len() > TEXT_MAX {
            return Err(bad("the address is too long"));
        }
        let wrong = || bad("the address is not mysql://USER:PASSWORD@HOST:PORT/DATABASE");
        let url = Url::parse(text).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "mysql" | "mariadb") {
            return Err(wrong());
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let server = Server::new(&decode(host).ok_or_else(wrong)?, url.port().unwrap_or(3306))?;
        let mut tls = TlsMode::default();
        for (name, value) in url.query_pairs() {
            match name.to_ascii_lowercase().replace('_', "-").as_str() {
                "ssl-mode" | "sslmode" => {
                    tls = TlsMode::parse(&value).ok_or_else(|| {
                        bad("ssl-mode is disabled, preferred, required, verify-ca or verify-identity")
                    })?;
                }
                "require-ssl" if value == "true" => tls = TlsMode::VerifyFull,
                "require-ssl" => tls = TlsMode::Disable,
                // Sizes of a driver's own pool; ours are in the manifest.
                name if name.starts_with("pool-") || name.ends_with("-ttl") => {}
                "charset" | "stmt-cache-size" | "tcp-nodelay" | "prefer-socket" => {}
                other => return Err(bad(format!("the address has a parameter that is not known: {other}"))),
            }
        }
        let part = |text: &str| decode(text).filter(|text| !text.is_empty());
        let login = Login {
            user: part(url.username()).ok_or_else(|| bad("the address names no user"))?,
            password: url.password().and_then(part),
            database: part(url.path().trim_start_matches('/')),
        };
        Ok(Address::MySql { server, tls, login })
    }

    pub fn scheme(&self) -> &'static str {
        match self {
            Address::Postgres { .. } => "postgres",
            Address::MySql { .. } => "mysql",
        }
    }

    pub fn servers(&self) -> &[Server] {
        match self {
            Address::Postgres { servers, .. } => servers,
            Address::MySql { server, .. } => std::slice::from_ref(server),
        }
    }

    /// Lets a guest with these grants reach the servers, or names the first that it may not.
    pub fn grant(&mut self, grants: &[Origin]) -> Result<(), String> {
        let scheme = self.scheme();
        let servers = match self {
            Address::Postgres { servers, .. } => servers.as_mut_slice(),
            Address::MySql { server, .. } => std::slice::from_mut(server),
        };
        for server in servers {
            let covering = grants.iter().filter(|origin| server.granted(origin, scheme));
            let reach: Vec<HostPattern> = covering.map(|origin| origin.host.clone()).collect();
            server.reach = Some(reach);
            let literal = server.host.parse().map_or(true, |address| server.reaches(address));
            if server.reach.as_ref().is_some_and(Vec::is_empty) || !literal {
                return Err(format!("{scheme}://{server}"));
            }
        }
        Ok(())
    }

    /// The grants under which the servers are reached, for telling addresses apart.
    pub fn reach(&self) -> String {
        self.servers().iter().map(|server| format!("{:?}", server.reach)).collect()
    }
}

/// Scheme and servers, for messages.
pub fn label(scheme: &str, servers: &[Server]) -> String {
    let list: Vec<String> = servers.iter().map(Server::to_string).collect();
    format!("{scheme}://{}", list.join(","))
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}:{}", self.host, self.port)
    }
}

impl Server {
    fn new(host: &str, port: u16) -> Result<Server, Error> {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() || port == 0 || host.starts_with('/') || host.chars().any(char::is_control) {
            return Err(bad("the address names no host that can be reached"));
        }
        Ok(Server { host, port, reach: None })
    }

    /// Whether the grant covers scheme, host and port. A network may cover what the name leads to.
    fn granted(&self, origin: &Origin, scheme: &str) -> bool {
        let schemes = if scheme == "postgres" { ["postgres", "postgresql"] } else { ["mysql", "mariadb"] };
        let host = match &origin.host {
            HostPattern::Network(_) if self.host.parse::<IpAddr>().is_err() => "*".parse(),
            other => Ok(other.clone()),
        };
        let Ok(host) = host else { return false };
        let origin = Origin { scheme: origin.scheme.clone(), host, port: origin.port };
        schemes.iter().any(|scheme| origin.allows(scheme, &self.host, self.port))
    }

    /// Whether the address may be connected to: the rule of outbound HTTP (`http/policy.rs`).
    fn reaches(&self, address: IpAddr) -> bool {
        let Some(reach) = &self.reach else { return true };
        let space = Space::of(address);
        reach.iter().any(|pattern| match pattern {
            HostPattern::Any | HostPattern::Below(_) | HostPattern::Pattern(_) => space == Space::Public,
            HostPattern::Name(_) => space != Space::Special,
            HostPattern::Network(_) => pattern.matches_address(address),
        })
    }

    /// The addresses to try.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, Error> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found = found.map_err(|error| bad(format!("cannot find {}: {error}", self.host)))?;
        let found: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
        let usable: Vec<SocketAddr> =
            found.iter().copied().filter(|address| self.reaches(address.ip())).collect();
        match (found.first(), usable.is_empty()) {
            (Some(first), true) => {
                Err(bad(format!("{} leads to {}, which is not granted", self.host, first.ip())))
            }
            (None, _) => Err(bad(format!("{} leads to no address", self.host))),
            _ => Ok(usable),
        }
    }
}

/// Takes a parameter out of a URL's query or out of `name=value name='value'`.
fn take_parameter(text: &str, name: &str) -> (String, Option<String>) {
    if text.contains("://") {
        let Some((before, query)) = text.split_once('?') else { return (text.to_owned(), None) };
        let is = |pair: &&str| pair.split_once('=').is_some_and(|(key, _)| key == name);
        let value = query.split('&').find(is).and_then(|pair| pair.split_once('='));
        let rest: Vec<&str> = query.split('&').filter(|pair| !is(pair)).collect();
        let rest = if rest.is_empty() { before.to_owned() } else { format!("{before}?{}", rest.join("&")) };
        return (rest, value.map(|(_, value)| value.to_owned()));
    }
    let (mut rest, mut value) = (Vec::new(), None);
    for word in words(text) {
        match word.split_once('=') {
            Some((key, found)) if key.trim() == name => {
                value = Some(found.trim().trim_matches('\'').to_owned())
            }
            _ => rest.push(word),
        }
    }
    (rest.join(" "), value)
}

/// Splits at spaces outside of quotes; `\` protects the next character.
fn words(text: &str) -> Vec<&str> {
    let (mut words, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' => quoted = !quoted,
            _ if character.is_whitespace() && !quoted => {
                words.push(&text[start..at]);
                start = at + character.len_utf8();
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words.retain(|word| !word.is_empty());
    words
}

mod percent {
    /// Undoes the URL's encoding; `None` if it is not UTF-8.
    pub fn decode(text: &str) -> Option<String> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            let digits = tail.first_chunk::<2>().filter(|_| *first == b'%');
            let byte =
                digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
            bytes.push(byte.unwrap_or(*first));
            rest = if byte.is_some() { &tail[2..] } else { tail };
        }
        String::from_utf8(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_app::PortPattern;

    #[test]
    fn parameters_are_taken_out_of_both_forms() {
        let table = [
            ("postgres://u:p@h/d?sslmode=require", "postgres://u:p@h/d", Some("require")),
            ("postgres://u:p@h/d?a=b&sslmode=x&c=d", "postgres://u:p@h/d?a=b&c=d", Some("x")),
            ("host=h sslmode=disable user=u", "host=h user=u", Some("disable")),
            ("host=h password='a sslmode=x b' user=u", "host=h password='a sslmode=x b' user=u", None),
            (r"host=h password=a\ sslmode=x", r"host=h password=a\ sslmode=x", None),
        ];
        for (text, rest, value) in table {
            assert_eq!(
                take_parameter(text, "sslmode"),
                (rest.to_owned(), value.map(str::to_owned)),
                "{text}"
            );
        }
    }

    #[test]
    fn servers_of_addresses() {
        let table = [
            ("postgres://u:p@db.internal/d", "postgres://db.internal:5432"),
            ("postgresql://u:p@[::1]:5433/d?sslmode=verify-full", "postgres://[::1]:5433"),
            ("host=a,b port=1,2 user=u", "postgres://a:1,b:2"),
            ("user=u", "postgres://localhost:5432"),
            ("mysql://u:p%40ss@127.0.0.1/d", "mysql://127.0.0.1:3306"),
            ("mysql://u@db:3307/d?ssl-mode=REQUIRED", "mysql://db:3307"),
        ];
        for (text, label) in table {
            let address =
                if text.starts_with("mysql") { Address::mysql(text) } else { Address::postgres(text) };
            let address = address.expect(text);
            assert_eq!(super::label(address.scheme(), address.servers()), label);
        }
        let Ok(Address::MySql { login, .. }) = Address::mysql("mysql://u:p%40ss@h/d") else { panic!() };
        assert_eq!(
            (login.user, login.password.unwrap(), login.database.unwrap()),
            ("u".into(), "p@ss".into(), "d".into())
        );
    }

    #[test]
    fn what_reaches_files_or_hides_a_host_is_refused() {
        let table = [
            "host=/var/run/postgresql user=u",
            "postgres://u@%2Fvar%2Frun/d",
            "host=good hostaddr=127.0.0.1 user=u",
            "postgres://h/d",
            "postgres://u:secret@h:99999/d",
            "mysql://u:secret@h/d?socket=/run/mysqld/mysqld.sock",
            "mysql://u:secret@/d",
            "mysql://:secret@h/d",
            "sqlite://secret",
            "",
        ];
        for text in table {
            for parsed in [Address::postgres(text), Address::mysql(text)] {
                let error = parsed.expect_err(text).to_string();
                assert!(!error.contains("secret"), "{text}: {error}");
            }
        }
        // Only MySQL's way of writing is left for it.
        assert!(Address::mysql("postgres://u@h/d").is_err());
    }

    fn origin(scheme: &str, host: &str, port: PortPattern) -> Origin {
        Origin { scheme: (scheme != "*").then(|| scheme.to_owned()), host: host.parse().unwrap(), port }
    }

    #[test]
    fn grants_cover_scheme_host_and_port() {
        use PortPattern::{Any, One};
        let table = [
            ("postgres://u@db/d", origin("postgres", "db", One(5432)), true),
            ("postgres://u@db/d", origin("postgresql", "db", One(5432)), true),
            ("postgres://u@db/d", origin("mysql", "db", Any), false),
            ("postgres://u@db:1/d", origin("postgres", "db", One(5432)), false),
            ("postgres://u@db,evil/d", origin("postgres", "db", Any), false),
            ("postgres://u@127.0.0.1/d", origin("*", "*", Any), false),
            ("postgres://u@8.8.8.8/d", origin("*", "*", Any), true),
            ("postgres://u@127.0.0.1/d", origin("postgres", "127.0.0.1", One(5432)), true),
            ("postgres://u@169.254.169.254/d", origin("*", "*", Any), false),
            ("postgres://u@169.254.169.254/d", origin("*", "169.254.0.0/16", Any), true),
            ("mysql://u@10.0.0.7/d", origin("mysql", "10.0.0.0/8", One(3306)), true),
            ("mysql://u@a.example.com/d", origin("mysql", "*.example.com", One(3306)), true),
        ];
        for (text, grant, allowed) in table {
            let address =
                if text.starts_with("mysql") { Address::mysql(text) } else { Address::postgres(text) };
            assert_eq!(address.unwrap().grant(&[grant]).is_ok(), allowed, "{text}");
        }
    }

    #[test]
    fn a_name_leads_where_the_grants_say() {
        let table: &[(&[&str], &str, bool)] = &[
            (&["*"], "8.8.8.8", true),
            (&["*"], "10.0.0.1", false),
            (&["*.example.com"], "10.0.0.1", false),
            (&["db.example.com"], "10.0.0.1", true),
            (&["db.example.com"], "169.254.169.254", false),
            (&["10.0.0.0/8"], "10.0.0.1", true),
            (&["10.0.0.0/8"], "8.8.8.8", false),
            (&["*", "127.0.0.0/8"], "127.0.0.1", true),
        ];
        for (hosts, leads_to, allowed) in table {
            let mut address = Address::postgres("postgres://u@db.example.com/d").unwrap();
            let grants: Vec<Origin> =
                hosts.iter().map(|host| origin("postgres", host, PortPattern::Any)).collect();
            assert_eq!(address.grant(&grants), Ok(()), "{hosts:?}");
            assert_eq!(
                address.servers()[0].reaches(leads_to.parse().unwrap()),
                *allowed,
                "{hosts:?} {leads_to}"
            );
        }
    }
}
