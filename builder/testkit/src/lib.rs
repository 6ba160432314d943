//! Where tests that belong to no single crate live: see `tests/tidy.rs`.
