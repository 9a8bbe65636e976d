//! `containerd-shim-sampan-v1`.
