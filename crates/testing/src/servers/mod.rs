//! Real servers for tests: started on a free port with a folder of their own, gone with the test.

mod redis;

pub use redis::Redis;
