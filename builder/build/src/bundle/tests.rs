//! Bundles that were cut, changed and made up: each is refused, and says why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_model::{Architecture, Digest};
use kiln_store::{EMPTY_CONFIG, Store};
use tempfile::TempDir;

use super::BundleError;
use super::archive::{ArchiveError, END, INDEX, LAYOUT, Member, PROGRAM};
use super::document::{BUNDLE_FORMAT, BundleDocument, DocumentError, LAYOUT_TEXT, Needed, Sized};
use super::import::{ImportBundle, Imported, import_bundle};

fn sized(bytes: &[u8]) -> Sized {
    Sized {
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
    }
}

fn tar_of(path: &str, text: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, path, text).unwrap();
    builder.into_inner().unwrap()
}

/// A small bundle, by member.
struct Sample {
    document: BundleDocument,
    members: Vec<(Member, Vec<u8>)>,
}

impl Sample {
    fn new() -> Self {
        let project = tar_of("project/recipes/a/recipe.yaml", b"schema: 1\n");
        let licenses = tar_of("licenses/a/COPYING", b"You may.\n");
        let kiln = b"#!/bin/sh\n".to_vec();
        let source = b"a source archive".to_vec();
        let needed = Needed {
            size: source.len() as u64,
            what: "source a-1.tar of a".to_owned(),
        };
        let document = BundleDocument {
            format: BUNDLE_FORMAT,
            kiln_version: "0.1.0".to_owned(),
            architecture: Architecture::X86_64,
            recipes: vec!["a".parse().unwrap()],
            base: None,
            kiln: sized(&kiln),
            project: sized(&project),
            licenses: sized(&licenses),
            images: BTreeMap::new(),
            blobs: [(Digest::of(&source), needed)].into(),
        };
        let blobs = [
            project,
            licenses,
            kiln.clone(),
            source,
            EMPTY_CONFIG.to_vec(),
        ];
        Self::with(document, &kiln, blobs.to_vec())
    }

    fn with(document: BundleDocument, kiln: &[u8], blobs: Vec<Vec<u8>>) -> Self {
        let plain = |name: &str, bytes: Vec<u8>| (Member::plain(name, bytes.len() as u64), bytes);
        let blob = |bytes: Vec<u8>| {
            let member = Member::blob(&Digest::of(&bytes), bytes.len() as u64);
            (member, bytes)
        };
        let mut members = vec![
            plain(LAYOUT, LAYOUT_TEXT.to_vec()),
            plain(INDEX, document.index()),
            plain(PROGRAM, kiln.to_vec()),
            blob(document.manifest()),
            blob(document.encode()),
        ];
        let mut rest: Vec<_> = blobs.into_iter().map(blob).collect();
        rest.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        members.extend(rest);
        Self { document, members }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (member, content) in &self.members {
            bytes.extend_from_slice(&member.header());
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len() + usize::try_from(member.padding()).unwrap(), 0);
        }
        bytes.resize(bytes.len() + usize::try_from(END).unwrap(), 0);
        bytes
    }

    /// Returns where the header of a member is.
    fn offset(&self, place: usize) -> usize {
        let before = self.members[..place].iter();
        let before: u64 = before.map(|(member, _)| member.extent()).sum();
        usize::try_from(before).unwrap()
    }
}

struct Side {
    folder: TempDir,
    store: Store,
}

impl Side {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        Self { folder, store }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("into")
    }

    fn import(&self, bytes: &[u8]) -> Result<Imported, BundleError> {
        self.import_expecting(bytes, None)
    }

    fn import_expecting(
        &self,
        bytes: &[u8],
        expected: Option<Digest>,
    ) -> Result<Imported, BundleError> {
        let file = self.folder.path().join("bundle");
        fs_err::write(&file, bytes).unwrap();
        import_bundle(&ImportBundle {
            file: &file,
            store: &self.store,
            into: Some(&self.target()),
            expected,
            is_stopped: &|| false,
        })
    }

    /// Asserts that nothing of a bundle was made a project, and that whatever is in the store is right.
    fn check(&self) {
        assert!(!self.target().join("recipes").exists());
        let blobs = walkdir::WalkDir::new(self.store.root().join("blobs/sha256")).min_depth(1);
        for entry in blobs.sort_by_file_name() {
            let entry = entry.unwrap();
            let digest = Digest::of(&fs_err::read(entry.path()).unwrap());
            assert_eq!(entry.file_name().to_str().unwrap(), digest.to_hex());
        }
        let outside = walkdir::WalkDir::new(self.folder.path())
            .min_depth(1)
            .max_depth(1);
        let names: Vec<_> = outside
            .sort_by_file_name()
            .into_iter()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert!(
            names
                .iter()
                .all(|name| ["bundle", "into", "store"].contains(&name.as_str()))
        );
    }

    fn refused(bytes: &[u8]) -> BundleError {
        let side = Self::new();
        let error = side.import(bytes).unwrap_err();
        side.check();
        error
    }
}

