//! `kiln diff` as people and programs meet it.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

fn kiln(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("kiln")
        .unwrap()
        .env_clear()
        .env("HOME", folder)
        .current_dir(folder)
        .timeout(std::time::Duration::from_secs(60))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }
    folder
}

fn package(time: u32, hello: &str) -> Vec<u8> {
    let config = rpm::BuildConfig::v4()
        .compression(rpm::CompressionType::Zstd)
        .source_date(time);
    let mut builder = rpm::PackageBuilder::new("demo", "1.0", "MIT", "x86_64", "A demo");
    builder.using_config(config).build_host("kiln");
    let file = rpm::FileOptions::new("/usr/share/demo/hello");
    builder.with_file_contents(hello, file).unwrap();
    let mut bytes = Vec::new();
    builder.build().unwrap().write(&mut bytes).unwrap();
    bytes
}

/// Runs `kiln diff` in a folder; expects an exit code, standard output and standard error.
fn check(files: &[(&str, &[u8])], arguments: &[&str], code: i32, stdout: &str, stderr: &str) {
    let folder = folder(files);
    let arguments: Vec<&str> = ["diff"].iter().chain(arguments).copied().collect();
    let actual = kiln(folder.path(), &arguments);
    assert_eq!(
        actual,
        (code, stdout.to_owned(), stderr.to_owned()),
        "{arguments:?}"
    );
}

#[test]
fn files_that_differ_are_told_by_place_and_cause() {
    check(
        &[("a", b"same\n"), ("b", b"same\n")],
        &["a", "b"],
        0,
        "identical\n",
        "",
    );
    let files: &[(&str, &[u8])] = &[
        ("a", b"name: demo\nbuilt: 2026-11-27\nlevel: low\n"),
        ("b", b"name: demo\nbuilt: 2027-12-30\nlevel: high\n"),
    ];
    let page = "\
- a
+ b

line 2, column 11
  - built: 2026-11-27
  + built: 2027-12-30
line 3, column 8
  - level: low
  + level: high

2 differences.

Causes, as the content tells:
  timestamps                      `2026-11-27` and `2027-12-30` are dates, and what is around them is the same
  unknown                         the content does not tell why `line 3, column 8` differs
";
    check(files, &["a", "b"], 1, page, "");
    check(files, &["--quiet", "a", "b"], 1, "", "");
    let (code, stdout, _) = kiln(folder(files).path(), &["diff", "--first", "a", "b"]);
    assert_eq!(code, 1);
    assert!(
        stdout.contains("line 2, column 11\n") && !stdout.contains("line 3"),
        "{stdout}"
    );
    assert!(
        stdout.contains("1 difference; stopped there, --limit tells more.\n"),
        "{stdout}"
    );
}

#[test]
fn packages_are_told_by_tag_and_file() {
    let (one, two) = (
        package(1_676_851_200, "hello\n"),
        package(1_676_851_201, "hullo\n"),
    );
    let folder = folder(&[("a.rpm", &one), ("b.rpm", &two)]);
    let (code, stdout, stderr) = kiln(folder.path(), &["diff", "a.rpm", "b.rpm"]);
    assert_eq!((code, stderr.as_str()), (1, ""));
    for line in [
        "tag BUILDTIME\n  - 1676851200 (2023-02-20T00:00:00Z)\n  + 1676851201 (2023-02-20T00:00:01Z)\n",
        "file /usr/share/demo/hello\n",
        "  line 1, column 2\n    - hello\n    + hullo\n",
        "The packages install other files: their payloads differ.\n",
        "  timestamps ",
    ] {
        assert!(stdout.contains(line), "{line}\n{stdout}");
    }
    // What follows from them is counted, not shown.
    assert!(!stdout.contains("PAYLOADDIGEST"), "{stdout}");
    assert!(stdout.contains("that follow from them"), "{stdout}");
}

