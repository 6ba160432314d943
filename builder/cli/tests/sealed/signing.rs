//! Signing as people do it: what rpm and dnf accept afterwards, what they refuse, what is never released
//! twice, and that no step ever sees a key.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use kiln_rpm::{Certificate, RpmFile, unsigned_package};

use crate::bases::Base;
use crate::project::{DEMO, Project, changed, files, with_build};
use crate::server::Server;
use crate::tools::{Machine, Said, copy, run};

fn fixture(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rpm/src/signing/fixtures");
    fs_err::canonicalize(fixtures.join(name)).unwrap()
}

fn fingerprint(name: &str) -> String {
    let text = fs_err::read_to_string(fixture(&format!("{name}.fingerprint"))).unwrap();
    text.trim().to_owned()
}

/// Pins a key in the project's settings, with more lines for `[signing]`.
fn pin(project: &Project<'_>, name: &str, more: &str) {
    let mirror = project.server.address("debian");
    let fingerprint = fingerprint(name);
    let rpms = project.root.join("out/rpms").display().to_string();
    let config = format!(
        "[mirrors]\ndebian = [\"{mirror}\"]\n[signing]\nfingerprint = \"{fingerprint}\"\n{more}\
         [repository]\nbaseurl = \"file://{rpms}/\"\n"
    );
    project.write("kiln.toml", config.as_bytes());
}

fn key_line(name: &str) -> String {
    let file = fixture(&format!("{name}.secret.asc"));
    format!("key = \"{}\"\n", file.display())
}

/// Makes a project with the recipe `demo`, built and unsigned.
fn built<'a>(base: &Base, server: &'a Server) -> Project<'a> {
    let project = Project::new(base, server, DEMO);
    pin(&project, "rsa", &key_line("rsa"));
    project.done(&["lock"]);
    project.done(&["build"]);
    project
}

fn packages(project: &Project<'_>) -> Vec<(String, Vec<u8>)> {
    let found = files(&project.root.join("out/rpms")).into_iter();
    let found = found.filter(|(name, _)| name.ends_with(".rpm"));
    found
        .map(|(name, path)| (name, fs_err::read(path).unwrap()))
        .collect()
}

/// Says what rpm would do with a file if only `key` were trusted and everything had to be signed.
fn rpm_takes(folder: &Path, key: &Path, file: &Path) -> Said {
    let database = folder.join("db").display().to_string();
    fs_err::create_dir_all(&database).unwrap();
    let imported = run(
        "rpmkeys",
        &["--dbpath", &database, "--import", &key.to_string_lossy()],
        &[],
    );
    assert!(imported.is_done, "{}", imported.text);
    let level = "_pkgverify_level all";
    run(
        "rpm",
        &[
            "--dbpath",
            &database,
            "--define",
            level,
            "-U",
            "--test",
            "--nodeps",
            &file.to_string_lossy(),
        ],
        &[],
    )
}

fn repo_section(project: &Project<'_>, rpms: &Path) -> String {
    let text = fs_err::read_to_string(project.root.join("out/rpms/kiln.repo")).unwrap();
    let own = project.root.join("out/rpms").display().to_string();
    text.replace(&own, &rpms.display().to_string())
}

#[test]
fn slow_signed_packages_are_reproducible_but_for_the_signature() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = built(&base, &server);
    project.done(&["sign"]);
    let ended = project.done(&["verify", "--builds", "1"]);
    for said in [
        "identical but for the signature",
        "rpms/repodata was not compared: it lists signed packages",
    ] {
        assert!(ended.stdout.contains(said), "{said}: {}", ended.stdout);
    }
}

