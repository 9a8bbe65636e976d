//! Redirects: the Fetch standard's rules, and the grants at every hop.

use super::server::{Server, describe, reply};
use super::*;
use crate::http::redirect::{self, MAX_REDIRECTS, Resendable};
use http::{HeaderMap, Method, StatusCode};

/// Answers `/CODE/TARGET…` with a redirect of that code to that target; anything else by describing it.
async fn redirecting(request: Request<hyper::body::Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    match (parts.next().and_then(|code| code.parse::<u16>().ok()), parts.next()) {
        (Some(code), Some("none")) => reply(code, &[], "no location"),
        (Some(code), Some(target)) => reply(code, &[("location", target)], ""),
        _ => {
            let shown = ["authorization", "cookie", "content-type", "x-mine"];
            let kept: Vec<_> =
                shown.into_iter().filter(|name| request.headers().contains_key(*name)).collect();
            let kept = kept.join(",");
            let described = text(describe(request).await).await.unwrap();
            reply(200, &[], format!("{described} kept={kept}"))
        }
    }
}

fn resendable(method: Method, url: &str) -> Resendable {
    let mut headers = HeaderMap::new();
    for name in ["authorization", "cookie", "content-type", "x-mine"] {
        headers.insert(name, "v".parse().unwrap());
    }
    Resendable { url: url.parse().unwrap(), method, headers, body: Bytes::from_static(b"12345") }
}

async fn follow(door: &Door, method: Method, url: &str) -> Result<String, Error> {
    text(redirect::send(door, resendable(method, url), Timeouts::default()).await?).await
}

#[test]
fn methods_and_bodies() {
    run(async {
        let server = Server::http(redirecting).await;
        let door = door(&[&server.origin()]);
        let cases = [
            (301, Method::POST, "GET", 0),
            (302, Method::POST, "GET", 0),
            (303, Method::POST, "GET", 0),
            (303, Method::PUT, "GET", 0),
            (303, Method::DELETE, "GET", 0),
            (301, Method::PUT, "PUT", 5),
            (302, Method::DELETE, "DELETE", 5),
            (307, Method::POST, "POST", 5),
            (308, Method::POST, "POST", 5),
        ];
        for (code, method, becomes, body) in cases {
            let url = format!("{}/{code}//end?q=1", server.origin());
            let answer = follow(&door, method.clone(), &url).await.unwrap();
            assert!(answer.starts_with(&format!("{becomes} /end ")), "{code} {method}: {answer}");
            assert!(answer.contains(&format!("body={body} ")), "{code} {method}: {answer}");
            assert_eq!(answer.contains("content-type"), body > 0, "{code} {method}: {answer}");
            assert!(answer.contains("kept=authorization,cookie"), "{answer}");
        }
    });
}

#[test]
fn what_is_no_redirect() {
    run(async {
        let server = Server::http(redirecting).await;
        let door = door(&[&server.origin()]);
        for path in ["300//end", "304//end", "201//end", "302/none"] {
            let request = resendable(Method::GET, &format!("{}/{path}", server.origin()));
            let response = redirect::send(&door, request, Timeouts::default()).await.unwrap();
            let code: u16 = path[..3].parse().unwrap();
            assert_eq!(response.status(), StatusCode::from_u16(code).unwrap());
        }
    });
}

#[test]
fn every_hop_needs_its_grant() {
    run(async {
        let server = Server::http(redirecting).await;
        let other = Server::http(redirecting).await;
        let url = format!("{}/302/{}/302//end", server.origin(), other.origin());
        let one = door(&[&server.origin()]);
        assert_eq!(follow(&one, Method::GET, &url).await, Err(Error::Denied));
        assert_eq!(other.connections(), 0);
        // A wildcard lets the first hop out, but not back in.
        let inward = door(&[&server.origin(), "*"]);
        assert_eq!(follow(&inward, Method::GET, &url).await, Err(Error::AddressProhibited));
        assert_eq!(other.connections(), 0);
        // With both grants it goes through, without what was confided to the first.
        let both = door(&[&server.origin(), &other.origin()]);
        let answer = follow(&both, Method::GET, &url).await.unwrap();
        assert!(answer.ends_with("kept=content-type,x-mine"), "{answer}");
        for target in ["https://127.0.0.1:1/", "http://localhost:1/"] {
            let url = format!("{}/302/{target}", server.origin());
            assert_eq!(follow(&both, Method::GET, &url).await, Err(Error::Denied), "{target}");
        }
        for target in ["file:///etc/passwd", "ftp://example.com/", "data:,x"] {
            let url = format!("{}/302/{target}", server.origin());
            assert_eq!(follow(&both, Method::GET, &url).await, Err(Error::BadUri), "{target}");
        }
    });
}

#[test]
fn loops_end() {
    run(async {
        let server = Server::http(|_| async { reply(302, &[("location", "/")], "") }).await;
        let door = door(&[&server.origin()]);
        assert_eq!(follow(&door, Method::GET, &server.origin()).await, Err(Error::TooManyRedirects));
        let chain = |hops: usize| format!("{}{}/end", server.origin(), "/302/".repeat(hops));
        assert!(chain(MAX_REDIRECTS).len() > MAX_REDIRECTS);
        assert_eq!(server.connections(), 1);
    });
}
