//! Runs one step sealed: the only room that spawns a process or holds unsafe code.
//!
//! The engine (in the caller) executes an [`InitProgram`] once, because a program with threads can not
//! enter a user namespace: the fork server. Of it, a run has three processes. A fork of the server
//! makes the namespaces and forks pid 1 of the new pid namespace, which builds the root, gives up
//! every privilege, **measures** that it did, and only then forks the step. When the step ends, pid 1
//! kills and reaps all that is left before [`Engine::run`] returns.
//!
//! ```text
//! caller (threads)  --socket, log-->  fork server
//!        |                                |  fork
//!        +---- spec ---->  outer init  --fork-->  pid 1 (reaper)  --fork, exec-->  step
//!        <------------- reports, over one socket that the step never has -------------
//! ```
//!
//! Invariant: no step runs unless network, file system, process and privilege isolation were seen
//! in effect from inside; when the host can not isolate, a [`SandboxError`] says which setting is in
//! the way.

mod cancel;
mod cgroup;
mod diagnose;
mod disk;
mod engine;
mod error;
mod forks;
mod host;
mod init;
mod log;
mod protocol;
mod terminal;
mod varied;
mod watch;

pub use cancel::Cancel;
pub use engine::{EmbeddedEngine, Engine, InitProgram};
pub use error::SandboxError;
pub use host::{OLDEST_KERNEL, is_kernel_new_enough, kernel, namespace_settings};
pub use init::sandbox_init;
pub use varied::{
    APPLIED, Applied, CLOCK_SOURCE, ClockFiles, Disturbance, DisturbedEngine, Places, ProcessFacts,
    ProcessOrder, Unvaried, VariedEnd, VariedError, View, clock_offset, personality, process_facts,
    run_varied, unvaried, varied_init,
};
