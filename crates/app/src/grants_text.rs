//! Grants of the network as text, as users write them: what is printed here is read back as the same.

use crate::{HostPattern, NetRule, Origin, PortPattern};
use ipnet::IpNet;
use std::fmt;

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Any => f.write_str("*"),
            HostPattern::Name(text) | HostPattern::Pattern(text) => f.write_str(text),
            HostPattern::Below(parent) => write!(f, "*.{parent}"),
            HostPattern::Network(IpNet::V4(network)) => write!(f, "{network}"),
            HostPattern::Network(IpNet::V6(network)) => write!(f, "[{network}]"),
        }
    }
}

impl fmt::Display for PortPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortPattern::Any => f.write_str("*"),
            PortPattern::One(port) => write!(f, "{port}"),
            PortPattern::Range(low, high) => write!(f, "{low}-{high}"),
        }
    }
}

impl fmt::Display for NetRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.as_deref().unwrap_or("*"), self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for text in
            ["*:*", "db.internal:5432", "*.example.com:443", "10.0.0.0/8:1-9", "[::1]:80", "*.a.*.b.c:1"]
        {
            let rule: NetRule = text.parse().unwrap();
            assert_eq!(rule.to_string().parse::<NetRule>(), Ok(rule), "{text}");
        }
        for text in ["*", "https://api.example.com", "http://[::1]:80", "*://*.example.com", "http://a:*"] {
            let origin: Origin = text.parse().unwrap();
            assert_eq!(origin.to_string().parse::<Origin>(), Ok(origin), "{text}");
        }
    }
}
