use kiln_build::{Row, StepName};
use kiln_model::StepEnd;

use super::*;
use crate::report::words::tests::{build, library};
use crate::style::Colours;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn columns(columns: usize) -> Size {
    Size { columns, rows: 24 }
}

#[track_caller]
fn check(frame: &Frame, now: Duration, size: Size, expected: &[&str]) {
    let lines = frame.lines(now, size);
    for line in &lines {
        assert!(line.width() < size.columns, "{line:?} is too wide");
    }
    assert!(lines.len() < size.rows);
    let shown: Vec<String> = lines.iter().map(|line| line.render(Colours::Off)).collect();
    assert_eq!(shown, expected);
}

fn row(work: &Work, outcome: Outcome) -> Row {
    Row {
        work: work.clone(),
        outcome,
        elapsed: at(1),
        rpms: None,
    }
}

fn end(frame: &mut Frame, work: &Work, outcome: Outcome) {
    let row = row(work, outcome);
    let event = Event::WorkEnded {
        row: &row,
        error: None,
    };
    frame.note(&event, at(0));
}

#[test]
fn running_steps_stand_over_the_total_at_every_width() {
    let openssl = library("openssl", "/usr/lib/curl");
    let zlib = build("zlib");
    let mut frame = Frame::default();
    check(&frame, at(1), columns(80), &[]);
    let work = [openssl.clone(), zlib.clone(), build("curl"), build("nginx")];
    frame.note(&Event::Planned { work: &work }, at(0));
    for work in [&openssl, &zlib] {
        assert_eq!(frame.note(&Event::WorkStarted { work }, at(1)), None);
    }
    let step = StepName::Check;
    let work = &openssl;
    assert_eq!(frame.note(&Event::StepStarted { work, step }, at(3)), None);
    end(&mut frame, &build("curl"), Outcome::Failed);
    end(&mut frame, &build("nginx"), Outcome::Cached);
    let now = at(75);
    check(
        &frame,
        now,
        columns(80),
        &[
            "check      openssl for /usr/lib/curl   1 min 12 s",
            "prepare    zlib                        1 min 14 s",
            "[=====!!!!!          ] 1 of 4 done, 1 failed  1 min 15 s",
        ],
    );
    let wide = frame.lines(now, columns(200));
    assert_eq!(wide, frame.lines(now, columns(80)), "it does not sprawl");
    check(
        &frame,
        now,
        columns(40),
        &[
            "check      openssl…ib/curl   1 min 12 s",
            "prepare    zlib              1 min 14 s",
            "1 of 4 done, 1 failed  1 min 15 s",
        ],
    );
}

#[test]
fn any_terminal_is_wide_and_high_enough() {
    let mut frame = Frame::default();
    let long = library(&"x".repeat(60), &format!("/usr/lib/{}", "y".repeat(60)));
    let work = [long.clone()];
    frame.note(&Event::Planned { work: &work }, at(0));
    frame.note(&Event::WorkStarted { work: &long }, at(0));
    frame.note(&Event::Assembling { what: "debian-12" }, at(0));
    let fetching = Event::Fetching {
        files: 1,
        bytes: None,
    };
    frame.note(&fetching, at(0));
    for width in 1..=250 {
        for rows in [1, 2, 3, 24] {
            let size = Size {
                columns: width,
                rows,
            };
            let lines = frame.lines(at(100_000), size);
            assert!(lines.len() < rows.max(1) || rows == 1 && lines.is_empty());
            assert!(lines.iter().all(|line| line.width() < width), "{size:?}");
        }
    }
}

#[test]
fn a_finished_step_stays_as_a_line() {
    let work = &build("zlib");
    let mut frame = Frame::default();
    frame.note(&Event::WorkStarted { work }, at(0));
    let ended = Event::StepEnded {
        work,
        step: StepName::Build,
        end: &StepEnd::Exited(0),
        elapsed: Duration::from_millis(3400),
    };
    let line = frame.note(&ended, at(4)).unwrap();
    assert_eq!(line.render(Colours::Off), "done       zlib: build (3.4 s)");
    check(
        &frame,
        at(5),
        columns(80),
        &["collect    zlib          1 s"],
    );
    end(&mut frame, work, Outcome::Built);
    check(&frame, at(5), columns(80), &[]);
}

