//! Components behind their handlers, in this process: what a client, a neighbour and an operator see.

mod bad_guests;
mod bodies;
mod chains;
mod concurrency;
mod density;
mod harness;
mod instances;
mod limits;
mod requests;
mod wasi03;
