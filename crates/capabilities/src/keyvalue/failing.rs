//! A store that is always down, for tests.

use super::{Answer, Backend, Condition, Entry, Page, Query, StoreError};
use std::time::Duration;

pub struct Failing;

fn down<T: Send + 'static>() -> Answer<'static, T> {
    Box::pin(std::future::ready(Err(StoreError::Unavailable("it is a test".to_owned()))))
}

impl Backend for Failing {
    fn get(&self, _: String) -> Answer<'_, Option<Entry>> {
        down()
    }

    fn set(&self, _: String, _: Vec<u8>, _: Option<Duration>, _: Condition) -> Answer<'_, bool> {
        down()
    }

    fn delete(&self, _: String, _: Condition) -> Answer<'_, bool> {
        down()
    }

    fn exists(&self, _: String) -> Answer<'_, bool> {
        down()
    }

    fn list(&self, _: Query) -> Answer<'_, Page> {
        down()
    }

    fn get_many(&self, _: Vec<String>) -> Answer<'_, Vec<Option<Vec<u8>>>> {
        down()
    }

    fn set_many(&self, _: Vec<(String, Vec<u8>)>) -> Answer<'_, ()> {
        down()
    }

    fn delete_many(&self, _: Vec<String>) -> Answer<'_, ()> {
        down()
    }

    fn increment(&self, _: String, _: i64) -> Answer<'_, i64> {
        down()
    }
}
