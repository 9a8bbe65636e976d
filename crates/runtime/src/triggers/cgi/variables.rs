//! The meta-variables of a request (RFC 3875 §4.1) in the three dialects, and a program's arguments.

use super::script::Script;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Uri, Version, request::Parts};
use percent_encoding::percent_decode_str;
use sampan_app::{Cgi, CgiDialect};
use sampan_service::{Matched, Peer};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// As WAGI says it (deislabs/wagi, `SERVER_SOFTWARE_VERSION`); programs were seen to look for it.
const WAGI_SOFTWARE: &str = "WAGI/1";
const SOFTWARE: &str = concat!("sampan/", env!("CARGO_PKG_VERSION"));
/// Where Wasmer mounts a WCGI package's files (crate wcgi-host 0.3, `cgi.rs`).
const WCGI_ROOT: &str = "/app/";
/// Arguments that a query string may become; the rest of it is still in `QUERY_STRING`.
const QUERY_ARGUMENTS_MAX: usize = 256;

/// What a request is about, as every dialect needs it.
pub struct Facts<'a> {
    parts: &'a Parts,
    /// What the gateway matched; where nobody did, the whole path is beneath the route.
    route: &'a str,
    base: &'a str,
    rest: &'a str,
    names: &'a [(String, String)],
    peer: Peer,
    host: String,
    port: u16,
}

impl<'a> Facts<'a> {
    pub fn of(parts: &'a Parts) -> Self {
        let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let peer = parts.extensions.get::<Peer>().copied();
        let peer = peer.unwrap_or(Peer { address: nobody, local: nobody, tls: false });
        let (host, port) = server(parts, &peer);
        let all = ("/...", "", parts.uri.path(), &[][..]);
        let (route, base, rest, names) = match parts.extensions.get::<Matched>() {
            Some(m) => (&*m.route, m.base.trim_end_matches('/'), &*m.rest, &*m.names),
            None => all,
        };
        Facts { parts, route, base, rest, names, peer, host, port }
    }

    /// The part of the path that the route stands for, without a slash at the end, and the path beneath it,
    /// where the route has an open end (`/...`). Any other route is a path below the document root.
    pub fn base_and_path(&self) -> (String, &'a str) {
        let path = self.parts.uri.path();
        if !(self.route.ends_with("/...") || self.route.ends_with("/*")) {
            return (String::new(), path);
        }
        let base = path.strip_suffix(self.rest).unwrap_or(self.base).trim_end_matches('/');
        (decoded(base), if self.rest.is_empty() { "/" } else { self.rest })
    }
}

/// Host and port by which the client reached us: RFC 3875 §4.1.14 and §4.1.15.
fn server(parts: &Parts, peer: &Peer) -> (String, u16) {
    let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let named = header.or(parts.uri.authority().map(|authority| authority.as_str()));
    let authority = named.and_then(|text| text.parse::<http::uri::Authority>().ok());
    let usual = if peer.tls { 443 } else { 80 };
    match authority {
        Some(authority) => (authority.host().to_owned(), authority.port_u16().unwrap_or(usual)),
        None => (peer.local.ip().to_string(), peer.local.port()),
    }
}

/// All variables of a request, the component's own environment not included. `length` is that of the body.
pub fn variables(
    facts: &Facts<'_>,
    cgi: &Cgi,
    script: Option<&Script>,
    length: Option<u64>,
) -> Vec<(String, String)> {
    let mut set = Variables(BTreeMap::new());
    headers(&mut set, &facts.parts.headers, cgi.dialect);
    common(&mut set, facts, length);
    match cgi.dialect {
        CgiDialect::Wagi => wagi(&mut set, facts, length),
        CgiDialect::Wcgi => wcgi(&mut set, facts, cgi),
        CgiDialect::Script => self::script(&mut set, facts, cgi, script),
    }
    set.0.into_iter().collect()
}

struct Variables(BTreeMap<String, String>);

impl Variables {
    fn put(&mut self, name: &str, value: impl Into<String>) {
        let mut value = value.into();
        // The environment of a C program ends a value at a zero.
        value.retain(|c| c != '\0');
        self.0.insert(name.to_owned(), value);
    }
}

