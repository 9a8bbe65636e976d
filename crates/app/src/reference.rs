//! References to OCI images, as Docker reads them (github.com/distribution/reference, `reference.go`):
//! `alpine`, `ghcr.io/acme/filter:1.2`, `localhost:5000/x@sha256:…`.

use std::fmt;
use std::str::FromStr;

/// Registry, repository, tag and digest together; the grammar alone would allow more.
const TEXT_BYTES_MAX: usize = 1024;
/// As in the grammar: a registry and its repository.
const NAME_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;
/// Where names without a registry are.
const DOCKER_HUB: &str = "docker.io";
/// Its older name.
const DOCKER_HUB_INDEX: &str = "index.docker.io";
/// The host that answers for it.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// Which image of which registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// A host, or a host and its port; `docker.io` where the text names none.
    pub registry: String,
    pub repository: String,
    /// `latest` where the text names neither a tag nor a digest.
    pub tag: Option<String>,
    /// Of the manifest. It counts, whatever the tag says.
    pub digest: Option<Digest>,
}

/// What bytes hash to, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Digest {
    pub algorithm: DigestAlgorithm,
    /// In hexadecimal.
    pub hex: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    Sha256,
    Sha512,
}

/// Why a text is no reference, or no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ParseReferenceError {
    pub what: &'static str,
    pub help: &'static str,
}

fn wrong<T>(what: &'static str, help: &'static str) -> Result<T, ParseReferenceError> {
    Err(ParseReferenceError { what, help })
}

impl Reference {
    /// The host (and port) that answers for the registry.
    pub fn host(&self) -> &str {
        if self.registry == DOCKER_HUB { DOCKER_HUB_HOST } else { &self.registry }
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, ParseReferenceError> {
        const EXAMPLE: &str = "write REGISTRY/NAME:TAG, such as \"ghcr.io/acme/filter:1.2\"";
        if text.is_empty() {
            return wrong("it is empty", EXAMPLE);
        }
        if text.len() > TEXT_BYTES_MAX {
            return wrong("it is too long", EXAMPLE);
        }
        if text.contains("://") {
            return wrong("it begins with a scheme", "leave out what stands before the registry's name");
        }
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
        };
        // A colon before the last slash is that of a port.
        let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[name_start..].find(':') {
            None => (rest, None),
            Some(colon) => (&rest[..name_start + colon], Some(&rest[name_start + colon + 1..])),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return wrong(
                "its tag is not valid",
                "a tag has at most 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two",
            );
        }
        let (registry, repository) = split(name);
        if !is_registry(registry) {
            return wrong(
                "its registry is not valid",
                "write a host and, if it needs one, a port: HOST:PORT",
            );
        }
        if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return wrong("its name has upper-case letters", "write the name in lower case");
        }
        if !repository.split('/').all(is_component) {
            return wrong(
                "its name is not valid",
                "a name is lower-case letters and digits, with single `.` or `_`, `__`, or `-` between them",
            );
        }
        let registry = if registry == DOCKER_HUB_INDEX { DOCKER_HUB } else { registry };
        let official = registry == DOCKER_HUB && !repository.contains('/');
        let repository = if official { format!("library/{repository}") } else { repository.to_owned() };
        if registry.len() + 1 + repository.len() > NAME_BYTES_MAX {
            return wrong("its name is too long", "registry and name have at most 255 characters together");
        }
        let latest = (tag.is_none() && digest.is_none()).then_some("latest");
        let tag = tag.or(latest).map(str::to_owned);
        Ok(Reference { registry: registry.to_owned(), repository, tag, digest })
    }
}

/// Registry and repository. What stands before the first slash is a registry if it could be nothing else.
fn split(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DOCKER_HUB, name),
    }
}

pub(crate) fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && edge(label.bytes().next())
            && edge(label.bytes().last())
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// `[a-z0-9]+` with one of `.`, `_`, `__` and any number of `-` between such.
fn is_component(text: &str) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let separators = bytes.split(is_plain).filter(|separator| !separator.is_empty());
    let edge = |byte: Option<&u8>| byte.is_some_and(is_plain);
    edge(bytes.first())
        && edge(bytes.last())
        && separators.into_iter().all(|separator| {
            matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
        })
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_BYTES_MAX
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl DigestAlgorithm {
    pub fn name(self) -> &'static str {
        match self {
            DigestAlgorithm::Sha256 => "sha256",
            DigestAlgorithm::Sha512 => "sha512",
        }
    }
}

