//! Images written and imported; layouts in which one thing is wrong.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::compression::Compression;
use crate::hand_deb::compress;
use crate::hand_tar::{HandTar, listing};
use crate::rootfs::image_tree;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

#[test]
fn an_image_has_one_manifest() {
    let (_folder, store) = store();
    let layer = DiffId(store.write_blob(b"layer").unwrap());
    let manifest = write_image(&store, &[layer], Architecture::X86_64).unwrap();
    assert_eq!(
        write_image(&store, &[layer], Architecture::X86_64).unwrap(),
        manifest
    );
    let text = String::from_utf8(store.read_blob(&manifest.0).unwrap()).unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"diff_ids":["{}"],"type":"layers"}}}}"#,
        layer.0
    );
    let expected = format!(
        concat!(
            r#"{{"config":{{"digest":"{}","mediaType":"application/vnd.oci.image.config.v1+json","size":{}}},"#,
            r#""layers":[{{"digest":"{}","mediaType":"application/vnd.oci.image.layer.v1.tar","size":5}}],"#,
            r#""mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}}"#
        ),
        Digest::of(config.as_bytes()),
        config.len(),
        layer.0
    );
    assert_eq!(text, expected);
    assert_eq!(image_layers(&store, &manifest).unwrap(), [layer]);
    let missing = DiffId(Digest::of(b"missing"));
    assert!(matches!(
        write_image(&store, &[missing], Architecture::X86_64),
        Err(ImageError::Store(StoreError::Missing { .. }))
    ));
}

/// An OCI layout with two layers, as files by their name.
struct Layout {
    files: BTreeMap<String, Vec<u8>>,
    manifest: Digest,
}

impl Layout {
    fn put(&mut self, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        self.files
            .insert(format!("blobs/sha256/{}", digest.to_hex()), bytes.to_vec());
        json!({"digest": digest.to_string(), "size": bytes.len()})
    }

    fn descriptor(&mut self, bytes: &[u8], media_type: &str) -> Value {
        let mut descriptor = self.put(bytes);
        descriptor["mediaType"] = json!(format!("application/vnd.oci.image.{media_type}"));
        descriptor
    }

    /// Makes a layout; the documents can be changed before they are written.
    fn new(change: impl Fn(&mut Value, &mut Value)) -> Self {
        let mut layout = Self {
            files: BTreeMap::new(),
            manifest: Digest::of(b""),
        };
        let (lower, upper) = tars();
        let mut config = json!({
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {
                "type": "layers",
                "diff_ids": [Digest::of(&lower).to_string(), Digest::of(&upper).to_string()],
            },
        });
        let gzip = compress(&lower, Compression::Gzip);
        let zstd = compress(&upper, Compression::Zstd);
        let layers = [
            layout.descriptor(&gzip, "layer.v1.tar+gzip"),
            layout.descriptor(&zstd, "layer.v1.tar+zstd"),
        ];
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "layers": layers,
        });
        change(&mut manifest, &mut config);
        if manifest.get("config").is_none() {
            let config = serde_json::to_vec(&config).unwrap();
            manifest["config"] = layout.descriptor(&config, "config.v1+json");
        }
        let manifest = serde_json::to_vec(&manifest).unwrap();
        layout.put(&manifest);
        layout.manifest = Digest::of(&manifest);
        let version = r#"{"imageLayoutVersion":"1.0.0"}"#;
        layout.files.insert("oci-layout".to_owned(), version.into());
        layout
    }

    fn write(&self, folder: &std::path::Path) {
        fs_err::create_dir_all(folder.join("blobs/sha256")).unwrap();
        for (name, bytes) in &self.files {
            fs_err::write(folder.join(name), bytes).unwrap();
        }
    }

    fn import(&self) -> Result<Vec<DiffId>, ImportError> {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        import(folder.path(), &self.manifest)
    }
}

fn tars() -> (Vec<u8>, Vec<u8>) {
    let lower = HandTar::new().file("etc/a", "1").file("etc/b", "2").end();
    let upper = HandTar::new()
        .file("etc/.wh.a", "")
        .file("etc/c", "3")
        .end();
    (lower, upper)
}

fn import(layout: &std::path::Path, manifest: &Digest) -> Result<Vec<DiffId>, ImportError> {
    let (_folder, store) = store();
    import_layout(
        &store,
        layout,
        &ManifestDigest(*manifest),
        Architecture::X86_64,
    )
}

