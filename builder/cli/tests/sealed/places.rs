//! Places with odd names, and surroundings that lack things: a build is the same everywhere.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

use crate::bases::Base;
use crate::project::{DEMO, Project, outputs};
use crate::server::Server;

#[expect(clippy::disallowed_methods, reason = "the program under test")]
fn kiln(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.env_clear().current_dir(folder);
    command
}

#[test]
fn slow_odd_places_and_poor_surroundings_change_nothing() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    project.done(&["build"]);
    let expected = outputs(&project.root.join("out"));
    let parent = project.root.parent().unwrap();
    let mut place = project.root.clone();
    let names: [&[u8]; 4] = [
        b"with space",
        b"new\nline",
        b"not \xff UTF-8",
        b"a:b,c\\d\"e'f$g",
    ];
    for name in names {
        let next = parent.join(OsStr::from_bytes(name));
        fs_err::rename(&place, &next).unwrap();
        place = next;
        fs_err::remove_dir_all(place.join(".kiln/store/actions")).unwrap();
        fs_err::remove_dir_all(place.join("out")).unwrap();
        // Neither HOME nor TMPDIR, nor anything else.
        let output = kiln(&place).args(["--quiet", "build"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{name:?}: {said}");
        assert_eq!(outputs(&place.join("out")), expected, "{name:?}");
    }
    // No descriptors at all, and places that nothing can be written to.
    fs_err::remove_dir_all(place.join(".kiln/store/actions")).unwrap();
    fs_err::remove_dir_all(place.join("out")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a shell can close descriptors")]
    let status = Command::new("sh")
        .args(["-c", "exec \"$0\" build <&- >&- 2>&-"])
        .arg(env!("CARGO_BIN_EXE_kiln"))
        .env_clear()
        .env("HOME", "/proc/nowhere")
        .env("TMPDIR", "/proc")
        .current_dir(&place)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(outputs(&place.join("out")), expected);
    // A result that is there, and was not all told, is no success.
    let full = fs_err::File::create("/dev/full").unwrap().into_parts().0;
    let output = kiln(&place).arg("build").stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let expected =
        "error: can not write to standard output: No space left on device (os error 28)\n";
    assert_eq!(said, expected);
}
