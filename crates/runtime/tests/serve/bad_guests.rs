//! Guests that misbehave: an error for their request alone, said in the log.

use crate::harness::{get, p2, run, serve};
use http_body_util::BodyExt;

#[test]
fn a_guest_that_fails_hurts_its_own_request_alone() {
    run(async {
        let app = serve(p2()).await;
        for (path, status, reason, logged) in [
            ("/trap", 500, "trap", "it trapped: it reached code that it says is unreachable"),
            ("/exit", 500, "exit", "it ended with exit code"),
            ("/recursion", 500, "trap", "it accessed memory out of bounds"),
            ("/never", 500, "no_answer", "it did not answer"),
            ("/drop", 500, "no_answer", "it did not answer"),
            ("/error", 502, "error_code", "it answered with the error"),
            ("/status/101", 502, "invalid_response", "the status 101"),
            ("/status/999", 502, "invalid_response", "the status 999"),
        ] {
            let before = app.failures(reason);
            assert_eq!(app.get(path).await.0, status, "{path}: {:?}", app.log);
            // The client may hear of it first.
            app.until(path, |app| app.failures(reason) > before && app.logged(logged)).await;
            assert_eq!(app.failures(reason), before + 1, "{path}: {:?}", app.log);
            assert_eq!(app.get("/hello").await.0, 200, "after {path}");
        }
        // An answer may reach the client before the worker has dropped the instance.
        app.until("all are gone", |app| app.metric("instances_live", "") == 0).await;
    });
}

#[test]
fn a_trap_is_logged_with_the_functions_that_led_to_it() {
    run(async {
        let app = serve(p2()).await;
        let (status, body) = app.get("/trap").await;
        // The client learns nothing of it.
        assert_eq!((status, body.as_str()), (500, "500 Internal Server Error\n"));
        assert!(app.logged("incoming_handler::Guest>::handle"), "{:?}", app.log);
        assert!(app.logged("trap was asked for"), "{:?}", app.log);
    });
}

#[test]
fn the_first_of_two_answers_counts() {
    run(async {
        let app = serve(p2()).await;
        let response = app.send(get("/twice")).await;
        assert_eq!(response.status(), 200);
        let _ = response.into_body().collect().await;
        app.until("the second one is no answer", |app| app.metric("instances_live", "") == 0).await;
        assert_eq!(app.get("/hello").await.0, 200);
    });
}
