//! The spec writer against the real rpmbuild, in a sandbox like kiln's own.

mod demo;

use demo::{Variation, compile, input, missing_program, package};

#[test]
fn slow_packages_are_whole() {
    if let Some(program) = missing_program(&["rpmbuild"]) {
        println!("skipped: this host has no {program}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.keep();
    struct P(std::path::PathBuf);
    impl P {
        fn path(&self) -> &std::path::Path {
            &self.0
        }
    }
    let folder = P(kept);
    println!("{:?}", folder.path());

    compile(folder.path());
    let plain = Variation {
        hostname: "one",
        umask: "022",
        changed: &[],
    };
    let (log, packages) = package(folder.path(), &input(), &plain);
    println!("{log}\n{packages:?}");
}
