//! An Easegress filter as the users of Easegress's SDK write it.
//!
//! The SDK hands out memory that it has freed already (`wasm_alloc`), so that a guest of it must not ask for much.

use easegress_macros::easegress_object;
use easegress_sdk::{cluster, request, response};
use std::collections::HashMap;

#[easegress_object]
struct Doorman {
    limit: i64,
}

#[easegress_object]
impl Program for Doorman {
    fn new(parameters: HashMap<String, String>) -> Self {
        Self { limit: parameters.get("limit").map_or(0, |limit| limit.parse().unwrap()) }
    }

    fn run(&self) -> i32 {
        if cluster::add_integer("visitors".to_owned(), 1) <= self.limit {
            request::set_header("x-doorman".to_owned(), "welcome".to_owned());
            return 0;
        }
        response::set_status_code(403);
        response::resp_set_body(b"full\n".to_vec());
        2
    }
}
