//! Files as guests call them.
