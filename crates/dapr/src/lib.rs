//! Dapr without the sidecar. So far: the policies of resiliency, and expressions.

pub mod cel;

pub mod resiliency;
