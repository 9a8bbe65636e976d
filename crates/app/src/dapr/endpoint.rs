//! `kind: HTTPEndpoint`, a server that is invoked by name:
//! <https://docs.dapr.io/reference/resource-specs/httpendpoints-schema/>.

use super::component::{items, metadata_value, resource_name, secret_store};
use super::fields::{Fields, Text};
use super::load::Document;
use super::{MetadataItem, MetadataValue};
use crate::manifest::findings::Findings;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpEndpoint {
    pub name: String,
    /// With its scheme, and without a `/` at its end.
    pub base_url: String,
    /// Added to every request.
    pub headers: Vec<MetadataItem>,
    pub tls: EndpointTls,
    pub secret_store: Option<String>,
    /// App ids that may use it; empty means all.
    pub scopes: Vec<String>,
    pub file: PathBuf,
    /// Of the document, from 1.
    pub line: usize,
}

/// Texts in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointTls {
    pub root_ca: Option<MetadataValue>,
    pub certificate: Option<MetadataValue>,
    pub private_key: Option<MetadataValue>,
}

pub(super) fn read(
    mut resource: Fields<'_>,
    document: &Document<'_>,
    f: &mut Findings,
) -> Option<HttpEndpoint> {
    let name = resource_name(&mut resource, f);
    let (scopes, secret_store) = (resource.strings("scopes", f), secret_store(&mut resource, f));
    let help = "add `spec:` with `baseUrl: https://HOST`";
    let spec = resource.require_fields("spec", help, f);
    resource.finish(f);
    let mut spec = spec?;
    let base_url = spec.require("baseUrl", "add `baseUrl: https://HOST`", f);
    let base_url = base_url.and_then(|text| url(text, f));
    // The lines hold passwords and keys.
    f.hide(true);
    let headers = items("spec.headers", spec.items("headers", f), document, f);
    let tls = spec.fields("clientTLS", f).map(|tls| read_tls(tls, f)).unwrap_or_default();
    f.hide(false);
    spec.finish(f);
    Some(HttpEndpoint {
        name: name?,
        base_url: base_url?,
        headers,
        tls,
        secret_store,
        scopes,
        file: document.file.to_owned(),
        line: document.line,
    })
}

fn url(text: Text<'_>, f: &mut Findings) -> Option<String> {
    let host = text.text.strip_prefix("http://").or_else(|| text.text.strip_prefix("https://"));
    if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
        f.error_help(
            text.span,
            "`spec.baseUrl` is not the address of a server",
            "write `http://HOST` or `https://HOST`, with a port and a path if it needs them",
        );
        return None;
    }
    Some(text.text.trim_end_matches('/').to_owned())
}

fn read_tls(mut tls: Fields<'_>, f: &mut Findings) -> EndpointTls {
    let mut part = |key, f: &mut Findings| {
        let mut fields = tls.fields(key, f)?;
        let value = metadata_value(&mut fields, f);
        fields.finish(f);
        value
    };
    let read = EndpointTls {
        root_ca: part("rootCA", f),
        certificate: part("certificate", f),
        private_key: part("privateKey", f),
    };
    tls.ignore(&["renegotiation"]);
    tls.finish(f);
    read
}