#[test]
fn slow_signed_packages_are_what_rpm_and_dnf_accept() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = built(&base, &server);
    let out = project.root.join("out/rpms");
    let unsigned = packages(&project);
    let folder = tempfile::tempdir().unwrap();
    let before = folder.path().join("unsigned");
    copy(&out, &before);

    let signed = project.done(&["sign"]);
    assert!(
        signed
            .stdout
            .contains("8 packages signed, and the repository's index"),
        "{}",
        signed.stdout
    );
    let after = packages(&project);
    let certificates = Certificate::parse_all(&fs_err::read(fixture("rsa.public.asc")).unwrap());
    let certificates = certificates.unwrap();
    for ((name, old), (_, new)) in unsigned.iter().zip(&after) {
        let (read_old, read_new) = (RpmFile::parse(old).unwrap(), RpmFile::parse(new).unwrap());
        assert!(read_new.is_signed() && !read_old.is_signed(), "{name}");
        assert_eq!(old[..96], new[..96], "{name}: the lead");
        assert_eq!(read_old.header_range(), read_new.header_range(), "{name}");
        let start = read_new.header_range().start;
        assert_eq!(old[start..], new[start..], "{name}: header and payload");
        assert_eq!(
            &unsigned_package(new).unwrap(),
            old,
            "{name}: as rpmbuild wrote it"
        );
        let header = &new[read_new.header_range()];
        certificates[0]
            .verify(header, read_new.header_signature().unwrap())
            .unwrap();
    }
    // Nothing more to do, for either verb.
    let again = project.done(&["build"]);
    assert!(again.stdout.contains("\nNothing to do"), "{}", again.stdout);
    let again = project.done(&["sign"]);
    assert!(
        again.stdout.contains("out/ is as it was"),
        "{}",
        again.stdout
    );
    assert_eq!(packages(&project), after);
    // What is lost comes back signed, without the key.
    let index = out.join("repodata/repomd.xml.asc");
    let signature = fs_err::read(&index).unwrap();
    let own_key = fs_err::read(out.join("RPM-GPG-KEY-kiln")).unwrap();
    fs_err::remove_dir_all(&out).unwrap();
    project.done(&["build"]);
    assert_eq!(packages(&project), after);
    assert_eq!(fs_err::read(&index).unwrap(), signature);
    assert_eq!(fs_err::read(out.join("RPM-GPG-KEY-kiln")).unwrap(), own_key);

    check_rpm(&out, &before, folder.path());
    check_dnf(&base, &project, folder.path());
    project.check_store();
}

/// rpm takes what our key signed, and neither unsigned nor foreign nor damaged packages.
fn check_rpm(out: &Path, before: &Path, scratch: &Path) {
    let key = out.join("RPM-GPG-KEY-kiln");
    let name = "x86_64/libdemo-1.0-1.x86_64.rpm";
    let take = |key: &Path, file: &Path| {
        let folder = tempfile::tempdir().unwrap();
        rpm_takes(folder.path(), key, file)
    };
    let good = take(&key, &out.join(name));
    assert!(good.is_done, "{}", good.text);
    let bad = take(&key, &before.join(name));
    assert!(
        !bad.is_done && bad.text.contains("no signature"),
        "{}",
        bad.text
    );
    let bad = take(&fixture("other.public.asc"), &out.join(name));
    assert!(!bad.is_done && bad.text.contains("NOKEY"), "{}", bad.text);
    let bytes = fs_err::read(out.join(name)).unwrap();
    let range = RpmFile::parse(&bytes).unwrap().header_range();
    for at in [range.start + 200, range.end + 40] {
        let mut tampered = bytes.clone();
        tampered[at] ^= 1;
        let file = scratch.join("tampered.rpm");
        fs_err::write(&file, tampered).unwrap();
        let bad = take(&key, &file);
        assert!(!bad.is_done, "{}", bad.text);
    }
}

/// dnf with both checks on installs, and refuses what was tampered with.
fn check_dnf(base: &Base, project: &Project<'_>, folder: &Path) {
    let out = project.root.join("out/rpms");
    let machine = Machine::new(base);
    let text = repo_section(project, &out);
    assert!(text.contains("\ngpgcheck=1\nrepo_gpgcheck=1\n"), "{text}");
    machine.done(&text, &["install", "demo"]);
    assert_eq!(machine.query("demo"), "demo-1.0-1.x86_64");
    machine.done(&text, &["remove", "demo", "libdemo"]);

    let tampered = folder.join("tampered");
    copy(&out, &tampered);
    let section = repo_section(project, &tampered);
    let index = tampered.join("repodata/repomd.xml");
    let mut bytes = fs_err::read(&index).unwrap();
    bytes.push(b'\n');
    fs_err::write(&index, bytes).unwrap();
    let refused = machine.dnf(&section, &["install", "demo"]);
    assert!(
        !refused.is_done && refused.text.contains("Bad GPG signature"),
        "{}",
        refused.text
    );
    // The metadata is whole, but a package is another one of the same size.
    fs_err::copy(out.join("repodata/repomd.xml"), &index).unwrap();
    let package = tampered.join("x86_64/demo-1.0-1.x86_64.rpm");
    let mut bytes = fs_err::read(&package).unwrap();
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    fs_err::write(&package, bytes).unwrap();
    let refused = machine.dnf(&section, &["install", "demo"]);
    assert!(!refused.is_done, "{}", refused.text);
    assert_eq!(machine.query("demo"), "package demo is not installed");
    // It was the package that was refused, and nothing else.
    fs_err::copy(out.join("x86_64/demo-1.0-1.x86_64.rpm"), &package).unwrap();
    machine.done(&section, &["install", "demo"]);
}

