//! A step on a terminal: what is typed and how large the window is reaches it, the terminal itself not.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex};

use kiln_model::StepEnd;
use kiln_sandbox::{Cancel, Engine as _};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

use crate::support::{Place, assert_sealed, engine, wait_until};

/// A person's terminal: the person holds the near end, kiln the far one, in raw mode.
fn person(columns: u16) -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let near = openpt(flags).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let far = ioctl_tiocgptpeer(&near, flags).unwrap();
    let mut modes = tcgetattr(&far).unwrap();
    modes.make_raw();
    tcsetattr(&far, OptionalActions::Now, &modes).unwrap();
    let near = File::from(near);
    resize(&near, columns);
    (near, far)
}

fn resize(near: &File, columns: u16) {
    let size = Winsize {
        ws_row: 30,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(near, size).unwrap();
}

/// What was shown so far.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<u8>>>);

impl Shown {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_is_typed_reaches_the_step_and_so_does_the_size() {
    let Some(place) = Place::new() else { return };
    let step = place.command(&["/bin/sh", "-i"]);
    let (mut near, far) = person(91);
    let shown = Shown::default();
    let mut screen = shown.clone();
    std::thread::scope(|scope| {
        let running = scope
            .spawn(|| engine().run_on_terminal(&step, far.as_fd(), &mut screen, &Cancel::new()));
        let mut say = |typed: &str, answer: &str| {
            near.write_all(typed.as_bytes()).unwrap();
            wait_until(&|| shown.text().contains(answer));
        };
        say("echo $((40+2))-one\r", "\n42-one");
        say("/bin/busybox stty size\r", "30 91");
        // A key for the terminal in between, not a byte for the program.
        // What speaks holds the terminal already: the key can not come before it.
        say("sh -c \"echo b''efore; exec sleep 100\"\r", "\nbefore");
        say("\u{3}", "^C");
        let is_back = || {
            let text = shown.text();
            text.rsplit("^C")
                .next()
                .is_some_and(|rest| rest.contains("$ "))
        };
        wait_until(&is_back);
        say("echo $((40+3))-two\r", "\n43-two");
        // It is a terminal of the step's own, and it does not name a device of the host.
        say("ls -l /proc/self/fd/0 /dev/pts; echo e''nd\r", "\nend");
        assert!(shown.text().contains("ptmx"), "{}", shown.text());
        say("exit 7\r", "exit 7");
        let outcome = running.join().unwrap().unwrap();
        assert_eq!(outcome.end, StepEnd::Exited(7), "{}", shown.text());
        assert_sealed(&outcome.isolation);
    });
}

#[test]
fn a_window_that_changes_changes_for_the_step() {
    let Some(place) = Place::new() else { return };
    let script =
        "while [ \"$(/bin/busybox stty size)\" != '30 50' ]; do sleep 0.1; done; echo 'it is'";
    let step = place.step(script);
    let (near, far) = person(100);
    let mut shown = Shown::default();
    let looked = shown.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(300));
            resize(&near, 50);
        });
        let outcome = engine()
            .run_on_terminal(&step, far.as_fd(), &mut shown, &Cancel::new())
            .unwrap();
        assert_eq!(outcome.end, StepEnd::Exited(0));
    });
    assert_eq!(looked.text(), "it is\r\n");
}

#[test]
fn a_person_who_is_gone_ends_the_input_and_cancelling_ends_the_step() {
    let Some(place) = Place::new() else { return };
    let (near, far) = person(80);
    drop(near);
    let mut shown = Shown::default();
    let step = place.command(&["/bin/cat"]);
    let outcome = engine()
        .run_on_terminal(&step, far.as_fd(), &mut shown, &Cancel::new())
        .unwrap();
    assert_eq!(outcome.end, StepEnd::Exited(0), "{}", shown.text());

    let (_near, far) = person(80);
    let cancel = Cancel::new();
    let step = place.step("echo ready; sleep 1000");
    let looked = Shown::default();
    let mut shown = looked.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until(&|| looked.text().contains("ready"));
            cancel.cancel();
        });
        let outcome = engine()
            .run_on_terminal(&step, far.as_fd(), &mut shown, &cancel)
            .unwrap();
        assert_eq!(outcome.end, StepEnd::Cancelled);
    });
}

#[test]
fn without_a_terminal_a_step_has_none() {
    let Some(place) = Place::new() else { return };
    let step = place.step("test ! -t 0 && test ! -t 1 && ! setsid true < /dev/tty");
    assert_eq!(
        crate::support::run(&step).unwrap().0.end,
        StepEnd::Exited(0)
    );
}
