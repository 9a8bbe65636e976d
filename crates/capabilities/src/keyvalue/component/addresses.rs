//! Addresses of databases as Dapr's drivers read them, in the form that ours do.

use crate::properties::{Properties, PropertyError};
use url::Url;
use url::form_urlencoded::Serializer;

const CONNECTION: &str = "connectionString";

/// libpq's words or a URL, with pgx's additions taken out (pkg.go.dev/github.com/jackc/pgx/v5/pgxpool, `ParseConfig`),
/// and the metadata's own fields put in; and how many connections there may be, if it says so.
pub fn postgres_address(of: &Properties) -> Result<(String, Option<u32>), PropertyError> {
    let fields = ["host", "port", "user", "password", "database"];
    let written = match of.text(CONNECTION) {
        Some(written) => written,
        None if of.text("host").is_some() => "",
        None => of.required(CONNECTION)?,
    };
    let mut connections = None;
    let mut keep = |name: &str, value: &str| {
        if name == "pool_max_conns" {
            connections = value.parse().ok();
        }
        !name.starts_with("pool_") && name != "default_query_exec_mode" && name != "statement_cache_capacity"
    };
    let wrong = || {
        let help = "write host=HOST user=USER password=PASSWORD port=5432 database=DATABASE, or postgres://…";
        of.wrong(CONNECTION, "no address of PostgreSQL", help)
    };
    if written.contains("://") {
        let mut url = Url::parse(written).map_err(|_| wrong())?;
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let kept: Vec<_> = pairs.into_iter().filter(|(name, value)| keep(name, value)).collect();
        let query = Serializer::new(String::new()).extend_pairs(kept).finish();
        url.set_query((!query.is_empty()).then_some(query.as_str()));
        for field in fields {
            let Some(value) = of.text(field) else { continue };
            let done = match field {
                "host" => url.set_host(Some(value)).is_ok(),
                "port" => value.parse().is_ok_and(|port| url.set_port(Some(port)).is_ok()),
                "user" => url.set_username(value).is_ok(),
                "password" => url.set_password(Some(value)).is_ok(),
                _ => {
                    url.set_path(value);
                    true
                }
            };
            if !done {
                return Err(of.wrong(field, "no part of an address", "correct it, or leave it out"));
            }
        }
        return Ok((url.into(), connections));
    }
    let mut words = Vec::new();
    for (name, value) in keywords(written).ok_or_else(wrong)? {
        // pgx knows both names.
        let name = if name == "database" { "dbname" } else { name.as_str() };
        let field = if name == "dbname" { "database" } else { name };
        if keep(name, &value) && !(fields.contains(&field) && of.text(field).is_some()) {
            words.push((name.to_owned(), value));
        }
    }
    for field in fields {
        if let Some(value) = of.text(field) {
            let name = if field == "database" { "dbname" } else { field };
            words.push((name.to_owned(), value.to_owned()));
        }
    }
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
    let words: Vec<String> =
        words.iter().map(|(name, value)| format!("{name}='{}'", quoted(value))).collect();
    Ok((words.join(" "), connections))
}

/// `name=value name = 'value'` (PostgreSQL's documentation, 34.1.1.1); `None` if it is something else.
fn keywords(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return None;
        }
        let after = after.trim_start();
        let quoted = after.starts_with('\'');
        let (mut value, mut escaped, mut end) = (String::new(), false, None);
        for (at, letter) in after.char_indices().skip(usize::from(quoted)) {
            match letter {
                _ if escaped => escaped = false,
                '\\' => {
                    escaped = true;
                    continue;
                }
                '\'' if quoted => {
                    end = Some(at + 1);
                    break;
                }
                letter if !quoted && letter.is_whitespace() => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
            value.push(letter);
        }
        if quoted && end.is_none() {
            return None;
        }
        pairs.push((name.to_ascii_lowercase(), value));
        rest = after[end.unwrap_or(after.len())..].trim_start();
    }
    Some(pairs)
}

/// From go-sql-driver's `USER:PASSWORD@tcp(HOST:PORT)/DATABASE?tls=…` (its README, "DSN") to a URL. The database
/// is left out: the component has a schema.
pub fn mysql_url(of: &Properties) -> Result<String, PropertyError> {
    let written = of.required(CONNECTION)?;
    if written.contains("://") {
        return Ok(written.to_owned());
    }
    let wrong = |why: &str| {
        of.wrong(CONNECTION, why, "write USER:PASSWORD@tcp(HOST:3306)/?allowNativePasswords=true")
    };
    // A password may have any character: the last slash and the last `@` before it are what count.
    let (before, after) =
        written.rsplit_once('/').ok_or_else(|| wrong("no address of MySQL: it lacks a `/`"))?;
    let (login, place) = before.rsplit_once('@').unwrap_or(("", before));
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    let address = match place.split_once('(') {
        Some(("tcp" | "tcp6", address)) => address.strip_suffix(')'),
        None if matches!(place, "" | "tcp") => Some("127.0.0.1:3306"),
        _ => None,
    };
    let address = address.ok_or_else(|| wrong("of a protocol that is not supported"))?;
    let mut url = Url::parse(&format!("mysql://{address}/")).map_err(|_| wrong("no address of MySQL"))?;
    let parts = url.set_username(user).and_then(|()| url.set_password(password));
    parts.map_err(|()| wrong("no address of MySQL"))?;
    let options = after.split_once('?').map_or("", |(_, options)| options);
    let tls = options.split('&').find_map(|pair| pair.strip_prefix("tls="));
    let mode = match tls.unwrap_or("false") {
        "true" | "TRUE" | "True" | "1" => "verify-identity",
        "skip-verify" => "required",
        "preferred" => "preferred",
        "false" | "FALSE" | "False" | "0" => "disabled",
        // The name under which Dapr registers the certificate of `pemPath`.
        _ if of.text("pemPath").is_some() => "verify-ca",
        _ => return Err(wrong("for a TLS configuration that is not known")),
    };
    url.query_pairs_mut().append_pair("ssl-mode", mode);
    Ok(url.into())
}
