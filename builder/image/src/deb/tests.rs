//! Binary packages in every compression, out of order, cut, and of another name.

use super::*;
use crate::hand_deb::{ar, compress, control_tar, deb, locked};
use crate::hand_tar::HandTar;
use crate::tar_header::EntryKind;

/// Returns the names and contents of a package's files.
fn read(deb: &[u8]) -> Result<Vec<(String, String)>, DebError> {
    read_as(deb, "hello")
}

fn read_as(deb: &[u8], name: &str) -> Result<Vec<(String, String)>, DebError> {
    let mut files = Vec::new();
    read_deb(deb, &locked(name, deb), &mut |entry, reader| {
        let mut content = vec![0; usize::try_from(entry.size).unwrap()];
        let mut filled = 0;
        while filled < content.len() {
            filled += reader.read_content(&mut content[filled..])?;
        }
        if entry.kind == EntryKind::File {
            let path = String::from_utf8(entry.path.clone()).unwrap();
            files.push((path, String::from_utf8(content).unwrap()));
        }
        Ok::<_, DebError>(())
    })?;
    Ok(files)
}

fn data() -> HandTar {
    HandTar::new()
        .dir("./")
        .file("./usr/bin/hello", "binary")
        .file("./etc/hello", "config")
}

fn expected() -> Vec<(String, String)> {
    [("./usr/bin/hello", "binary"), ("./etc/hello", "config")]
        .map(|(path, content)| (path.to_owned(), content.to_owned()))
        .into()
}

const COMPRESSIONS: [(Compression, &str); 5] = [
    (Compression::None, ".tar"),
    (Compression::Gzip, ".tar.gz"),
    (Compression::Bzip2, ".tar.bz2"),
    (Compression::Xz, ".tar.xz"),
    (Compression::Zstd, ".tar.zst"),
];

#[test]
fn every_compression_is_read() {
    for (compression, extension) in COMPRESSIONS {
        let control = compress(&control_tar("hello"), compression);
        let data = compress(&data().end(), compression);
        let members: [(&str, &[u8]); 4] = [
            ("debian-binary", b"2.0\n"),
            (&format!("control{extension}"), &control),
            (&format!("data{extension}"), &data),
            ("_gpgorigin", b"a signature"),
        ];
        assert_eq!(read(&ar(&members)).unwrap(), expected(), "{extension}");
    }
}

#[test]
fn members_must_be_the_right_ones_in_order() {
    let control = control_tar("hello");
    let data = data().end();
    let format: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    let control: (&str, &[u8]) = ("control.tar", &control);
    let data: (&str, &[u8]) = ("data.tar", &data);
    let check = |members: &[(&str, &[u8])], expected_name: &str, actual_name: &str| match read(&ar(
        members,
    )) {
        Err(DebError::Member {
            package,
            expected,
            actual,
        }) => assert_eq!(
            (package.as_str(), expected, actual.as_str()),
            ("hello_1_amd64.deb", expected_name, actual_name)
        ),
        other => panic!("{other:?}"),
    };
    check(&[control, data], "debian-binary", "control.tar");
    check(&[format, data, control], "control.tar", "data.tar");
    check(&[format, control], "data.tar", "its end");
    check(&[format, control, data, data], "its end", "data.tar");
    assert!(matches!(
        read(b"!<arch>\n"),
        Err(DebError::Member {
            expected: "debian-binary",
            ..
        })
    ));
    match read(&ar(&[("debian-binary", b"3.0\n"), control, data])) {
        Err(DebError::Format { actual, .. }) => assert_eq!(actual, "3.0\\n"),
        other => panic!("{other:?}"),
    }
    match read(&ar(&[format, ("control.tar.gz", control.1), data])) {
        Err(DebError::Compression { member, actual, .. }) => {
            assert_eq!(
                (member.as_str(), actual),
                ("control.tar.gz", "no compression")
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(read(b"no archive"), Err(DebError::Archive { .. })));
}

#[test]
fn another_package_than_the_locked_one_is_refused() {
    let bytes = deb("hello", data());
    match read_as(&bytes, "world") {
        Err(DebError::OtherPackage {
            field,
            expected,
            actual,
            ..
        }) => assert_eq!(
            (field, expected.as_str(), actual.as_str()),
            ("Package", "world", "hello")
        ),
        other => panic!("{other:?}"),
    }
    let mut lock = locked("hello", &bytes);
    lock.version = "2".to_owned();
    let result = read_deb(bytes.as_slice(), &lock, &mut |_, _| Ok::<_, DebError>(()));
    assert!(matches!(
        result,
        Err(DebError::OtherPackage {
            field: "Version",
            ..
        })
    ));
    lock.version = "1".to_owned();
    lock.architecture = "all".to_owned();
    let result = read_deb(bytes.as_slice(), &lock, &mut |_, _| Ok::<_, DebError>(()));
    assert!(matches!(
        result,
        Err(DebError::OtherPackage {
            field: "Architecture",
            ..
        })
    ));
    for (control, expected) in [
        (HandTar::new().file("./other", ""), "is missing"),
        (
            HandTar::new().file("./control", "Package: hello\n"),
            "has no `Version`",
        ),
    ] {
        let members: [(&str, &[u8]); 3] = [
            ("debian-binary", b"2.0\n"),
            ("control.tar", &control.end()),
            ("data.tar", &data().end()),
        ];
        match read(&ar(&members)) {
            Err(DebError::Control { problem, .. }) => assert_eq!(problem, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_package_cut_anywhere_is_an_error() {
    let whole = deb("hello", data());
    assert_eq!(read(&whole).unwrap(), expected());
    for length in 0..whole.len() {
        assert!(
            read(&whole[..length]).is_err(),
            "cut at {length} of {}",
            whole.len()
        );
    }
}