impl FromStr for Digest {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, ParseReferenceError> {
        const HELP: &str = "write sha256: and 64 hexadecimal digits in lower case";
        let Some((algorithm, hex)) = text.split_once(':') else {
            return wrong("its digest names no algorithm", HELP);
        };
        let (algorithm, length) = match algorithm {
            "sha256" => (DigestAlgorithm::Sha256, 64),
            "sha512" => (DigestAlgorithm::Sha512, 128),
            _ => return wrong("the algorithm of its digest is not supported", HELP),
        };
        if hex.len() != length || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return wrong("its digest is not valid", HELP);
        }
        Ok(Digest { algorithm, hex: hex.to_owned() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_docker_reads_them() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        for (text, host, full) in [
            ("alpine", "registry-1.docker.io", "docker.io/library/alpine:latest"),
            ("acme/f", "registry-1.docker.io", "docker.io/acme/f:latest"),
            ("index.docker.io/f:1", "registry-1.docker.io", "docker.io/library/f:1"),
            ("ghcr.io/acme/f:1.2", "ghcr.io", "ghcr.io/acme/f:1.2"),
            ("localhost/f", "localhost", "localhost/f:latest"),
            ("localhost:5000/a/b__c--d.e:v_1", "localhost:5000", "localhost:5000/a/b__c--d.e:v_1"),
            ("Host/f", "Host", "Host/f:latest"),
            // A port needs a slash after it; else it is a tag.
            ("host:5000", "registry-1.docker.io", "docker.io/library/host:5000"),
        ] {
            let reference = text.parse::<Reference>().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((reference.host(), reference.to_string().as_str()), (host, full), "{text}");
            assert_eq!(full.parse::<Reference>(), Ok(reference), "{text}: what it prints");
        }
        let pinned: Reference = format!("localhost:5000/x@{digest}").parse().unwrap();
        assert_eq!((pinned.tag, pinned.digest.unwrap().to_string()), (None, digest.clone()));
        let both: Reference = format!("x:1@{digest}").parse().unwrap();
        assert_eq!(both.to_string(), format!("docker.io/library/x:1@{digest}"));
    }

    #[test]
    fn what_is_no_reference() {
        let long_name = format!("ghcr.io/{}", "a/".repeat(130) + "a");
        let long_tag = format!("a:{}", "t".repeat(129));
        let long = "a".repeat(5000);
        for (text, what) in [
            ("", "is empty"),
            ("https://ghcr.io/a/b", "scheme"),
            ("ghcr.io/Acme/f", "upper-case"),
            ("Acme", "upper-case"),
            ("ghcr.io/", "name is not valid"),
            ("a//b", "name is not valid"),
            ("a/../b", "name is not valid"),
            ("a___b", "name is not valid"),
            ("a._b", "name is not valid"),
            ("-a", "name is not valid"),
            ("a b", "name is not valid"),
            ("ä", "name is not valid"),
            ("a:", "tag"),
            ("a:.b", "tag"),
            ("a:b/c", "registry is not valid"),
            ("a.b:0/c", "registry is not valid"),
            ("a.b:99999/c", "registry is not valid"),
            ("a..b/c", "registry is not valid"),
            ("u:p@h.io/c", "digest"),
            ("a@sha256:12", "digest is not valid"),
            ("a@md5:0123", "not supported"),
            ("a@x", "no algorithm"),
            (&long_name, "too long"),
            (&long_tag, "tag"),
            (&long, "too long"),
        ] {
            let error = text.parse::<Reference>().expect_err(text);
            assert!(error.what.contains(what), "{text}: {error}");
        }
        let upper = format!("a@sha256:{}", "A".repeat(64));
        assert!(upper.parse::<Reference>().is_err());
    }
}
