//! The `kiln` command: arguments, configuration, progress, error report, exit codes.

mod arguments;
mod completion;
mod diagram;
mod failure;
mod hint;
mod host;
mod interrupt;
mod network;
mod print;
mod reference;
mod report;
mod screen;
mod session;
mod snippet;
mod style;
mod table;
mod text;
mod varied;
mod verbs;
mod verify;

use clap::Parser as _;

use arguments::{Arguments, Format, Verb};
use failure::{Failure, TROUBLE};
use report::{EventLine, print_event};

/// What the sandbox re-executes this program with; see `kiln_sandbox::InitProgram`.
const SANDBOX_INIT: &str = "sandbox-init";

fn main() -> std::process::ExitCode {
    let mut hidden = std::env::args_os().skip(1);
    match hidden.next() {
        Some(word) if word == SANDBOX_INIT => kiln_sandbox::sandbox_init(),
        Some(word) if word == varied::VARIED_INIT => kiln_sandbox::varied_init(),
        Some(word) if word == varied::VARIED_BUILD => {
            let exchange = hidden.next().unwrap_or_default();
            return varied::child::run(exchange.as_ref()).into();
        }
        _ => {}
    }
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print::close();
        default(panic);
    }));
    completion::answer_shell();
    let arguments = Arguments::parse();
    let is_json = arguments.common.format == Format::Json;
    let exit = run(&arguments).unwrap_or_else(|failure| {
        failure.print();
        if is_json {
            failure.events().iter().for_each(print_event);
        }
        failure.exit_code()
    });
    if is_json {
        print_event(&EventLine::Finished { exit });
    }
    // A script that reads a cut result must not take it for the whole one.
    if let Some(error) = print::lost() {
        print::note(&format!("error: can not write to standard output: {error}"));
        return TROUBLE.max(exit).into();
    }
    exit.into()
}

fn run(arguments: &Arguments) -> Result<u8, Failure> {
    match &arguments.verb {
        Verb::Check => verbs::check::run(&arguments.common),
        Verb::Lock(lock) => verbs::lock::run(&arguments.common, lock),
        Verb::Fetch(names) => verbs::fetch::run(&arguments.common, names),
        Verb::Plan(names) => verbs::plan::run(&arguments.common, names),
        Verb::Why(why) => verbs::why::run(&arguments.common, why),
        Verb::Build(build) => verbs::build::run(&arguments.common, build),
        Verb::Shell(shell) => verbs::shell::run(&arguments.common, shell),
        Verb::Verify(verify) => verbs::verify::run(&arguments.common, verify),
        Verb::Bundle(bundle) => verbs::bundle::run(&arguments.common, bundle),
        Verb::Store(store) => verbs::store::run(&arguments.common, store),
        Verb::Sign(sign) => verbs::sign::run(&arguments.common, sign),
        Verb::Diff(diff) => verbs::diff::run(&arguments.common, diff),
        Verb::New(new) => verbs::new::run(&arguments.common, new),
        Verb::Fmt(fmt) => verbs::fmt::run(&arguments.common, fmt),
        Verb::Doctor => verbs::doctor::run(&arguments.common),
        Verb::Graph(graph) => verbs::graph::run(&arguments.common, graph),
        Verb::Matrix(matrix) => verbs::matrix::run(&arguments.common, matrix),
        Verb::Schema(schema) => verbs::schema::run(schema),
        Verb::Completions(completions) => verbs::completions::run(completions),
        Verb::Man(man) => verbs::man::run(man),
        Verb::Vary(vary) => verbs::vary::run(&arguments.common, vary),
    }
}
