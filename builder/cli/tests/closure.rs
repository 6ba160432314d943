//! The packages of `make rpms` as a repository: dnf installs the real software from it into a copy of the
//! base, finds its closure whole, and removes it. Run by `make test-slow`, which builds them first.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not go on has failed"
)]

// The same base and tools as for projects of their own.
#[path = "sealed/bases.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod bases;
#[path = "sealed/tools.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod tools;

use bases::Base;
use tools::{Machine, run, unsigned};

#[test]
fn slow_dnf_installs_the_real_software_and_removes_it() {
    let Some(base) = Base::find() else { return };
    let rpms = base.repository.join("out/rpms");
    if !rpms.join("repodata/repomd.xml").is_file() {
        eprintln!("skipped: no repository in out/rpms; run `make rpms` first");
        return;
    }
    let machine = Machine::new(&base);
    let repository = unsigned(&rpms);
    let closure = machine.done(&repository, &["repoclosure"]);
    assert!(!closure.contains("unresolved"), "{closure}");
    let names = ["curl", "memcached", "nginx", "zlib-devel"];
    machine.done(&repository, &[&["install"], &names[..]].concat());
    for name in names {
        assert!(
            machine.query(name).starts_with(&format!("{name}-")),
            "{name}"
        );
    }
    let root = machine.root().display().to_string();
    let curl = run("chroot", &[&root, "/usr/bin/curl", "--version"], &[]);
    assert!(
        curl.is_done && curl.text.contains("OpenSSL/3.0"),
        "{}",
        curl.text
    );
    machine.done(
        &repository,
        &[&["remove"], &names[..], &["libcurl", "zlib"]].concat(),
    );
    for name in names {
        assert_eq!(
            machine.query(name),
            format!("package {name} is not installed")
        );
    }
    assert!(!machine.root().join("usr/lib/curl").exists());
}
