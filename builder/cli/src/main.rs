//! The `kiln` command: arguments, configuration, progress, error report, exit codes.

mod arguments;
mod failure;
mod hint;
mod host;
mod interrupt;
mod print;
mod report;
mod session;
mod snippet;
mod verbs;

use clap::Parser as _;

use arguments::{Arguments, Verb};
use failure::Failure;

/// What the sandbox re-executes this program with; see `kiln_sandbox::InitProgram`.
const SANDBOX_INIT: &str = "sandbox-init";

fn main() -> std::process::ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == SANDBOX_INIT)
    {
        kiln_sandbox::sandbox_init();
    }
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code.into(),
        Err(failure) => {
            failure.print();
            failure.exit_code().into()
        }
    }
}

fn run(arguments: &Arguments) -> Result<u8, Failure> {
    match &arguments.verb {
        Verb::Check => verbs::check::run(&arguments.common),
        Verb::Lock(lock) => verbs::lock::run(&arguments.common, lock),
        Verb::Fetch(names) => verbs::fetch::run(&arguments.common, names),
        Verb::Plan(names) => verbs::plan::run(&arguments.common, names),
        Verb::Build(names) => verbs::build::run(&arguments.common, names),
        Verb::New(new) => verbs::new::run(&arguments.common, new),
        Verb::Fmt(fmt) => verbs::fmt::run(&arguments.common, fmt),
        Verb::Doctor => verbs::doctor::run(),
        Verb::Schema(schema) => verbs::schema::run(schema),
    }
}
