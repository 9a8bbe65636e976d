//! What the metadata of Dapr's components on Redis says about the server, for all building blocks
//! (dapr/components-contrib, common/component/redis/settings.go).

use super::connect::Server;
use crate::{Properties, PropertyError};
use sampan_app::Secret;
use url::Url;

/// What to do about a server that cannot be reached.
pub const HELP: &str = "start the server, or correct redisHost, redisPassword and enableTLS of the component";

/// Where the port is not written.
const PORT: u16 = 6379;

/// Settings that would need another client, and what to do without it.
const UNSUPPORTED: [(&str, &str); 5] = [
    ("failover", "name the server itself as redisHost"),
    ("useEntraID", "use redisUsername and redisPassword"),
    ("useAzureAD", "use redisUsername and redisPassword"),
    ("useOIDC", "use redisUsername and redisPassword"),
    ("insecureSkipTLSVerify", "let the machine trust the server's certificate"),
];

/// The server as `redis://USER:PASSWORD@HOST:PORT/DATABASE`, or `rediss://` with TLS.
pub fn url(properties: &Properties) -> Result<Secret, PropertyError> {
    for (name, help) in UNSUPPORTED {
        if properties.flag(name)? == Some(true) {
            return Err(properties.wrong(name, "not supported", help));
        }
    }
    for name in ["clientCert", "clientKey"] {
        if properties.text(name).is_some() {
            return Err(properties.wrong(name, "not supported", "use redisUsername and redisPassword"));
        }
    }
    if properties.text("redisType").is_some_and(|kind| !kind.eq_ignore_ascii_case("node")) {
        return Err(properties.wrong(
            "redisType",
            "not supported",
            "write \"node\": clusters are not supported",
        ));
    }
    let host = host(properties)?;
    let scheme = if properties.flag("enableTLS")? == Some(true) { "rediss" } else { "redis" };
    let wrong =
        || properties.wrong("redisHost", "no HOST:PORT", "write one host, and its port after a colon");
    let mut url = Url::parse(&format!("{scheme}://{host}")).map_err(|_| wrong())?;
    // Whatever else an address could say has a key of its own.
    let plain = url.username().is_empty() && url.password().is_none() && url.path().is_empty();
    if !plain || url.query().is_some() || url.fragment().is_some() || url.host_str().is_none() {
        return Err(wrong());
    }
    // A URL encodes what would end the part, but takes a `%` for the beginning of something encoded.
    let encoded = |name| properties.text(name).map(|text| text.replace('%', "%25"));
    url.set_username(&encoded("redisUsername").unwrap_or_default()).map_err(|()| wrong())?;
    url.set_password(encoded("redisPassword").as_deref()).map_err(|()| wrong())?;
    match properties.number("redisDB")? {
        None => {}
        Some(database @ 0..=65_535) => url.set_path(&database.to_string()),
        Some(_) => return Err(properties.wrong("redisDB", "no database", "write its number, such as \"0\"")),
    }
    let url = Secret::new(url);
    server(&url)?;
    Ok(url)
}

/// `HOST:PORT`
fn host(properties: &Properties) -> Result<String, PropertyError> {
    let host = properties.required("redisHost")?.trim();
    if host.contains(',') {
        return Err(properties.wrong(
            "redisHost",
            "more than one host",
            "name one: clusters are not supported",
        ));
    }
    let has_port = host.rsplit_once(':').is_some_and(|(before, port)| {
        let bracketed = before.ends_with(']') || !before.contains(':');
        bracketed && port.parse::<u16>().is_ok()
    });
    let port = match properties.number("redisPort")? {
        None => None,
        Some(port) => Some(
            u16::try_from(port)
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| properties.wrong("redisPort", "no port", "write a number from 1 to 65535"))?,
        ),
    };
    match port {
        Some(port) if has_port && !host.ends_with(&format!(":{port}")) => {
            let why = "another port than the one in redisHost";
            Err(properties.wrong("redisPort", why, "write the port in one of the two"))
        }
        _ if has_port => Ok(host.to_owned()),
        // An IPv6 address without brackets.
        port if host.parse::<std::net::Ipv6Addr>().is_ok() => {
            Ok(format!("[{host}]:{}", port.unwrap_or(PORT)))
        }
        port => Ok(format!("{host}:{}", port.unwrap_or(PORT))),
    }
}

/// The server of a description.
pub fn server(url: &Secret) -> Result<Server, PropertyError> {
    Server::parse_any(url.reveal()).ok_or_else(|| {
        PropertyError::new("redisHost", "the metadata's `redisHost` is no address", "write HOST:PORT")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[(&str, &str)]) -> Result<String, PropertyError> {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value)));
        url(&Properties::new("app", values)).map(|url| url.reveal().to_owned())
    }

    #[test]
    fn the_address_is_made_of_its_parts() {
        let table: [(&[(&str, &str)], &str); 8] = [
            (&[("redisHost", "localhost:6379")], "redis://localhost:6379"),
            (&[("redisHost", "cache")], "redis://cache:6379"),
            (&[("redisHost", "cache"), ("redisPort", "1")], "redis://cache:1"),
            (&[("redisHost", "cache:1"), ("redisPort", "1")], "redis://cache:1"),
            (&[("redisHost", "[::1]:7")], "redis://[::1]:7"),
            (&[("redisHost", "::1")], "redis://[::1]:6379"),
            (
                &[("redisHost", "h:1"), ("redisPassword", "p@/:s"), ("redisDB", "3")],
                "redis://:p%40%2F%3As@h:1/3",
            ),
            (&[("redisHost", "h:1"), ("enableTLS", "true"), ("redisUsername", "u")], "rediss://u@h:1"),
        ];
        for (values, expected) in table {
            assert_eq!(of(values).as_deref(), Ok(expected), "{values:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_names_its_key() {
        let table: [(&[(&str, &str)], &str); 12] = [
            (&[], "redisHost"),
            (&[("redisHost", "a:1,b:2")], "redisHost"),
            (&[("redisHost", "redis://a:1")], "redisHost"),
            (&[("redisHost", "user:hunter2@a:1")], "redisHost"),
            (&[("redisHost", "a:1/3")], "redisHost"),
            (&[("redisHost", "a:1"), ("redisPort", "2")], "redisPort"),
            (&[("redisHost", "a"), ("redisPort", "99999")], "redisPort"),
            (&[("redisHost", "a"), ("redisDB", "-1")], "redisDB"),
            (&[("redisHost", "a"), ("redisType", "cluster")], "redisType"),
            (&[("redisHost", "a"), ("failover", "true")], "failover"),
            (&[("redisHost", "a"), ("enableTLS", "perhaps")], "enableTLS"),
            (&[("redisHost", "a"), ("clientKey", "hunter2")], "clientKey"),
        ];
        for (values, name) in table {
            let error = of(values).expect_err(name);
            assert_eq!(error.name, name, "{values:?}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_password_comes_through_as_it_is() {
        let password = "p@/:s%20ü?#";
        let url =
            of(&[("redisHost", "h:1"), ("redisPassword", password), ("redisDB", "2")]).expect("an address");
        let parsed = ::redis::IntoConnectionInfo::into_connection_info(url).expect("an address of Redis");
        assert_eq!(parsed.redis_settings().password(), Some(password));
        assert_eq!(parsed.redis_settings().db(), 2);
    }
}