#[test]
fn slow_what_was_released_is_never_replaced() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = built(&base, &server);
    project.done(&["sign"]);
    let lock = project.root.join("lockfiles/released.lock");
    let released = fs_err::read_to_string(&lock).unwrap();
    for line in [
        "# @generated by `kiln sign`; do not edit.\nformat = 1\n\n[packages]\n",
        "\n\"demo-1.0-1.x86_64\" = { content = \"sha256:",
        "\n[inputs.\"demo-1.0-1\"]\n",
        "\n\"recipe summary\" = \"A program and its library\"\n",
    ] {
        assert!(released.contains(line), "{line} is not in {released}");
    }
    let before = packages(&project);
    let other = changed(DEMO, "summary: A program and", "summary: One program and");
    project.write_demo(&other);
    let refused = project.kiln(&["build"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    for part in [
        "error: demo: `demo-1.0-1.x86_64` was released, and now has other content\n  expected  sha256:",
        "\n  changed   recipe summary: was `A program and its library`, is `One program and its library`\n",
        "recipes/demo/recipe.yaml:4:",
        "\nhint: raise `release`",
    ] {
        assert!(
            refused.stderr.contains(part),
            "{part} is not in {}",
            refused.stderr
        );
    }
    assert_eq!(packages(&project), before, "nothing of it is published");
    // Another release may differ; the released packages stay for those who have not upgraded.
    project.write_demo(&changed(&other, "release: 1\n", "release: 2\n"));
    project.done(&["lock"]);
    project.done(&["build"]);
    let names: Vec<String> = project.rpm_names();
    for name in ["demo-1.0-1.x86_64.rpm", "demo-1.0-2.x86_64.rpm"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
    let stale = project.root.join("out/rpms/repodata/repomd.xml.asc");
    assert!(!stale.exists(), "the signature was of another index");
    project.write_demo(&changed(&other, "release: 1\n", "release: 10\n"));
    project.done(&["lock"]);
    project.done(&["build"]);
    assert!(
        !project
            .rpm_names()
            .iter()
            .any(|name| name == "demo-1.0-2.x86_64.rpm")
    );
    project.done(&["sign"]);
    assert!(stale.exists());
    // What orders below the newest release is told.
    project.write_demo(&changed(&other, "release: 1\n", "release: 9\n"));
    project.done(&["lock"]);
    let told = project.done(&["build"]);
    let text = "demo-1.0-9.x86_64 orders below demo-1.0-10.x86_64, which was released";
    assert!(told.stderr.contains(text), "{}", told.stderr);
    // The first release again, from the recipe as it was: the same bytes are welcome.
    project.write_demo(DEMO);
    project.done(&["lock"]);
    project.done(&["build"]);
}

#[test]
fn slow_a_new_key_takes_the_place_of_the_old_one() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = built(&base, &server);
    project.done(&["sign"]);
    let old = packages(&project);
    let public = fixture("rsa.public.asc");
    let more = format!(
        "{}public-keys = [\"{}\"]\n",
        key_line("subkey"),
        public.display()
    );
    pin(&project, "subkey", &more);
    project.done(&["sign"]);
    let new = packages(&project);
    let out = project.root.join("out/rpms");
    let keys =
        Certificate::parse_all(&fs_err::read(out.join("RPM-GPG-KEY-kiln")).unwrap()).unwrap();
    let exported: Vec<String> = keys.iter().map(Certificate::shown_fingerprint).collect();
    assert_eq!(exported, [fingerprint("subkey"), fingerprint("rsa")]);
    for ((name, old), (_, new)) in old.iter().zip(&new) {
        assert_ne!(old, new, "{name}");
        assert_eq!(
            unsigned_package(old).unwrap(),
            unsigned_package(new).unwrap()
        );
        let read = RpmFile::parse(new).unwrap();
        let header = &new[read.header_range()];
        keys[0]
            .verify(header, read.header_signature().unwrap())
            .unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = out.join("x86_64/demo-1.0-1.x86_64.rpm");
    let taken = rpm_takes(folder.path(), &fixture("subkey.public.asc"), &file);
    assert!(taken.is_done, "{}", taken.text);
    let machine = Machine::new(&base);
    machine.done(&repo_section(&project, &out), &["install", "demo"]);
}

/// What docs/signing.md tells people to do on a machine without kiln.
const SIGN_WITH_GPG: &str = "set -e; mkdir -p there/home/.g there/signatures
chmod 700 there/home/.g
tar -C there -xf index.tar; export GNUPGHOME=$PWD/there/home/.g
gpg='gpg --batch --pinentry-mode loopback --passphrase-file passphrase'
$gpg --import \"$KEY\"
for file in there/to-sign/*; do
  $gpg --digest-algo SHA256 --detach-sign -o there/signatures/${file##*/}.sig $file; done
tar -C there -cf gpg.tar signatures; gpgconf --kill all
";

#[test]
fn slow_a_key_that_is_elsewhere_signs_by_request_and_response() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = built(&base, &server);
    let public = fixture("ed25519.public.asc");
    pin(
        &project,
        "ed25519",
        &format!("public-keys = [\"{}\"]\n", public.display()),
    );
    let unsigned = packages(&project);
    project.done(&["sign", "--request", "a.tar"]);
    project.done(&["sign", "--request", "b.tar"]);
    let read = |name: &str| fs_err::read(project.root.join(name)).unwrap();
    assert_eq!(
        read("a.tar"),
        read("b.tar"),
        "the same things ask for the same"
    );
    assert_eq!(packages(&project), unsigned, "asking changes nothing");

    // There, with kiln.
    project.write("passphrase", b"correct horse\n");
    let key = fixture("ed25519.secret.asc").display().to_string();
    let respond = |request: &str| {
        let fixed = [
            "--key",
            &key,
            "--passphrase-file",
            "passphrase",
            "-o",
            "response.tar",
        ];
        project.done(&[&["sign", "--respond", request], &fixed[..]].concat());
    };
    respond("a.tar");
    // A response to something else, or damaged, signs nothing.
    let response = read("response.tar");
    let mut damaged = response.clone();
    damaged[600] ^= 1;
    project.write("damaged.tar", &damaged);
    let refused = project.kiln(&["sign", "--response", "damaged.tar"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("does not count"),
        "{}",
        refused.stderr
    );
    assert_eq!(packages(&project), unsigned);
    let half = project.done(&["sign", "--response", "response.tar"]);
    assert!(
        half.stdout.contains("1 signature still missing"),
        "{}",
        half.stdout
    );
    assert_ne!(packages(&project), unsigned);

    // The index, with plain gpg and tar.
    project.done(&["sign", "--request", "index.tar"]);
    let root = project.root.display().to_string();
    let script = format!("cd {root}; {SIGN_WITH_GPG}");
    let signed = run("sh", &["-c", &script], &[("KEY", &key), ("HOME", &root)]);
    assert!(signed.is_done, "{}", signed.text);
    let whole = project.done(&["sign", "--response", "gpg.tar"]);
    assert!(
        whole.stdout.contains("and the repository's index"),
        "{}",
        whole.stdout
    );
    let nothing = project.done(&["sign", "--request", "c.tar"]);
    assert!(
        nothing.stdout.contains("no request was written"),
        "{}",
        nothing.stdout
    );
    assert!(!project.root.join("c.tar").exists());
    let machine = Machine::new(&base);
    machine.done(
        &repo_section(&project, &project.root.join("out/rpms")),
        &["install", "demo"],
    );
}

/// What the host has of the key, each in a form of its own.
const CANARIES: [&str; 3] = [
    "canary-key-8f3a",
    "canary-passphrase-1c9d",
    "canary-variable-77e2",
];

const SEARCH: &str = r#"# in pieces, or the script itself would be found
what=canar; what="${what}y-[a-z]*-[0-9a-f]\{4\}"
# That the search finds what is there.
echo canar''y-control-0000 > /build/home/control
find / -type f -not -path '/proc/*' -not -path '/dev/*' -print0 2>/dev/null | xargs -0 grep -a -h -o "$what" 2>/dev/null || :
for place in /proc/*/environ /proc/*/cmdline; do grep -a -h -o "$what" $place 2>/dev/null || :; done
env | grep -o "$what" || :
cat /proc/self/mountinfo
make -j"$KILN_JOBS""#;

#[test]
fn slow_no_step_and_no_output_ever_sees_a_key() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, &with_build(DEMO, SEARCH));
    // The key is in the project's folder, and its passphrase beside it: the worst place.
    let secret = fs_err::read_to_string(fixture("ed25519.secret.asc")).unwrap();
    let marked = format!("{}\n{secret}", CANARIES[0]);
    project.write("keys/release.asc", marked.as_bytes());
    project.write(
        "keys/passphrase",
        format!("correct horse\n{}", CANARIES[1]).as_bytes(),
    );
    pin(&project, "ed25519", "key = \"keys/release.asc\"\n");
    let run = |arguments: &[&str]| {
        let mut command = project.command();
        let variables = [
            ("KILN_PASSPHRASE", "correct horse"),
            ("SECRET", CANARIES[2]),
        ];
        let output = command.envs(variables).args(arguments).output().unwrap();
        let ended = project.ended(&output);
        assert_eq!(ended.code, Some(0), "{arguments:?}\n{}", ended.stderr);
        assert_clean(
            "what kiln says",
            format!("{}{}", ended.stdout, ended.stderr).as_bytes(),
            &secret,
        );
    };
    run(&["lock"]);
    run(&["build", "--verbose"]);
    run(&["sign"]);
    run(&["build"]);
    let log = project.root.join("out/logs/demo/build.log");
    let log = fs_err::read_to_string(log).unwrap();
    assert!(
        log.contains("\ncanary-control-0000\n"),
        "the search finds things: {log}"
    );
    assert!(log.contains(" /build "), "and says what is mounted: {log}");
    let mut searched = 0;
    for folder in ["out", ".kiln", "lockfiles"] {
        for (name, path) in files(&project.root.join(folder)) {
            // Linked to the repository's store is the base image, which was there before.
            let is_base = fs_err::symlink_metadata(&path).unwrap().nlink() > 1;
            if path.is_symlink() || is_base || name.starts_with("store/trees/") {
                continue;
            }
            assert_clean(&name, &fs_err::read(&path).unwrap(), &secret);
            searched += 1;
        }
    }
    assert!(searched > 30, "{searched} files");
}