fn problem(change: impl Fn(&mut Value, &mut Value)) -> DocumentProblem {
    match Layout::new(change).import() {
        Err(ImportError::Document { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_layout_is_imported_and_flattened() {
    let layout = Layout::new(|_, _| {});
    let folder = tempfile::tempdir().unwrap();
    layout.write(folder.path());
    let (_store_folder, store) = store();
    let manifest = ManifestDigest(layout.manifest);
    let layers = import_layout(&store, folder.path(), &manifest, Architecture::X86_64).unwrap();
    let (lower, upper) = tars();
    assert_eq!(
        layers,
        [DiffId(Digest::of(&lower)), DiffId(Digest::of(&upper))]
    );
    assert_eq!(store.read_blob(&layers[0].0).unwrap(), lower);
    assert_eq!(image_layers(&store, &manifest).unwrap(), layers);
    let root = image_tree(&store, &layers, &kiln_store::Silent).unwrap();
    assert_eq!(
        listing(&root),
        ["etc/ 755 @0", "etc/b 644 @1000 2", "etc/c 644 @1000 3"]
    );
    assert_eq!(
        image_tree(&store, &layers, &kiln_store::Silent).unwrap(),
        root
    );
    let single = image_tree(&store, &layers[..1], &kiln_store::Silent).unwrap();
    assert_ne!(single, root);
    assert!(matches!(
        image_tree(&store, &[], &kiln_store::Silent),
        Err(crate::rootfs::RootfsError::NoLayers)
    ));
}

#[test]
fn each_blob_that_was_changed_is_noticed() {
    let honest = Layout::new(|_, _| {});
    let blobs: Vec<_> = honest
        .files
        .keys()
        .filter(|name| name.starts_with("blobs"))
        .collect();
    assert_eq!(blobs.len(), 4);
    for name in blobs {
        for position in [
            0,
            honest.files[name].len() / 2,
            honest.files[name].len() - 1,
        ] {
            let mut tampered = Layout::new(|_, _| {});
            tampered.files.get_mut(name).unwrap()[position] ^= 1;
            match tampered.import() {
                Err(ImportError::Digest {
                    path,
                    expected,
                    actual,
                }) => {
                    assert!(path.ends_with(name));
                    assert!(name.ends_with(&expected.to_hex()));
                    assert_eq!(actual, Digest::of(&tampered.files[name]));
                }
                other => panic!("{name} at {position}: {other:?}"),
            }
        }
        let mut longer = Layout::new(|_, _| {});
        longer.files.get_mut(name).unwrap().push(b'\n');
        assert!(
            matches!(
                longer.import(),
                Err(ImportError::Size { .. } | ImportError::Digest { .. })
            ),
            "{name}"
        );
        let mut missing = Layout::new(|_, _| {});
        missing.files.remove(name);
        assert!(
            matches!(missing.import(), Err(ImportError::Read { .. })),
            "{name}"
        );
    }
}

#[test]
fn sizes_must_be_those_of_the_descriptors() {
    let lie = Layout::new(|manifest, _| manifest["layers"][0]["size"] = json!(1));
    match lie.import() {
        Err(ImportError::Size {
            expected, actual, ..
        }) => {
            assert_eq!(expected, 1);
            assert!(actual > 1);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn blobs_are_never_read_through_links() {
    let layout = Layout::new(|_, _| {});
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    layout.write(folder.path());
    let name = layout.files.keys().next().unwrap();
    let aside = elsewhere.path().join("blob");
    fs_err::rename(folder.path().join(name), &aside).unwrap();
    std::os::unix::fs::symlink(&aside, folder.path().join(name)).unwrap();
    match import(folder.path(), &layout.manifest) {
        Err(ImportError::Read { path, .. }) => assert!(path.ends_with(name)),
        other => panic!("{other:?}"),
    }
    let folder = tempfile::tempdir().unwrap();
    layout.write(elsewhere.path());
    fs_err::write(
        folder.path().join("oci-layout"),
        &layout.files["oci-layout"],
    )
    .unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("blobs"), folder.path().join("blobs"))
        .unwrap();
    assert!(matches!(
        import(folder.path(), &layout.manifest),
        Err(ImportError::Read { .. })
    ));
}

#[test]
fn what_is_no_layout_is_said_to_be_none() {
    for version in [
        None,
        Some("{}"),
        Some("no JSON"),
        Some(r#"{"imageLayoutVersion":"2.0"}"#),
    ] {
        let mut layout = Layout::new(|_, _| {});
        match version {
            Some(text) => layout.files.insert("oci-layout".to_owned(), text.into()),
            None => layout.files.remove("oci-layout"),
        };
        assert!(
            matches!(layout.import(), Err(ImportError::Layout { .. })),
            "{version:?}"
        );
    }
    let missing = import(std::path::Path::new("/nonexistent"), &Digest::of(b""));
    assert!(matches!(missing, Err(ImportError::Layout { .. })));
}

#[test]
fn documents_that_can_be_read_as_two_things_are_refused() {
    for other in ["layers", "config"] {
        let found = problem(|manifest, _| {
            manifest["manifests"] = json!([]);
            manifest["config"] = json!({});
            let drop = if other == "layers" {
                "config"
            } else {
                "layers"
            };
            manifest.as_object_mut().unwrap().shift_remove(drop);
            if drop == "config" {
                manifest["layers"] = json!([]);
            }
        });
        // The helper adds a configuration where there is none.
        assert!(
            matches!(found, DocumentProblem::Confusion { .. }),
            "{found:?}"
        );
    }
    let twice = br#"{"schemaVersion":2,"layers":[],"layers":[],"config":{}}"#;
    assert!(matches!(
        parse_manifest(twice),
        Err(DocumentProblem::Damaged {
            what: "manifest",
            ..
        })
    ));
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "digest": "sha256:abc",
            "platform": {"os": "linux", "architecture": "amd64"},
        }, {}],
    });
    let error = parse_manifest(&serde_json::to_vec(&index).unwrap()).unwrap_err();
    assert_eq!(
        error,
        DocumentProblem::Index {
            platforms: vec![
                ("linux/amd64".to_owned(), "sha256:abc".to_owned()),
                ("?/?".to_owned(), "?".to_owned()),
            ]
        }
    );
    assert_eq!(
        error.to_string(),
        "the digest is that of an image index, not of an image; pin the manifest of one platform \
         instead\n  linux/amd64  sha256:abc\n  ?/?  ?"
    );
}

#[test]
fn types_digests_platforms_and_counts_are_checked() {
    assert_eq!(
        problem(|manifest, _| manifest["mediaType"] = json!("application/x")),
        DocumentProblem::MediaType {
            what: "manifest".into(),
            expected: "an OCI image manifest",
            actual: "application/x".into(),
        }
    );
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    assert_eq!(
        problem(|manifest, _| manifest["layers"][1]["mediaType"] = json!(foreign)),
        DocumentProblem::MediaType {
            what: "layer 2".into(),
            expected: "an OCI layer: tar, tar+gzip or tar+zstd",
            actual: foreign.into(),
        }
    );
    let sha512 = format!("sha512:{}", "a".repeat(128));
    assert_eq!(
        problem(|manifest, _| manifest["layers"][0]["digest"] = json!(sha512)),
        DocumentProblem::Digest {
            what: "layer 1".into(),
            actual: sha512.clone(),
        }
    );
    for digest in ["sha256:../../../../etc/passwd", "sha256:ABC", ""] {
        let found = problem(|manifest, _| manifest["layers"][0]["digest"] = json!(digest));
        assert!(
            matches!(
                found,
                DocumentProblem::Damaged { .. } | DocumentProblem::Digest { .. }
            ),
            "{digest}: {found:?}"
        );
    }
    for (key, value, actual) in [
        ("architecture", "arm64", "linux/arm64"),
        ("os", "windows", "windows/amd64"),
        ("os", "\u{1b}[2J", "\\u{1b}[2J/amd64"),
    ] {
        assert_eq!(
            problem(|_, config| config[key] = json!(value)),
            DocumentProblem::Platform {
                expected: "linux/amd64".into(),
                actual: actual.into(),
            }
        );
    }
    let drop_one = |_: &mut Value, config: &mut Value| {
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
    };
    assert_eq!(
        problem(drop_one),
        DocumentProblem::LayerCount {
            manifest: 2,
            configuration: 1
        }
    );
    assert_eq!(
        problem(|manifest, _| manifest["layers"] = json!([])),
        DocumentProblem::Empty
    );
    assert!(matches!(
        problem(|_, config| config["rootfs"]["type"] = json!("other")),
        DocumentProblem::Damaged {
            what: "configuration",
            ..
        }
    ));
    assert!(matches!(
        problem(|manifest, _| manifest["annotations"] = json!({"x": "y".repeat(5 << 20)})),
        DocumentProblem::TooLarge {
            what: "manifest",
            limit: 4_194_304,
            ..
        }
    ));
}

#[test]
fn layers_must_be_what_they_are_said_to_be() {
    let (lower, upper) = tars();
    let swapped = Layout::new(|_, config| {
        config["rootfs"]["diff_ids"]
            .as_array_mut()
            .unwrap()
            .reverse();
    });
    match swapped.import() {
        Err(ImportError::DiffId {
            expected, actual, ..
        }) => {
            assert_eq!(expected, DiffId(Digest::of(&upper)));
            assert_eq!(actual, DiffId(Digest::of(&lower)));
        }
        other => panic!("{other:?}"),
    }
    let lie = Layout::new(|manifest, _| {
        manifest["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+zstd");
    });
    match lie.import() {
        Err(ImportError::Compression {
            media_type, actual, ..
        }) => {
            assert!(media_type.ends_with("zstd"));
            assert_eq!(actual, "gzip");
        }
        other => panic!("{other:?}"),
    }
}
