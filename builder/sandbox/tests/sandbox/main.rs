//! Attacks on a sandbox, each beside what must keep working.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "fixtures run only in tests, and a skip must be visible"
)]

mod boundary;
mod endings;
mod identity;
mod inputs;
mod resources;
mod setup;
mod support;
mod terminals;