#[test]
fn programs_get_events() {
    let files: &[(&str, &[u8])] = &[("a", b"x\n"), ("b", b"y\x1b\n")];
    let expected = "\
{\"event\":\"difference\",\"place\":[{\"kind\":\"line\",\"name\":\"1\"},{\"kind\":\"column\",\"name\":\"1\"}],\
\"change\":\"value\",\"left\":\"x\",\"right\":\"y\\\\x1b\",\"follows\":false}
{\"event\":\"diff\",\"left\":\"a\",\"right\":\"b\",\"is-identical\":false,\"differences\":1,\"is-cut\":false,\
\"causes\":[{\"cause\":\"unknown\",\"evidence\":\"the content does not tell why `line 1, column 1` differs\"}],\
\"notes\":[]}
{\"event\":\"finished\",\"exit\":1}
";
    check(files, &["--format", "json", "a", "b"], 1, expected, "");
    let same: &[(&str, &[u8])] = &[("a", b""), ("b", b"")];
    let expected = "\
{\"event\":\"diff\",\"left\":\"a\",\"right\":\"b\",\"is-identical\":true,\"differences\":0,\"is-cut\":false,\
\"causes\":[],\"notes\":[]}
{\"event\":\"finished\",\"exit\":0}
";
    check(same, &["--format", "json", "a", "b"], 0, expected, "");
}

#[test]
fn what_can_not_be_compared_is_exit_code_2() {
    let files: &[(&str, &[u8])] = &[("file", b"x"), ("folder/inner", b"x")];
    check(
        files,
        &["file", "folder"],
        2,
        "",
        "error: `file` is a file and `folder` is a folder\n\nhint: compare two files, or two folders\n",
    );
    check(
        files,
        &["/dev/null", "file"],
        2,
        "",
        "error: `/dev/null` is a device, which is never opened\n\nhint: compare two files, or two folders\n",
    );
    let folder = folder(files);
    let (code, stdout, stderr) = kiln(folder.path(), &["diff", "file", "missing"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(
        stderr.starts_with("error: failed to query resolved metadata `missing`"),
        "{stderr}"
    );
    let fifo = folder.path().join("fifo");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, rustix::fs::Mode::RWXU, 0).unwrap();
    let (code, _, stderr) = kiln(folder.path(), &["diff", "file", "fifo"]);
    assert_eq!(code, 2);
    assert!(
        stderr.starts_with("error: `fifo` is a FIFO, which is never opened\n"),
        "{stderr}"
    );
}

#[test]
fn damaged_packages_are_refused_and_false_ones_compared() {
    let whole = package(1_676_851_200, "hello\n");
    let other = package(1_676_851_201, "hello\n");
    // A sample: the library's own tests flip every byte.
    for at in (96..whole.len()).step_by(211) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        let folder = folder(&[("a.rpm", &whole), ("b.rpm", &flipped)]);
        let (code, stdout, stderr) = kiln(folder.path(), &["diff", "a.rpm", "b.rpm"]);
        match code {
            1 => assert!(stdout.contains("difference"), "byte {at}: {stdout}"),
            2 => assert!(
                stderr.starts_with("error: ") && stderr.contains("--> b.rpm\n"),
                "byte {at}: {stderr}"
            ),
            code => panic!("byte {at}: exit code {code}"),
        }
    }
    let cut = &other[..other.len() / 2];
    let folder = folder(&[
        ("a.rpm", &whole),
        ("b.rpm", cut),
        ("c.rpm", b"no package\n"),
    ]);
    let (code, _, stderr) = kiln(folder.path(), &["diff", "a.rpm", "b.rpm"]);
    assert_eq!(code, 2);
    assert!(
        stderr.starts_with("error: the package is damaged: ")
            || stderr.starts_with("error: the payload does not match"),
        "{stderr}"
    );
    let (code, stdout, _) = kiln(folder.path(), &["diff", "a.rpm", "c.rpm"]);
    assert_eq!(code, 1);
    assert!(
        stdout.contains(
            "note: `c.rpm` is no RPM package, whatever its name: compared as what it is\n"
        ),
        "{stdout}"
    );
}

#[test]
fn folders_are_walked_and_names_are_harmless() {
    let left: &[(&str, &[u8])] = &[
        ("l/same", b"same"),
        ("l/deep/er", b"one\n"),
        ("l/gone/x", b"x"),
        ("l/gone/y", b"y"),
        ("r/same", b"same"),
        ("r/deep/er", b"two\n"),
        ("r/\u{1b}[2Jred", b"x"),
    ];
    let page = "\
- l
+ r

file \\x1b[2Jred
  + file of 1 bytes
file deep/er
  line 1, column 1
    - one
    + two
file gone
  - folder

3 differences.

Causes, as the content tells:
  unknown                         the content does not tell why `file \\x1b[2Jred` and 2 more differ
";
    check(left, &["l", "r"], 1, page, "");
    check(left, &["l", "l"], 0, "identical\n", "");
}

#[test]
fn logs_and_run_records_of_two_out_folders_are_left_out() {
    let files: &[(&str, &[u8])] = &[
        ("one/rpms/x", b"x"),
        ("one/provenance/demo.json", b"{}"),
        ("one/provenance/demo.run.json", b"{\"started\": 1}"),
        ("one/logs/build.log", b"took 1 s"),
        ("two/rpms/x", b"x"),
        ("two/provenance/demo.json", b"{}"),
        ("two/provenance/demo.run.json", b"{\"started\": 2}"),
        ("two/logs/build.log", b"took 2 s"),
    ];
    let page = "identical\nnote: logs/ and *.run.json tell of one run, not of its results, and were left out\n";
    check(files, &["one", "two"], 0, page, "");
}
