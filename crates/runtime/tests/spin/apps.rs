//! Apps of `examples/spin`: published SDKs, unmodified manifests.
