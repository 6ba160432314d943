//! Binary packages made by hand for tests.

use std::io::Write as _;

use kiln_model::{Digest, LockedPackage};
use kiln_store::Store;

use crate::compression::Compression;
use crate::hand_tar::HandTar;

/// Compresses as the packages and archives of the world do.
pub(crate) fn compress(bytes: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let level = flate2::Compression::best();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Bzip2 => {
            let level = bzip2::Compression::best();
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// Returns an `ar` archive with these members.
pub(crate) fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = ar::Builder::new(Vec::new());
    for (name, content) in members {
        let header = ar::Header::new(name.as_bytes().to_vec(), content.len() as u64);
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Returns the control archive of a package of version 1, for amd64.
pub(crate) fn control_tar(name: &str) -> Vec<u8> {
    let control = format!(
        "Package: {name}\nVersion: 1\nArchitecture: amd64\nDescription: x\n Version: 2 of it\n"
    );
    HandTar::new()
        .dir("./")
        .file("./control", &control)
        .file("./postinst", "#!/bin/sh\nexit 1\n")
        .end()
}

/// Returns a package of version 1, for amd64.
pub(crate) fn deb(name: &str, data: HandTar) -> Vec<u8> {
    ar(&[
        ("debian-binary", b"2.0\n"),
        (
            "control.tar.xz",
            &compress(&control_tar(name), Compression::Xz),
        ),
        ("data.tar.xz", &compress(&data.end(), Compression::Xz)),
    ])
}

/// Returns the lock's entry of a package.
pub(crate) fn locked(name: &str, deb: &[u8]) -> LockedPackage {
    LockedPackage {
        name: name.parse().unwrap(),
        version: "1".to_owned(),
        architecture: "amd64".to_owned(),
        source: name.to_owned(),
        source_version: "1".to_owned(),
        path: format!("pool/main/{name}/{name}_1_amd64.deb"),
        size: deb.len() as u64,
        sha256: Digest::of(deb),
    }
}

/// Puts a package into the store.
pub(crate) fn stored(store: &Store, name: &str, data: HandTar) -> LockedPackage {
    let deb = deb(name, data);
    store.write_blob(&deb).unwrap();
    locked(name, &deb)
}