#[test]
fn a_bundle_is_imported_whole_and_once_more() {
    let (side, sample) = (Side::new(), Sample::new());
    let imported = side.import(&sample.encode()).unwrap();
    assert_eq!(imported.bundle, sample.document.digest());
    assert_eq!((imported.blobs, imported.already), (1, 0));
    let recipe = side.target().join("recipes/a/recipe.yaml");
    assert_eq!(fs_err::read_to_string(recipe).unwrap(), "schema: 1\n");
    let kiln = side.target().join(".kiln/kiln");
    let mode = std::os::unix::fs::PermissionsExt::mode(&kiln.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o755);
    assert_eq!(fs_err::read(kiln).unwrap(), b"#!/bin/sh\n");
    for digest in sample.document.contents().keys() {
        side.store.read_blob(digest).unwrap();
    }
    let error = side.import(&sample.encode()).unwrap_err();
    assert!(
        matches!(&error, BundleError::Target { path, .. } if *path == side.target()),
        "{error}"
    );
    fs_err::remove_dir_all(side.target()).unwrap();
    assert_eq!(side.import(&sample.encode()).unwrap().already, 1);
}

#[test]
fn another_bundle_than_the_expected_one_is_refused_before_anything_is_kept() {
    let (side, sample) = (Side::new(), Sample::new());
    let (expected, actual) = (Digest::of(b"another"), sample.document.digest().0);
    let error = side
        .import_expecting(&sample.encode(), Some(expected))
        .unwrap_err();
    assert!(
        matches!(error, BundleError::OtherBundle { expected: e, actual: a } if (e, a) == (expected, actual))
    );
    assert_eq!(
        walkdir::WalkDir::new(side.store.root().join("blobs/sha256"))
            .into_iter()
            .count(),
        1
    );
    side.import_expecting(&sample.encode(), Some(actual))
        .unwrap();
}

#[test]
fn a_bundle_that_is_cut_anywhere_is_refused() {
    let (side, bytes) = (Side::new(), Sample::new().encode());
    for cut in (0..bytes.len())
        .step_by(29)
        .chain(bytes.len() - 20..bytes.len())
    {
        let error = side.import(&bytes[..cut]).unwrap_err();
        let BundleError::Archive(ArchiveError::Truncated { offset, .. }) = error else {
            panic!("cut at {cut}: {error}");
        };
        assert_eq!(offset, cut as u64);
    }
    side.check();
}

#[test]
fn a_bundle_with_any_byte_changed_is_refused() {
    let (side, bytes) = (Side::new(), Sample::new().encode());
    for place in (0..bytes.len()).step_by(17) {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        assert!(side.import(&changed).is_err(), "{place}");
    }
    side.check();
    let mut longer = bytes;
    longer.push(0);
    let error = Side::refused(&longer);
    assert!(
        matches!(error, BundleError::Archive(ArchiveError::Trailing { .. })),
        "{error}"
    );
}

