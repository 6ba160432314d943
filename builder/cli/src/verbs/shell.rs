//! `kiln shell`: into the sandbox of a step, the failed one or any other.

use std::io::{IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;

use kiln_build::{ShellRequest, ShellRoom, ShellState, open_shell};
use kiln_model::StepEnd;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::arguments::{Common, Shell};
use crate::failure::Failure;
use crate::host;
use crate::interrupt::FirstSignal;
use crate::print::note;
use crate::session::Session;

/// Longest script that is read from standard input, in bytes.
const MOST_SCRIPT: u64 = 1 << 20;

/// Lays the step's files out and enters.
pub fn run(common: &Common, shell: &Shell) -> Result<u8, Failure> {
    let stdin = std::io::stdin();
    let is_interactive =
        shell.command.is_empty() && stdin.is_terminal() && std::io::stdout().is_terminal();
    let command = match shell.command.as_slice() {
        [] if is_interactive => Vec::new(),
        [] => ["/bin/sh", "-eux", "-c", &script()?]
            .map(str::to_owned)
            .to_vec(),
        [program, ..] if program.starts_with('/') => shell.command.clone(),
        words => {
            // Found along PATH, as everywhere.
            let run = ["/bin/sh", "-c", "exec \"$@\"", "sh"].map(str::to_owned);
            run.into_iter().chain(words.iter().cloned()).collect()
        }
    };
    let mut session = Session::open(common, FirstSignal::Asks)?;
    let request = ShellRequest {
        recipe: &shell.recipe,
        product: shell.product.as_ref(),
        step: shell.step.map(Into::into),
    };
    let room = open_shell(&session.workshop(), &request)
        .map_err(|error| Failure::build(&session.project, &error))?;
    session.finish_report();
    let shop = session.workshop();
    // Not through the buffer of standard output, which waits for the end of a line: a person wants to
    // see what they type.
    let screen = std::io::stdout().as_fd().try_clone_to_owned();
    let mut screen = std::fs::File::from(screen.map_err(|error| Failure::host(error.into()))?);
    let end = if is_interactive {
        note(&welcome(&room));
        let terminal = host::variable("TERM").unwrap_or_else(|| "dumb".to_owned());
        let raw = Raw::enter()?;
        let end = room.interact(&shop, stdin.as_fd(), &terminal, &mut screen);
        drop(raw);
        end.map(|_| 0)
    } else {
        if !common.quiet {
            note(&welcome(&room));
        }
        room.run(&shop, command, &mut screen).map(|end| code(&end))
    };
    end.map_err(|error| Failure::build(&session.project, &error))
}

/// Reads what is to be run, where nobody types.
fn script() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(MOST_SCRIPT + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::host(format!("standard input: {error}").into()))?;
    if text.len() as u64 > MOST_SCRIPT {
        let reason = format!("standard input: expected at most {MOST_SCRIPT} bytes of script");
        return Err(Failure::host(reason.into()));
    }
    if text.contains('\0') {
        return Err(Failure::host("standard input: a script has no NUL".into()));
    }
    Ok(text)
}

/// 0 where the command did what it should, 1 where it did not.
const fn code(end: &StepEnd) -> u8 {
    if matches!(end, StepEnd::Exited(0)) {
        0
    } else {
        1
    }
}

/// Says where one is, and what stays of it.
fn welcome(room: &ShellRoom) -> String {
    let ShellRoom {
        node, step, state, ..
    } = room;
    let (place, stays) = match state {
        ShellState::Failed { is_current: true } => (
            format!("where step `{step}` failed"),
            "they stay until it is built",
        ),
        ShellState::Failed { is_current: false } => (
            format!("where step `{step}` failed, of what was built then (the recipe has changed)"),
            "they stay until it is built",
        ),
        ShellState::Before => (format!("before step `{step}`"), "they go when you leave"),
    };
    format!(
        "sandbox of {node}, {place}\n  \
         files    /build; {stays}; no build sees what you change\n  \
         scripts  /steps/{step}.sh and those of the other steps\n"
    )
}

/// The person's terminal in raw mode; every key reaches the sandbox. Leaves it as it was.
struct Raw {
    before: Termios,
}

impl Raw {
    fn enter() -> Result<Self, Failure> {
        let failed = |errno: rustix::io::Errno| {
            Failure::host(format!("the terminal can not be set up: {errno}").into())
        };
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}
