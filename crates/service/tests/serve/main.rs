//! What clients see of a server: good ones, slow ones, rude ones and those that leave.

mod admin;
mod descriptors;
mod drain;
mod h1;
mod h2;
mod idle;
mod leaving;
mod limits;
mod log;
mod smuggling;
mod start;
mod support;
mod tcp;
mod tls;
