//! How a registry wants to be asked (`WWW-Authenticate`), and the answer to that: Basic (RFC 7617), or a token that
//! another server gives (distribution, docs/spec/auth/token.md and oauth.md).

use crate::PullError;
use crate::client::{Ask, Client, authority};
use crate::credentials::Credentials;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use serde::Deserialize;
use std::collections::HashMap;
use url::{Url, form_urlencoded};

/// The answer of a server that gives tokens may have so many bytes.
const TOKEN_MAX_BYTES: usize = 64 << 10;

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// The one of a response that can be answered best.
pub fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut challenges: Vec<_> = values.filter_map(read).collect();
    let best = challenges.iter().position(|one| matches!(one, Challenge::Bearer { .. })).unwrap_or(0);
    (!challenges.is_empty()).then(|| challenges.swap_remove(best))
}

/// `Bearer realm="https://…",service="…",scope="…"` (RFC 9110, 11.6.1).
fn read(value: &str) -> Option<Challenge> {
    let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut parameters = parameters(rest);
    let realm = parameters.remove("realm")?;
    Some(Challenge::Bearer {
        realm,
        service: parameters.remove("service"),
        scope: parameters.remove("scope"),
    })
}

/// `name=token, name="quoted \" text"`, as far as it can be read.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let mut value = String::new();
        let quoted = after.trim_start().strip_prefix('"');
        let mut characters = quoted.unwrap_or(after).chars();
        while let Some(character) = characters.next() {
            match (character, quoted.is_some()) {
                ('"', true) | (',', false) => break,
                ('\\', true) => value.extend(characters.next()),
                (character, _) => value.push(character),
            }
        }
        found.insert(name, value);
        rest = characters.as_str();
    }
    found
}

/// What `Authorization` is to say. `scope` is asked for where the registry does not say which.
pub async fn answer(
    client: &Client,
    challenge: &Challenge,
    credentials: Option<&Credentials>,
    scope: &str,
) -> Result<Option<HeaderValue>, PullError> {
    match challenge {
        Challenge::Basic => match credentials {
            Some(Credentials::Password { user, password }) => basic(user, password).map(Some),
            _ => Ok(None),
        },
        Challenge::Bearer { realm, service, scope: named } => {
            let scope = named.as_deref().unwrap_or(scope);
            token(client, realm, service.as_deref(), scope, credentials).await.map(Some)
        }
    }
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, PullError> {
    secret(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

fn secret(text: &str) -> Result<HeaderValue, PullError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| PullError::Malformed("the registry gives a token that is none".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

async fn token(
    client: &Client,
    realm: &str,
    service: Option<&str>,
    scope: &str,
    credentials: Option<&Credentials>,
) -> Result<HeaderValue, PullError> {
    let mut url = Url::parse(realm)
        .map_err(|_| PullError::Malformed("the registry names a realm that is no URL".to_owned()))?;
    let mut headers = HeaderMap::new();
    let ask = match credentials {
        Some(Credentials::IdentityToken(identity)) => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token").append_pair("client_id", "sampan");
            form.append_pair("service", service.unwrap_or_default()).append_pair("scope", scope);
            let body = form.append_pair("refresh_token", identity).finish();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            Ask { method: Method::POST, url: url.clone(), headers: &headers, body: body.into() }
        }
        other => {
            if let Some(Credentials::Password { user, password }) = other {
                headers.insert(AUTHORIZATION, basic(user, password)?);
            }
            let service = service.map(|service| ("service", service));
            // Who only says who he is asks for nothing.
            let scope = Some(("scope", scope)).filter(|(_, scope)| !scope.is_empty());
            url.query_pairs_mut().extend_pairs(service.into_iter().chain(scope));
            Ask { method: Method::GET, url: url.clone(), headers: &headers, body: Bytes::new() }
        }
    };
    let response = client.send(ask).await?;
    let status = response.status();
    let host = authority(&url);
    match status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
            let known = credentials.is_some();
            return Err(PullError::Refused { host, status, message: String::new(), known });
        }
        StatusCode::TOO_MANY_REQUESTS => {
            return Err(PullError::TooMany { host, message: String::new(), after: None });
        }
        _ => return Err(PullError::Status { host, status, message: String::new() }),
    }
    let body = client.whole(&url, response.into_body(), TOKEN_MAX_BYTES).await?;
    let token: Option<Token> = serde_json::from_slice(&body).ok();
    let token = token.and_then(|token| token.token.or(token.access_token));
    let token = token.ok_or_else(|| PullError::Malformed(format!("{host} answers without a token")))?;
    secret(&format!("Bearer {token}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            let (service, scope) = (service.map(str::to_owned), scope.map(str::to_owned));
            Some(Challenge::Bearer { realm: realm.to_owned(), service, scope })
        };
        for (values, expected) in [
            (&["Basic realm=\"x\""][..], Some(Challenge::Basic)),
            (&["basic"], Some(Challenge::Basic)),
            (
                &["Bearer realm=\"https://a/t\",service=\"a\",scope=\"repository:b:pull,push\""],
                bearer("https://a/t", Some("a"), Some("repository:b:pull,push")),
            ),
            (&["bearer Realm=https://a/t , SERVICE=\"a\\\"b\""], bearer("https://a/t ", Some("a\"b"), None)),
            (&["Basic realm=x", "Bearer realm=\"https://a\""], bearer("https://a", None, None)),
            (&["Bearer service=\"a\""], None),
            (&["Bearer realm=\"https://a"], bearer("https://a", None, None)),
            (&["Negotiate", "Bearer"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(value));
            }
            assert_eq!(challenge(&headers), expected, "{values:?}");
        }
    }
}
