//! The text forms of grants, limits and references: any text is understood or refused, and what is understood keeps the
//! promises that the rest of Sampan relies on.

#![no_main]

use sampan_app::{Mount, NetRule, Origin, PortMap, Reference, parse_duration, parse_env_file, parse_size};
use std::net::IpAddr;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(mount) = text.parse::<Mount>() {
        assert!(mount.guest == "." || mount.guest.starts_with('/'));
        assert!(!mount.guest.split('/').any(|part| part == ".."));
        assert!(!mount.host.as_os_str().is_empty());
    }
    if let Ok(map) = text.parse::<PortMap>() {
        assert_ne!(map.guest_port, 0);
    }
    if let Ok(rule) = text.parse::<NetRule>() {
        let address = IpAddr::from([10, 0, 0, 1]);
        rule.host.matches_address(address);
        rule.host.matches_name("a.example.com");
        rule.port.matches(80);
    }
    if let Ok(origin) = text.parse::<Origin>() {
        origin.allows("https", "a.example.com", 443);
    }
    if let Ok(reference) = text.parse::<Reference>() {
        assert!(!reference.repository.split('/').any(|part| part.is_empty() || part.starts_with('.')));
        assert!(reference.tag.is_some() || reference.digest.is_some());
        assert_eq!(reference.to_string().parse(), Ok(reference));
    }
    if let Ok(variables) = parse_env_file(text, |_| None) {
        assert!(variables.iter().all(|(name, _)| !name.is_empty() && !name.contains('=')));
    }
    assert_ne!(parse_size(text), Ok(0));
    assert!(!parse_duration(text).is_ok_and(|time| time.is_zero()));
});