/// Asserts that neither a canary nor a line of the secret key is in some bytes.
fn assert_clean(what: &str, bytes: &[u8], secret: &str) {
    let lines = secret.lines().filter(|line| line.len() > 40);
    let needles = CANARIES.into_iter().chain(["correct horse"]).chain(lines);
    for needle in needles {
        let found = bytes
            .windows(needle.len())
            .any(|window| window == needle.as_bytes());
        assert!(!found, "`{needle}` is in {what}");
    }
}

#[test]
fn slow_keys_that_can_not_sign_leave_everything_as_it_was() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = built(&base, &server);
    let before = packages(&project);
    for (name, message) in [
        ("revoked", "it was revoked"),
        ("expired", "it expired at 2024-06-01T12:00:00Z"),
        ("short", "it is an RSA key of 1024 bits"),
        ("sha1", "its self-signature uses SHA1"),
        ("certify", "it is not for signing"),
        ("nist", "that rpm 4.18 can not verify"),
        ("ed25519", "is locked with a passphrase, and none was given"),
    ] {
        pin(&project, name, &key_line(name));
        let refused = project.kiln(&["sign"]);
        assert_eq!(refused.code, Some(2), "{name}: {}", refused.stderr);
        assert!(
            refused.stderr.contains(message),
            "{name}: {}",
            refused.stderr
        );
        assert!(
            refused.stderr.contains("\nhint: "),
            "{name}: {}",
            refused.stderr
        );
    }
    let public = fixture("rsa.public.asc").display().to_string();
    pin(&project, "rsa", &format!("key = \"{public}\"\n"));
    let refused = project.kiln(&["sign"]);
    assert!(
        refused.stderr.contains("it holds a public key"),
        "{}",
        refused.stderr
    );
    pin(&project, "rsa", &key_line("other"));
    let refused = project.kiln(&["sign"]);
    assert!(
        refused.stderr.contains("not the pinned one"),
        "{}",
        refused.stderr
    );
    project.write("kiln.toml", b"");
    let refused = project.kiln(&["sign"]);
    assert!(
        refused.stderr.contains("`kiln.toml` pins no key"),
        "{}",
        refused.stderr
    );
    project.done(&["sign", "--if-configured"]);
    assert_eq!(packages(&project), before);
    assert!(!project.root.join("lockfiles/released.lock").exists());
    // A package that is not what kiln put there is not signed.
    pin(&project, "rsa", &key_line("rsa"));
    let file = project.root.join("out/rpms/x86_64/demo-1.0-1.x86_64.rpm");
    let mut bytes = fs_err::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs_err::write(&file, bytes).unwrap();
    let refused = project.kiln(&["sign"]);
    let message = "`rpms/x86_64/demo-1.0-1.x86_64.rpm` is not what kiln put there";
    assert!(
        refused.code == Some(2) && refused.stderr.contains(message),
        "{}",
        refused.stderr
    );
}