#[test]
fn a_damaged_source_is_named() {
    let mut sample = Sample::new();
    let text = b"a source archive";
    let place = sample
        .members
        .iter()
        .position(|(_, content)| content == text)
        .unwrap();
    sample.members[place].1[0] = b'A';
    let error = Side::refused(&sample.encode());
    let BundleError::Damaged {
        what,
        expected,
        actual,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(what, "source a-1.tar of a");
    assert_eq!(
        (expected, actual),
        (Digest::of(text), Digest::of(b"A source archive"))
    );
}

#[test]
fn members_that_are_missing_or_too_many_are_named() {
    let sample = Sample::new();
    let text = b"a source archive";
    let place = sample
        .members
        .iter()
        .position(|(_, content)| content == text)
        .unwrap();
    let mut without = Sample::new();
    without.members.remove(place);
    let error = Side::refused(&without.encode());
    assert!(
        matches!(&error, BundleError::Absent { digest, .. } if *digest == Digest::of(text)),
        "{error}"
    );

    for extra in 5..=sample.members.len() {
        let mut with = Sample::new();
        let bytes = b"nobody asked for this".to_vec();
        let member = Member::blob(&Digest::of(&bytes), bytes.len() as u64);
        with.members.insert(extra, (member, bytes));
        let error = Side::refused(&with.encode());
        let is_named = matches!(
            error,
            BundleError::Unexpected { .. } | BundleError::Absent { .. }
        );
        assert!(is_named, "{extra}: {error}");
    }
    let mut twice = Sample::new();
    let again = (twice.members[place].0.clone(), text.to_vec());
    twice.members.insert(place, again);
    assert!(matches!(
        Side::refused(&twice.encode()),
        BundleError::Unexpected { .. } | BundleError::Absent { .. }
    ));
    let mut swapped = Sample::new();
    swapped.members.swap(5, 6);
    Side::refused(&swapped.encode());
}

#[test]
fn other_headers_than_kilns_are_refused() {
    let sample = Sample::new();
    let bytes = sample.encode();
    // Of a blob.
    let at = sample.offset(6);
    let refused = |change: &dyn Fn(&mut tar::Header)| {
        let mut changed = bytes.clone();
        let block: &mut [u8; 512] = (&mut changed[at..at + 512]).try_into().unwrap();
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes().copy_from_slice(block);
        change(&mut header);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        Side::refused(&changed)
    };
    let names = [
        "../../../etc/passwd",
        "/etc/passwd",
        "blobs/sha256/../../../x",
        "blobs/sha256",
        "blobs/sha256/",
        "blobs//sha256/0000000000000000000000000000000000000000000000000000000000000000",
        "blobs/sha256/000000000000000000000000000000000000000000000000000000000000000A",
        "Kiln",
        "",
    ];
    for name in names {
        let error = refused(&|header| {
            header.as_mut_bytes()[..100].fill(0);
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        });
        let BundleError::Archive(ArchiveError::Name {
            name: named,
            offset,
        }) = &error
        else {
            panic!("{name}: {error}");
        };
        assert_eq!((named.as_str(), *offset), (name, at as u64));
    }
    let changes: [&dyn Fn(&mut tar::Header); 9] = [
        &|header| header.set_entry_type(tar::EntryType::Symlink),
        &|header| header.set_entry_type(tar::EntryType::Link),
        &|header| header.set_entry_type(tar::EntryType::Fifo),
        &|header| header.set_entry_type(tar::EntryType::XHeader),
        &|header| header.set_entry_type(tar::EntryType::GNUSparse),
        &|header| header.set_mode(0o4755),
        &|header| header.set_uid(1),
        &|header| header.set_mtime(1),
        &|header| header.as_mut_bytes()[500] = 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let error = refused(change);
        let is_refused = matches!(error, BundleError::Archive(ArchiveError::Header { .. }));
        assert!(is_refused, "{number}: {error}");
    }
    for size in [0, 1, u64::MAX / 2] {
        refused(&|header| header.set_size(size));
    }
}

#[test]
fn what_a_bundle_says_of_itself_must_agree() {
    let sample = Sample::new();
    let swap = |place: usize, bytes: Vec<u8>| {
        let mut changed = Sample::new();
        let member = match place {
            1 => Member::plain(INDEX, bytes.len() as u64),
            _ => Member::blob(&Digest::of(&bytes), bytes.len() as u64),
        };
        changed.members[place] = (member, bytes);
        Side::refused(&changed.encode())
    };
    let index = String::from_utf8(sample.document.index()).unwrap();
    let other = index.replace("bundle", "bandit");
    assert!(matches!(
        swap(1, other.into_bytes()),
        BundleError::Refused { .. }
    ));
    assert!(matches!(
        swap(3, b"{}".to_vec()),
        BundleError::Refused { .. }
    ));
    let text = String::from_utf8(sample.document.encode()).unwrap();
    let newer = text.replace("\"format\":1", "\"format\":7,\"news\":[]");
    let error = swap(4, newer.into_bytes());
    assert!(
        matches!(
            error,
            BundleError::Document(DocumentError::Newer { actual: 7 })
        ),
        "{error}"
    );
    for text in [
        String::new(),
        "[]".to_owned(),
        text.replace("\"format\":1", "\"format\":0"),
        text.replace("\"format\":1", "\"format\":1,\"more\":1"),
        text.replace("\"format\":1", "\"format\": 1"),
        "[".repeat(100_000),
    ] {
        let error = swap(4, text.into_bytes());
        assert!(
            matches!(error, BundleError::Document(DocumentError::Syntax { .. })),
            "{error}"
        );
    }
    // A project whose files lead out of its folder.
    let evil = {
        let mut tar = tar_of("project/recipes/evil", b"x");
        tar[..20].copy_from_slice(b"project/../../evil\0\0");
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(&tar[..512]);
        header.set_cksum();
        tar[..512].copy_from_slice(header.as_bytes());
        tar
    };
    let evil = with_project(evil);
    let side = Side::new();
    let error = side.import(&evil.encode()).unwrap_err();
    assert!(error.to_string().contains("project.tar"), "{error}");
    side.check();
}

#[test]
fn things_that_are_no_bundle_are_refused_in_words() {
    for bytes in [
        &b""[..],
        b"not a bundle at all",
        &[0; 4096],
        &[0x1f, 0x8b, 8, 0],
    ] {
        let error = Side::refused(bytes);
        let text = error.to_string();
        assert!(
            text.starts_with("this is no bundle that `kiln bundle export` wrote: "),
            "{text}"
        );
    }
    let side = Side::new();
    let import = |file: &Path| {
        import_bundle(&ImportBundle {
            file,
            store: &side.store,
            into: None,
            expected: None,
            is_stopped: &|| false,
        })
    };
    let error = import(Path::new("/dev/zero")).unwrap_err();
    assert!(
        error.to_string().ends_with("it is no regular file"),
        "{error}"
    );
    assert!(import(&side.folder.path().join("absent")).is_err());
}

/// The sample with another project.
fn with_project(project: Vec<u8>) -> Sample {
    let sample = Sample::new();
    let mut document = sample.document.clone();
    document.project = sized(&project);
    let blobs = sample.members[5..].iter();
    let blobs = blobs.map(|(_, content)| content.clone());
    let blobs = blobs.filter(|content| Digest::of(content) != sample.document.project.digest);
    Sample::with(document, b"#!/bin/sh\n", blobs.chain([project]).collect())
}

#[test]
fn a_folder_that_is_something_else_is_left_alone() {
    // The project would replace the store.
    let evil = with_project(tar_of("project/.kiln/store", b"gone"));
    let side = Side::new();
    let error = side.import(&evil.encode()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("its project has a `.kiln` of its own"),
        "{error}"
    );

    let sample = Sample::new();
    let side = Side::new();
    let elsewhere = side.folder.path().join("store/tmp");
    fs_err::create_dir(side.target()).unwrap();
    fs_err::os::unix::fs::symlink(&elsewhere, side.target().join(".kiln")).unwrap();
    let error = side.import(&sample.encode()).unwrap_err();
    assert!(
        error.to_string().ends_with("its `.kiln` is no folder"),
        "{error}"
    );

    // An import of this bundle is taken up, one of another is not.
    let side = Side::new();
    let marker = side.target().join(".kiln/importing");
    fs_err::create_dir_all(marker.parent().unwrap()).unwrap();
    fs_err::create_dir_all(side.target().join("recipes/half")).unwrap();
    fs_err::write(&marker, "sha256:00").unwrap();
    let error = side.import(&sample.encode()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("an import of another bundle ended in it"),
        "{error}"
    );
    fs_err::write(&marker, sample.document.digest().to_string()).unwrap();
    side.import(&sample.encode()).unwrap();
    assert!(!marker.exists() && !side.target().join("recipes/half").exists());
    let own = walkdir::WalkDir::new(side.target().join(".kiln")).min_depth(1);
    assert_eq!(own.into_iter().count(), 1, "only kiln is left there");
}

/// Bundles of every format that ever was: they stay here for good.
#[test]
fn bundles_of_every_format_are_read() {
    let bytes = include_bytes!("fixtures/bundle-1.tar");
    let side = Side::new();
    let imported = side.import(bytes).unwrap();
    assert_eq!(imported.recipes, ["a".parse().unwrap()]);
    assert!(side.target().join("recipes/a/recipe.yaml").is_file());
    assert!(
        Sample::new().encode() == bytes,
        "and this kiln writes the same"
    );
}
