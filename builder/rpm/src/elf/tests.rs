//! Evidence from the host's own programs and libraries, compared with rpm's `elfdeps`, and from
//! damaged files.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

/// Programs and libraries of this host, in order.
fn host_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib64"] {
        let Ok(entries) = fs_err::read_dir(folder) else {
            continue;
        };
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.sort();
    files.retain(|path| path.is_file() && !path.is_symlink());
    files
}

#[expect(clippy::disallowed_methods, reason = "the test drives the real tool")]
fn elfdeps(mode: &str, path: &Path) -> BTreeSet<String> {
    let output = std::process::Command::new("/usr/lib/rpm/elfdeps")
        .args([mode.as_ref(), path.as_os_str()])
        .output()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn slow_dependencies_are_those_of_elfdeps() {
    use std::os::unix::fs::PermissionsExt as _;
    if !Path::new("/usr/lib/rpm/elfdeps").exists() {
        println!("skipped: this host has no /usr/lib/rpm/elfdeps");
        return;
    }
    let mut compared = 0;
    for path in host_files() {
        let Ok(bytes) = fs_err::read(&path) else {
            continue;
        };
        let Some(elf) = ElfEvidence::read(&bytes).unwrap() else {
            continue;
        };
        let mode = fs_err::metadata(&path).unwrap().permissions().mode();
        let permission = if mode & 0o111 == 0 {
            Permission::ReadOnly
        } else {
            Permission::Execute
        };
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(
            elf.elf_provides(name),
            elfdeps("--provides", &path),
            "{path:?}"
        );
        assert_eq!(
            elf.elf_requires(permission),
            elfdeps("--requires", &path),
            "{path:?}"
        );
        compared += 1;
    }
    println!("{compared} ELF files compared with elfdeps, no difference");
    assert!(compared > 0);
}

/// A small program of the host, if it has one.
fn small_program() -> Option<Vec<u8>> {
    let bytes = fs_err::read("/usr/bin/true").ok()?;
    if !bytes.starts_with(b"\x7fELF") {
        println!("skipped: /usr/bin/true of this host is not an ELF file");
        return None;
    }
    Some(bytes)
}

#[test]
fn what_is_no_elf_file_is_none_and_a_stub_is_an_error() {
    assert_eq!(ElfEvidence::read(b"#!/bin/sh\n"), Ok(None));
    assert_eq!(ElfEvidence::read(b""), Ok(None));
    assert_eq!(ElfEvidence::read(b"\x7fELF"), Err(ElfError::Class));
    assert_eq!(ElfEvidence::read(b"\x7fELF\x03\x01"), Err(ElfError::Class));
    assert!(matches!(
        ElfEvidence::read(b"\x7fELF\x02\x01\x01"),
        Err(ElfError::Damaged { .. })
    ));
}

#[test]
fn a_program_is_recognized() {
    let Some(bytes) = small_program() else { return };
    let elf = ElfEvidence::read(&bytes).unwrap().unwrap();
    assert!(elf.is_executable());
    assert!(elf.elf_provides("true").is_empty());
    if !elf.is_static() {
        assert!(elf.needed.iter().any(|soname| soname.starts_with("libc.")));
        assert!(elf.elf_requires(Permission::ReadOnly).is_empty());
    }
}

#[test]
fn any_alignment_is_read() {
    let Some(bytes) = small_program() else { return };
    let expected = ElfEvidence::read(&bytes);
    let mut shifted = vec![0; 1];
    shifted.extend(&bytes);
    assert_eq!(ElfEvidence::read(&shifted[1..]), expected);
}

proptest! {
    #[test]
    fn damage_never_panics(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        length in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let Some(mut bytes) = small_program() else { return Ok(()) };
        // Headers and the dynamic tables are few bytes: half of the flips go to the first kilobyte.
        for (number, (index, byte)) in flips.into_iter().enumerate() {
            let range = if number % 2 == 0 { bytes.len() } else { bytes.len().min(1024) };
            let place = index.index(range);
            bytes[place] = byte;
        }
        if cuts {
            bytes.truncate(length.index(bytes.len()));
        }
        if let Ok(Some(elf)) = ElfEvidence::read(&bytes) {
            let _ = (elf.elf_provides("x.so"), elf.elf_requires(Permission::Execute));
        }
    }
}