#[test]
fn downloads_show_bytes_total_and_rate() {
    let mut frame = Frame::default();
    let fetching = Event::Fetching {
        files: 2,
        bytes: Some(6 << 20),
    };
    assert_eq!(frame.note(&fetching, at(0)), None);
    let mut tell = |event: Event<'_>, now| {
        let line = frame.note(&event, now);
        let shown = frame.lines(now, columns(80));
        let shown: Vec<String> = shown.iter().map(|line| line.render(Colours::Off)).collect();
        (line.map(|line| line.render(Colours::Off)), shown.join("\n"))
    };
    for name in ["a.deb", "b.deb"] {
        let size = Some(3 << 20);
        tell(Event::FetchStarted { name, size }, at(0));
    }
    let advanced = |name, bytes| Event::FetchAdvanced { name, bytes };
    assert_eq!(
        tell(advanced("a.deb", 2 << 20), at(2)).1,
        "fetch      0 of 2 files  2.0 MiB of 6.0 MiB  1.0 MiB/s"
    );
    // The next mirror starts from nothing.
    assert_eq!(
        tell(advanced("a.deb", 0), at(2)).1,
        "fetch      0 of 2 files  0 B of 6.0 MiB"
    );
    let bytes = 3 << 20;
    let fetched = |name| Event::Fetched { name, bytes };
    assert_eq!(
        tell(fetched("a.deb"), at(3)),
        (
            None,
            "fetch      1 of 2 files  3.0 MiB of 6.0 MiB  1.0 MiB/s".to_owned()
        )
    );
    assert_eq!(
        tell(fetched("b.deb"), at(4)),
        (
            Some("fetched    2 files (6.0 MiB, 4.0 s, 1.5 MiB/s)".to_owned()),
            String::new()
        )
    );
}

#[test]
fn a_single_download_has_its_harmless_name() {
    let mut frame = Frame::default();
    let fetching = Event::Fetching {
        files: 1,
        bytes: None,
    };
    frame.note(&fetching, at(0));
    let name = "zlib-\u{1b}[31m1.3.1.tar.gz";
    let size = Some(2 << 20);
    frame.note(&Event::FetchStarted { name, size }, at(0));
    let bytes = 1 << 20;
    frame.note(&Event::FetchAdvanced { name, bytes }, at(1));
    check(
        &frame,
        at(1),
        columns(80),
        &["fetch      zlib-\u{fffd}[31m1.3.1.tar.gz  1.0 MiB of 2.0 MiB  1.0 MiB/s"],
    );
    check(
        &frame,
        at(1),
        columns(45),
        &["fetch      z…  1.0 MiB of 2.0 MiB  1.0 MiB/s"],
    );
}

#[test]
fn root_file_systems_show_what_is_done_and_how_fast() {
    let mut frame = Frame::default();
    let what = "debian-12";
    frame.note(&Event::Assembling { what }, at(0));
    check(&frame, at(1), columns(80), &["assemble   debian-12"]);
    let mut advance = |stage, mebibytes: u64, now| {
        let event = Event::AssemblyAdvanced {
            what,
            stage,
            bytes: mebibytes << 20,
            total: 100 << 20,
        };
        assert_eq!(frame.note(&event, now), None);
        let lines = frame.lines(now, columns(80));
        lines[0].render(Colours::Off)
    };
    advance(TreeStage::Read, 0, at(1));
    assert_eq!(
        advance(TreeStage::Read, 40, at(3)),
        "assemble   debian-12  packages  40.0 MiB of 100.0 MiB  20.0 MiB/s"
    );
    // Each stage has its own rate.
    assert_eq!(
        advance(TreeStage::Unpack, 0, at(10)),
        "assemble   debian-12  files  0 B of 100.0 MiB"
    );
    assert_eq!(
        advance(TreeStage::Unpack, 50, at(11)),
        "assemble   debian-12  files  50.0 MiB of 100.0 MiB  50.0 MiB/s"
    );
    let elapsed = at(12);
    let line = frame.note(&Event::Assembled { what, elapsed }, elapsed);
    assert_eq!(
        line.unwrap().render(Colours::Off),
        "assembled  root file system of debian-12 (12.0 s)"
    );
    check(&frame, elapsed, columns(80), &[]);
}
