//! Servers that a guest may reach by an address of its own choice: databases and message brokers.
//!
//! The rule for addresses is that of outbound HTTP (`http/policy.rs`): a private network needs a grant that
//! names the host exactly or contains the address; link-local and the like need one that contains it.

use crate::Explain;
use crate::http::Space;
use sampan_app::{HostPattern, Origin};
use std::net::IpAddr;

/// The grants of one component.
#[derive(Clone, Default)]
pub struct Services {
    rules: Vec<Origin>,
    explain: Explain,
}

/// A server as the guest named it.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    /// `redis`, `postgres`, `mysql`…: the plain one, also for connections over TLS.
    pub scheme: &'a str,
    /// A name, or an address without brackets.
    pub host: &'a str,
    pub port: u16,
}

impl Services {
    pub fn new(rules: Vec<Origin>, explain: &Explain) -> Self {
        Services { rules, explain: explain.clone() }
    }

    /// Whether some grant allows the server. Nothing may be looked up or connected to before this.
    pub fn allows(&self, address: Address<'_>) -> bool {
        let name = address.host.trim_end_matches('.');
        let allowed = self.rules.iter().any(|rule| rule.allows(address.scheme, name, address.port));
        if !allowed {
            let Address { scheme, host, port } = address;
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            self.explain.refused(
                &format!("connect to {scheme}://{host}:{port}"),
                &format!("services = [\"{scheme}://{host}:{port}\"] in the component's grant (sampan.toml)"),
            );
        }
        allowed
    }

    /// Which of the addresses that the host led to may be connected to. Call [`Services::allows`] first.
    pub fn permitted(&self, address: Address<'_>, found: &[IpAddr]) -> Vec<IpAddr> {
        let permitted: Vec<IpAddr> =
            found.iter().copied().filter(|one| self.may_connect(address, *one)).collect();
        if let (true, Some(first)) = (permitted.is_empty(), found.first()) {
            let Address { scheme, host, port } = address;
            let flag = match Space::of(*first) {
                Space::Special => format!("{scheme}://{first}:{port}"),
                Space::Private | Space::Public => format!("{scheme}://{host}:{port}"),
            };
            self.explain.refused(
                &format!("connect to {scheme}://{host}:{port}, which leads to the address {first}"),
                &format!("services = [\"{flag}\"] in the component's grant (sampan.toml)"),
            );
        }
        permitted
    }

    fn may_connect(&self, wanted: Address<'_>, address: IpAddr) -> bool {
        let space = Space::of(address);
        if space == Space::Public {
            return true;
        }
        let name = wanted.host.trim_end_matches('.').to_ascii_lowercase();
        let covers = |rule: &&Origin| {
            rule.scheme.as_deref().is_none_or(|scheme| scheme.eq_ignore_ascii_case(wanted.scheme))
                && rule.port.matches(wanted.port)
        };
        self.rules.iter().filter(covers).any(|rule| match &rule.host {
            HostPattern::Any | HostPattern::Below(_) | HostPattern::Pattern(_) => false,
            HostPattern::Network(_) => rule.host.matches_address(address),
            HostPattern::Name(one) => space == Space::Private && *one == name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_app::PortPattern;

    fn services(scheme: Option<&str>, host: &str, port: PortPattern) -> Services {
        let host = host.parse().expect("a host");
        let rule = Origin { scheme: scheme.map(str::to_owned), host, port };
        Services::new(vec![rule], &Explain::default())
    }

    #[test]
    fn scheme_host_and_port_must_be_granted() {
        let granted = services(Some("redis"), "db.example.com", PortPattern::One(6379));
        let table = [
            ("redis", "db.example.com", 6379, true),
            ("redis", "DB.example.com.", 6379, true),
            ("mysql", "db.example.com", 6379, false),
            ("redis", "db.example.com", 6380, false),
            ("redis", "example.com", 6379, false),
            ("redis", "127.0.0.1", 6379, false),
        ];
        for (scheme, host, port, expected) in table {
            let address = Address { scheme, host, port };
            assert_eq!(granted.allows(address), expected, "{address:?}");
        }
        assert!(!Services::default().allows(Address { scheme: "redis", host: "localhost", port: 6379 }));
    }

    #[test]
    fn private_addresses_need_a_grant_of_their_own() {
        let table = [
            ("localhost", "localhost", "127.0.0.1", true),
            ("db.internal", "db.internal", "10.1.2.3", true),
            ("db.internal", "db.internal", "169.254.169.254", false),
            ("169.254.169.254", "169.254.169.254", "169.254.169.254", true),
            ("*", "db.internal", "10.1.2.3", false),
            ("*", "db.example.com", "93.184.215.14", true),
            ("*.example.com", "db.example.com", "10.1.2.3", false),
            ("10.0.0.0/8", "10.1.2.3", "10.1.2.3", true),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1", true),
        ];
        for (granted, host, address, expected) in table {
            let services = services(None, granted, PortPattern::Any);
            let wanted = Address { scheme: "redis", host, port: 6379 };
            assert!(services.allows(wanted), "{granted}: {host}");
            let permitted = services.permitted(wanted, &[address.parse().expect("an address")]);
            assert_eq!(!permitted.is_empty(), expected, "{granted}: {host} at {address}");
        }
    }

    #[test]
    fn a_refusal_names_the_grant() {
        let explain = Explain::new(true);
        let any = Origin { scheme: None, host: HostPattern::Any, port: PortPattern::One(6379) };
        let services = Services::new(vec![any], &explain);
        let address = |port| Address { scheme: "redis", host: "db.internal", port };
        assert!(!services.allows(address(1)));
        assert!(services.permitted(address(6379), &["10.0.0.1".parse().expect("an address")]).is_empty());
        assert!(services.permitted(address(6379), &["169.254.1.1".parse().expect("an address")]).is_empty());
        let grant =
            |url| format!("grant it with services = [\"{url}\"] in the component's grant (sampan.toml)");
        let leads = |address| {
            format!("refused: connect to redis://db.internal:6379, which leads to the address {address}")
        };
        assert_eq!(
            explain.said(),
            [
                format!("refused: connect to redis://db.internal:1; {}", grant("redis://db.internal:1")),
                format!("{}; {}", leads("10.0.0.1"), grant("redis://db.internal:6379")),
                format!("{}; {}", leads("169.254.1.1"), grant("redis://169.254.1.1:6379")),
            ]
        );
    }
}