/// §4.1.18: each header as `HTTP_NAME`.
fn headers(set: &mut Variables, headers: &HeaderMap, dialect: CgiDialect) {
    for name in headers.keys() {
        // `Foo_Bar` and `Foo-Bar` are one variable: a client could overwrite what a proxy in front set.
        // nginx drops such headers too (`underscores_in_headers off`).
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        // `HTTP_PROXY` is a setting of HTTP clients (httpoxy, CVE-2016-5385). The length and the type of
        // the body have variables of their own.
        let special = [CONTENT_LENGTH, CONTENT_TYPE, CONNECTION].contains(name) || name.as_str() == "proxy";
        // Spin keeps it from WAGI programs; behind web servers, PHP reads users and passwords from it.
        let withheld = *name == AUTHORIZATION && dialect == CgiDialect::Wagi;
        if special || withheld || !name.as_str().bytes().all(plain) {
            continue;
        }
        let variable = format!("HTTP_{}", name.as_str().to_ascii_uppercase().replace('-', "_"));
        let separator = if *name == COOKIE { "; " } else { ", " };
        let values: Vec<_> = headers.get_all(name).iter().map(text).collect();
        set.put(&variable, values.join(separator));
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn common(set: &mut Variables, facts: &Facts<'_>, length: Option<u64>) {
    let parts = facts.parts;
    set.put("GATEWAY_INTERFACE", "CGI/1.1");
    set.put("QUERY_STRING", parts.uri.query().unwrap_or_default());
    set.put("REQUEST_METHOD", parts.method.as_str());
    set.put("REQUEST_URI", path_and_query(&parts.uri));
    set.put("REQUEST_SCHEME", if facts.peer.tls { "https" } else { "http" });
    set.put("REMOTE_ADDR", facts.peer.address.ip().to_canonical().to_string());
    set.put("REMOTE_HOST", facts.peer.address.ip().to_canonical().to_string());
    set.put("REMOTE_PORT", facts.peer.address.port().to_string());
    set.put("SERVER_ADDR", facts.peer.local.ip().to_canonical().to_string());
    set.put("SERVER_NAME", facts.host.as_str());
    set.put("SERVER_PORT", facts.port.to_string());
    set.put("SERVER_PROTOCOL", protocol(parts.version));
    set.put("SERVER_SOFTWARE", SOFTWARE);
    if !set.0.contains_key("HTTP_HOST")
        && let Some(authority) = parts.uri.authority()
    {
        // HTTP/2 sends it beside the headers.
        set.put("HTTP_HOST", authority.as_str());
    }
    if let Some(kind) = parts.headers.get(CONTENT_TYPE) {
        set.put("CONTENT_TYPE", text(kind));
    }
    if let Some(length) = length {
        set.put("CONTENT_LENGTH", length.to_string());
    }
    if facts.peer.tls {
        set.put("HTTPS", "on");
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}

fn decoded(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

/// What Spin sets for WAGI: spinframework/spin, `crates/http/src/wagi/mod.rs` and then
/// `crates/trigger-http/src/headers.rs`, whose `PATH_INFO` is not decoded and which overrides the former.
fn wagi(set: &mut Variables, facts: &Facts<'_>, length: Option<u64>) {
    let scheme = if facts.peer.tls { "https" } else { "http" };
    let authority = set.0.get("HTTP_HOST").cloned().unwrap_or_else(|| "localhost".to_owned());
    for name in ["AUTH_TYPE", "CONTENT_TYPE", "REMOTE_USER"] {
        set.0.entry(name.to_owned()).or_default();
    }
    set.put("CONTENT_LENGTH", length.unwrap_or(0).to_string());
    set.put("SERVER_SOFTWARE", WAGI_SOFTWARE);
    set.put("SCRIPT_NAME", if facts.base.is_empty() { "/" } else { facts.base });
    set.put("PATH_INFO", facts.rest);
    set.put("PATH_TRANSLATED", decoded(facts.rest));
    set.put("X_RAW_PATH_INFO", facts.rest);
    set.put("X_FULL_URL", format!("{scheme}://{authority}{}", path_and_query(&facts.parts.uri)));
    set.put("X_MATCHED_ROUTE", facts.route);
    set.put("X_RAW_COMPONENT_ROUTE", facts.route);
    set.put("X_COMPONENT_ROUTE", if facts.base.is_empty() { "/" } else { facts.base });
    set.put("X_BASE_PATH", "/");
    set.put("X_CLIENT_ADDR", facts.peer.address.to_string());
    for (name, value) in facts.names {
        set.put(&format!("X_PATH_MATCH_{}", name.to_ascii_uppercase()), value.as_str());
    }
}

/// What Wasmer sets: crate wcgi-host 0.3, `cgi.rs`; its runner adds `SCRIPT_NAME`.
fn wcgi(set: &mut Variables, facts: &Facts<'_>, cgi: &Cgi) {
    let path = facts.parts.uri.path();
    let root = cgi.document_root.as_deref().unwrap_or(WCGI_ROOT);
    set.put("PATH_INFO", path);
    set.put("SCRIPT_NAME", path);
    set.put("SCRIPT_FILENAME", format!("{}{path}", root.trim_end_matches('/')));
    set.put("DOCUMENT_ROOT", root);
    if let Some(authorization) = facts.parts.headers.get(AUTHORIZATION) {
        // Not what the RFC means by it, but what programs for WCGI get.
        set.put("AUTH_TYPE", text(authorization));
    }
}

/// What web servers set for `php-cgi`.
fn script(set: &mut Variables, facts: &Facts<'_>, cgi: &Cgi, script: Option<&Script>) {
    let root = cgi.document_root.as_deref().unwrap_or("/");
    set.put("DOCUMENT_ROOT", root);
    // PHP refuses to run for a request that no server has redirected to it (`cgi.force_redirect`).
    set.put("REDIRECT_STATUS", "200");
    let Some(script) = script else { return };
    let (base, _) = facts.base_and_path();
    set.put("SCRIPT_FILENAME", script.file.as_str());
    set.put("SCRIPT_NAME", format!("{base}{}", script.path));
    set.put("PHP_SELF", format!("{base}{}{}", script.path, script.path_info));
    set.put("DOCUMENT_URI", format!("{base}{}{}", script.path, script.path_info));
    if !script.path_info.is_empty() {
        set.put("PATH_INFO", script.path_info.as_str());
        set.put("PATH_TRANSLATED", format!("{}{}", root.trim_end_matches('/'), script.path_info));
    }
}

/// The program's arguments; the first is its name.
pub fn arguments(facts: &Facts<'_>, cgi: &Cgi, component: &str) -> Vec<String> {
    let uri = &facts.parts.uri;
    if cgi.dialect != CgiDialect::Wagi {
        // Nothing of the client's becomes an argument: `php-cgi` would take it for options (CVE-2012-1823).
        let mut all = vec![component.to_owned()];
        all.extend(cgi.argv.iter().cloned());
        return all;
    }
    // Spin's `${SCRIPT_NAME}` here is the whole path, unlike the variable of that name.
    let name = uri.path();
    let mut all = vec![name.to_owned()];
    for argument in &cgi.argv {
        if argument == "${ARGS}" {
            all.extend(query_arguments(uri));
        } else {
            let joined = || query_arguments(uri).collect::<Vec<_>>().join(" ");
            let argument = argument.replace("${SCRIPT_NAME}", name);
            all.push(match argument.contains("${ARGS}") {
                true => argument.replace("${ARGS}", &joined()),
                false => argument,
            });
        }
    }
    all
}

/// Names and values of the query as arguments: `a=1&b` is `a`, `1`, `b`
/// (spinframework/spin, `crates/trigger-http/src/wagi.rs`).
fn query_arguments(uri: &Uri) -> impl Iterator<Item = String> + '_ {
    let decode = |text: &str| {
        let mut text = decoded(&text.replace('+', " "));
        text.retain(|c| c != '\0');
        text
    };
    uri.query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .flat_map(move |pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            [Some(decode(name)), (!value.is_empty()).then(|| decode(value))].into_iter().flatten()
        })
        .take(QUERY_ARGUMENTS_MAX)
}

#[cfg(test)]
#[path = "variables_tests.rs"]
mod tests;
