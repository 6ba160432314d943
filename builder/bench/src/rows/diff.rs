//! `diff`: two packages of about 50 MB that differ in a few places deep inside, beside diffoscope.
//!
//! The packages are made here by `rpmbuild`, from programs, libraries and texts of this host, changed in
//! three files: a date in a text in a compressed archive, some bytes of a library, the times of members
//! of a static library. Both tell where; that kiln does is checked. No file is larger than 4 MiB:
//! diffoscope disassembles a library that differs, which takes it hours for the largest ones.

use std::path::{Path, PathBuf};

use crate::command::{command, first_line, need, run};
use crate::error::BenchError;
use crate::figure::{Figure, Goal, in_turn};
use crate::setting::{Setting, ratio, seconds};

/// Makes the tree: `$1` is where, `$2` the size in MiB that it should have, compressed.
const TREE: &str = r#"
set -eu
mkdir -p "$1/usr/lib/demo" "$1/usr/share/demo"
total=0
find /usr/lib/x86_64-linux-gnu /usr/bin /usr/lib -xdev -type f -size +16k -size -4M | LC_ALL=C sort -u |
    while read -r file; do
        cp --parents "$file" "$1/usr/lib/demo/"
        total=$((total + $(stat -c %s "$file")))
        [ "$total" -lt $(($2 * 1024 * 1024)) ] || break
    done
mkdir -p "$1/../work"
cd "$1/../work"
seq 1 200000 > numbers.txt
echo 'built Nov 27 2026 10:00:00' > built.txt
tar --sort=name --mtime=@1 --owner=0 --group=0 -cf notes.tar numbers.txt built.txt
gzip -9n < notes.tar > "$1/usr/share/demo/notes.tar.gz"
ar rcD "$1/usr/lib/demo/libdemo.a" numbers.txt built.txt
find "$1" -exec touch -hd @1700000000 {} +
"#;

/// Changes the tree at `$1`.
const CHANGE: &str = r#"
set -eu
cd "$1/../work"
echo 'built Dec 30 2027 11:30:01' > built.txt
tar --sort=name --mtime=@1 --owner=0 --group=0 -cf notes.tar numbers.txt built.txt
gzip -9n < notes.tar > "$1/usr/share/demo/notes.tar.gz"
rm "$1/usr/lib/demo/libdemo.a"
touch -d @1700000000 numbers.txt built.txt
ar rcU "$1/usr/lib/demo/libdemo.a" numbers.txt built.txt
library=$(find "$1" -type f -name '*.so.*' -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
printf 'KILN' | dd of="$library" bs=1 seek=$(($(stat -c %s "$library") / 2)) conv=notrunc status=none
find "$1" -exec touch -hd @1700000000 {} +
"#;

const SPEC: &str = "\
Name: demo
Version: 1
Release: 1
Summary: What is compared
License: MIT
AutoReqProv: no
%description
What is compared.
%install
cp -a %{tree}/. %{buildroot}/
%files
/usr/lib/demo
/usr/share/demo
";

/// Mebibytes of files: about 50 MB of package.
const MEBIBYTES: &str = "130";

/// Measures it.
pub fn measure(setting: &Setting) -> Result<Vec<Figure>, BenchError> {
    for (program, package) in [
        ("diffoscope", "diffoscope-minimal"),
        ("rpmbuild", "rpm"),
        ("ar", "binutils"),
    ] {
        need(program, package)?;
    }
    let folder = setting.folder("diff")?;
    let (left, right) = packages(&folder)?;
    let size = fs_err::metadata(&left)?.len() >> 20;
    check(setting, &left, &right)?;
    let runs = setting.slow_runs;
    let ours = |option: &[&str]| {
        let mut kiln = shell_ends_well(&setting.kiln);
        kiln.arg("diff").args(option).arg(&left).arg(&right);
        Ok(run(&mut kiln)?.elapsed)
    };
    let pair = in_turn(
        runs,
        || ours(&[]),
        || {
            let mut peer = shell_ends_well("diffoscope");
            peer.args(["--no-progress", "--text", "/dev/null"])
                .arg(&left)
                .arg(&right);
            Ok(run(&mut peer)?.elapsed)
        },
    )?;
    let mut first = std::time::Duration::MAX;
    for _ in 0..runs {
        first = first.min(ours(&["--first"])?);
    }
    crate::seed::remove(&folder)?;
    let version = first_line(command("diffoscope").arg("--version"));
    let what = format!("`kiln diff` of two RPMs of {size} MiB, three files differ");
    Ok(vec![
        ratio("diff", &what, &version, pair, runs, 0.2),
        seconds(
            "diff",
            "the same, up to the first difference",
            first,
            runs,
            Goal::None,
        ),
    ])
}

/// Returns a command for which 1, that there are differences, is success.
fn shell_ends_well(program: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
    let mut shell = command("sh");
    shell
        .args(["-c", "\"$@\"; [ $? -eq 1 ]", "sh"])
        .arg(program);
    shell
}

fn packages(folder: &Path) -> Result<(PathBuf, PathBuf), BenchError> {
    let tree = folder.join("tree");
    fs_err::create_dir_all(&tree)?;
    let spec = folder.join("demo.spec");
    fs_err::write(&spec, SPEC)?;
    run(command("sh")
        .args(["-c", TREE, "sh"])
        .arg(&tree)
        .arg(MEBIBYTES))?;
    let left = package(folder, &tree, &spec, "left")?;
    run(command("sh").args(["-c", CHANGE, "sh"]).arg(&tree))?;
    let right = package(folder, &tree, &spec, "right")?;
    Ok((left, right))
}

/// Packages the tree with settings under which nothing else differs.
fn package(folder: &Path, tree: &Path, spec: &Path, name: &str) -> Result<PathBuf, BenchError> {
    let out = folder.join(name);
    let mut build = command("rpmbuild");
    build.env("SOURCE_DATE_EPOCH", "1700000000").arg("-bb");
    for (macro_name, value) in [
        ("_topdir", folder.join("top").display().to_string()),
        ("_rpmdir", out.display().to_string()),
        ("tree", tree.display().to_string()),
        ("_rpmfilename", "demo.rpm".to_owned()),
        ("_buildhost", "kiln".to_owned()),
        ("use_source_date_epoch_as_buildtime", "1".to_owned()),
        ("clamp_mtime_to_source_date_epoch", "1".to_owned()),
        ("_binary_payload", "w3.zstdio".to_owned()),
        ("__os_install_post", "%{nil}".to_owned()),
        ("debug_package", "%{nil}".to_owned()),
        ("_build_id_links", "none".to_owned()),
    ] {
        build.arg("--define").arg(format!("{macro_name} {value}"));
    }
    run(build.arg(spec))?;
    Ok(out.join("demo.rpm"))
}

/// What is measured is worth something only if it finds all three.
fn check(setting: &Setting, left: &Path, right: &Path) -> Result<(), BenchError> {
    let mut kiln = command(&setting.kiln);
    let output = kiln.arg("diff").arg(left).arg(right).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    for expected in ["built Dec 30 2027 11:30:01", "libdemo.a", "KILN"] {
        if !text.contains(expected) {
            return Err(BenchError::kiln("kiln diff")(&format!(
                "did not tell `{expected}`:\n{text}"
            )));
        }
    }
    Ok(())
}
