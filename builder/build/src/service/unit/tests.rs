//! What is found wrong with unit files, by line.

use super::*;

/// Reads a unit beside the account `lantern` and the program `/usr/bin/lantern`; expects lines and
/// mistakes.
fn check_as(unit: &str, text: &str, is_enabled: IsEnabled, expected: &[(u64, UnitMistake)]) {
    let accounts = BTreeSet::from(["lantern".to_owned()]);
    let program = |path: &str| {
        (path != "/usr/bin/lantern").then(|| UnitMistake::NoProgram {
            program: path.to_owned(),
            nearest: None,
        })
    };
    let surroundings = Surroundings {
        accounts: &accounts,
        program: &program,
        is_enabled,
    };
    let found = mistakes(&unit.parse().unwrap(), text.as_bytes(), &surroundings);
    assert_eq!(found, expected, "{text}");
}

fn check(unit: &str, text: &str, expected: &[(u64, UnitMistake)]) {
    check_as(unit, text, IsEnabled::No, expected);
}

#[test]
fn good_units_are_fine() {
    let service = "# c\n[Unit]\nDescription=x\n[Service]\nExecStartPre=-+/usr/bin/lantern \\\n  -t \\\n; c\n  \
                   -q\nExecStart=@/usr/bin/lantern lantern -a=b\nExecReload=kill -HUP $MAINPID\n\
                   User=lantern\nGroup=adm\n[Install]\nWantedBy=multi-user.target\n[X-Own]\nX=\n";
    check_as("lantern.service", service, IsEnabled::Yes, &[]);
    check(
        "x@.service",
        "[Service]\nType=oneshot\nExecStop=\"/usr/bin/lantern\" off\nUser=%i\nGroup=0\n",
        &[],
    );
    check(
        "x.service",
        "[Service]\nDynamicUser=yes\nUser=anyone\nExecStart=%h/run\n",
        &[],
    );
    check("x.timer", "[Timer]\nOnBootSec=1\n", &[]);
    check("x.socket", "[Socket]\nListenDatagram=1\n", &[]);
    check("x.target", "[Unit]\n", &[]);
}

#[test]
fn what_is_no_unit_file_is_named_with_its_line() {
    check("x.target", "[Unit]\noops\n", &[(2, UnitMistake::Line)]);
    check("x.target", "[Unit\n[Unit]\n", &[(1, UnitMistake::Line)]);
    check(
        "x.target",
        "A=1\n[Unit]\n",
        &[(1, UnitMistake::OutsideSection)],
    );
    check("x.target", "[Unit]\nA b=1\n", &[(2, UnitMistake::Line)]);
    let surroundings = Surroundings {
        accounts: &BTreeSet::new(),
        program: &|_| None,
        is_enabled: IsEnabled::No,
    };
    let found = mistakes(&"x.target".parse().unwrap(), b"\xff", &surroundings);
    assert_eq!(found, [(1, UnitMistake::Encoding)]);
}

#[test]
fn units_that_do_nothing_are_refused() {
    let section = "Service";
    check("x.service", "", &[(1, UnitMistake::NoSection { section })]);
    for (unit, text, section, keys) in [
        (
            "x.service",
            "[Service]\nExecStart=\n",
            "Service",
            "ExecStart=",
        ),
        ("x.timer", "[Timer]\n", "Timer", "OnCalendar="),
        (
            "x.socket",
            "[Socket]\nAccept=yes\n",
            "Socket",
            "ListenStream=",
        ),
        ("x.path", "[Path]\nUnit=y\n", "Path", "PathChanged="),
    ] {
        check(
            unit,
            text,
            &[(1, UnitMistake::NothingToDo { section, keys })],
        );
    }
    check_as(
        "x.target",
        "[Unit]\n",
        IsEnabled::Yes,
        &[(1, UnitMistake::NotEnabled)],
    );
}

#[test]
fn programs_and_accounts_that_are_not_there_are_named() {
    let relative = UnitMistake::RelativeProgram {
        program: "bin/lantern".to_owned(),
    };
    check(
        "x.service",
        "[Service]\nExecStart=bin/lantern\n",
        &[(2, relative)],
    );
    let missing = UnitMistake::NoProgram {
        program: "/usr/bin/lamp".to_owned(),
        nearest: None,
    };
    check(
        "x.service",
        "[Service]\nExecStart=/usr/bin/lantern\nExecStop=\\\n  -/usr/bin/lamp off\n",
        &[(3, missing)],
    );
    let account = |key| UnitMistake::NoAccount {
        key,
        account: "lamp".to_owned(),
    };
    check(
        "x.service",
        "[Service]\nExecStart=/usr/bin/lantern\nUser=lamp\nGroup=lamp\n",
        &[(3, account("User")), (4, account("Group"))],
    );
}

#[test]
fn the_program_that_was_meant_has_nearly_the_same_name() {
    let shipped = ["/usr/bin/lantern", "/usr/share/lantern/run.sh"];
    for (program, expected) in [
        ("/usr/bin/lanternd", Some(shipped[0])),
        ("/opt/run-sh", Some(shipped[1])),
        ("/usr/bin/other", None),
    ] {
        let nearest = nearest_program(program, shipped.into_iter());
        assert_eq!(nearest.as_deref(), expected, "{program}");
    }
}
