//! A spec that uses everything that a file list and a package can say, beside the rest of the demo.

use kiln_model::recipe::{FileMode, PackageArchitecture};
use kiln_rpm::{ChangelogEntry, FileKind, FileLine, FileOwner, PackageInput, SpecInput};

use super::{dependency, empty, file, input};

fn with_mode(mut line: FileLine, mode: u16) -> FileLine {
    line.mode = FileMode::new(mode);
    line
}

fn owned_by(mut line: FileLine, user: &str, group: &str) -> FileLine {
    line.owner = Some(FileOwner {
        user: user.to_owned(),
        group: group.to_owned(),
    });
    line
}

fn relations(package: &mut PackageInput) {
    let all = |texts: &[&str]| texts.iter().map(|text| dependency(text)).collect();
    package.requires = all(&[
        "libdemo(x86-64) = 1:1.0-2",
        "(one if two)",
        "(a >= 1 with a < 2)",
    ]);
    package.provides = all(&["server = 1.0"]);
    package.conflicts = all(&["torch > 3", "(b unless c)"]);
    package.obsoletes = all(&["candle < 2"]);
    package.recommends = all(&["matches", "(d if e else f)"]);
    package.suggests = all(&["oil"]);
    package.supplements = all(&["(night and house)"]);
    package.enhances = all(&["house >= 2:1-1"]);
}

/// The demo with epoch, two changelog entries, a package without files of its own, and one of each kind of
/// line and relation.
pub fn every_key() -> SpecInput {
    let mut input = input();
    input.epoch = Some(1);
    input.changelog = [("2023-02-20", "1:1.0-2"), ("2023-02-19", "1:1.0~rc1-1")]
        .map(|(date, version)| ChangelogEntry {
            date: date.parse().unwrap(),
            author: "Ada Example <ada@example.org>".to_owned(),
            version_release: version.to_owned(),
            lines: vec![format!("Say {version}")],
        })
        .into();
    let program = &mut input.packages[0];
    relations(program);
    program
        .files
        .retain(|line| !line.path.as_str().starts_with("/etc/"));
    let state = file("/var/lib/demo/state", FileKind::Ghost);
    program.files.retain(|line| line.path != state.path);
    program.files.extend([
        owned_by(
            with_mode(file("/etc/demo.conf", FileKind::ConfigReplaced), 0o640),
            "demo",
            "daemon",
        ),
        owned_by(with_mode(state, 0o600), "demo", "demo"),
        with_mode(file("/var/lib/demo", FileKind::GhostDirectory), 0o2770),
        file("/run/demo.pid", FileKind::Ghost),
    ]);
    for line in &mut program.files {
        if line.path.as_str() == "/usr/bin/demo-script" {
            line.capabilities = Some("cap_net_bind_service=ep".to_owned());
        }
    }
    let mut all = empty("demo-all", PackageArchitecture::Noarch);
    all.files.clear();
    all.requires = vec![dependency("demo = 1:1.0-2")];
    input.packages.push(all);
    input
}
