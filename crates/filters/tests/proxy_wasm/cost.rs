//! What a filter costs an exchange: `cargo test --workspace --test proxy_wasm cost -- --ignored --nocapture`.

use crate::harness::*;
use http::{Request, Response};
use http_body_util::BodyExt;
use sampan_service::{Answer, Body, Handler, full};
use std::sync::Arc;
use std::time::Instant;

/// Answers at once.
struct Plain;

impl Handler for Plain {
    fn handle(&self, _: Request<Body>) -> Answer<'_> {
        Box::pin(std::future::ready(Response::new(full("hello"))))
    }
}

/// A request as browsers send it.
fn request() -> Request<Body> {
    let mut request = get("/t");
    for (name, value) in [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)"),
        ("accept", "text/html,application/xhtml+xml"),
        ("accept-language", "en"),
        ("accept-encoding", "gzip, br"),
        ("cookie", "session=0123456789abcdef"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

/// Microseconds of an exchange.
async fn cost(handler: &Arc<dyn Handler>) -> f64 {
    const ROUNDS: u32 = 100_000;
    let mut least = f64::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        for _ in 0..ROUNDS / 5 {
            let response = handler.handle(request()).await;
            response.into_body().collect().await.unwrap();
        }
        least = least.min(began.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS / 5));
    }
    least
}

#[test]
#[ignore = "a measurement"]
fn cost_of_a_header() {
    run(async {
        let plain: Arc<dyn Handler> = Arc::new(Plain);
        let filtered = before(Arc::clone(&plain), spec("proxy-add-header", "")).await;
        let (without, with) = (cost(&plain).await, cost(&filtered.handler).await);
        println!("without {without:.2} µs, with {with:.2} µs: {:.2} µs more", with - without);
        assert!(with < 100.0);
    });
}
