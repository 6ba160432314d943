//! What the store and `out/` survive: kiln killed at every system call that changes them and at any
//! moment, calls that fail, disks that are too small, damage, and several kilns at once. Run by
//! `make test-slow` in part, and by `make test-durability` in full (docs/durability.md).

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not go on has failed"
)]

#[path = "../sealed/bases.rs"]
#[allow(dead_code, reason = "each suite uses its part")]
mod bases;
#[path = "../sealed/project.rs"]
#[allow(dead_code, reason = "each suite uses its part")]
mod project;
#[path = "../sealed/server.rs"]
#[allow(dead_code, reason = "each suite uses its part")]
mod server;
#[path = "../sealed/upstream.rs"]
#[allow(dead_code, reason = "each suite uses its part")]
mod upstream;

mod damage;
mod days;
mod disks;
mod kills;
mod moments;
mod scene;
mod together;
mod tracer;
