//! Dapr's messages and services, made from `proto/`.

#![allow(clippy::all, clippy::too_many_lines, reason = "generated")]

pub mod common {
    pub mod v1 {
        tonic::include_proto!("dapr.proto.common.v1");
    }
}

pub mod runtime {
    pub mod v1 {
        tonic::include_proto!("dapr.proto.runtime.v1");
    }
}
