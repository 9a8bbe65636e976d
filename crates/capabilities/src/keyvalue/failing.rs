//! A store that is always down, for tests.

use super::{Answer, Backend, Entry, Features, Page, Query, QueryPage, StateQuery, StoreError, Write};

pub struct Failing;

fn down<T: Send + 'static>() -> Answer<'static, T> {
    Box::pin(std::future::ready(Err(StoreError::Unavailable("it is a test".to_owned()))))
}

impl Backend for Failing {
    fn features(&self) -> Features {
        Features { versions: true, transactions: true, ttl: true, query: true }
    }

    fn get(&self, _: String) -> Answer<'_, Option<Entry>> {
        down()
    }

    fn write(&self, _: Write) -> Answer<'_, bool> {
        down()
    }

    fn exists(&self, _: String) -> Answer<'_, bool> {
        down()
    }

    fn list(&self, _: Query) -> Answer<'_, Page> {
        down()
    }

    fn entries(&self, _: Vec<String>) -> Answer<'_, Vec<Option<Entry>>> {
        down()
    }

    fn transact(&self, _: Vec<Write>) -> Answer<'_, Result<(), usize>> {
        down()
    }

    fn query(&self, _: StateQuery) -> Answer<'_, QueryPage> {
        down()
    }

    fn increment(&self, _: String, _: i64) -> Answer<'_, i64> {
        down()
    }
}
