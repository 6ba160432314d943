//! What tests of several crates need, and the tidy test (`tests/tidy.rs`), which belongs to none.

pub mod git;
