//! What several packages make together, and what they must not.

use std::io::Read as _;

use tar::EntryType;

use super::*;
use crate::hand_deb::stored;
use crate::hand_tar::HandTar;
use crate::limits::UnpackLimits;
use crate::tar_header::EntryKind;
use crate::tar_read::TarReader;

mod trees;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

fn links(pairs: &[(&str, &str)]) -> BTreeMap<SandboxPath, String> {
    let link = |(place, target): &(&str, &str)| (place.parse().unwrap(), (*target).to_owned());
    pairs.iter().map(link).collect()
}

fn patterns(texts: &[&str]) -> Vec<FilePattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A layer to be assembled from hand-made packages.
struct Case {
    packages: Vec<(&'static str, HandTar)>,
    links: BTreeMap<SandboxPath, String>,
    exclude: Vec<FilePattern>,
    kind: LayerKind,
}

impl Case {
    fn addition(packages: Vec<(&'static str, HandTar)>) -> Self {
        Self {
            packages,
            links: BTreeMap::new(),
            exclude: Vec::new(),
            kind: LayerKind::Addition,
        }
    }

    fn base(packages: Vec<(&'static str, HandTar)>) -> Self {
        Self {
            kind: LayerKind::Base,
            ..Self::addition(packages)
        }
    }

    fn bytes(self) -> Result<Vec<u8>, AssembleError> {
        let (_folder, store) = store();
        let packages: Vec<_> = self
            .packages
            .into_iter()
            .map(|(name, data)| stored(&store, name, data))
            .collect();
        let id = assemble_layer(
            &store,
            &LayerRequest {
                packages: &packages,
                links: &self.links,
                exclude: &self.exclude,
                kind: self.kind,
            },
            &kiln_store::Silent,
        )?;
        Ok(store.read_blob(&id.0).unwrap())
    }

    fn lines(self) -> Result<Vec<String>, AssembleError> {
        Ok(describe(&self.bytes()?))
    }
}

/// Returns one line per entry of a layer, in its order; leaves out `/var/lib/kiln`.
fn describe(bytes: &[u8]) -> Vec<String> {
    let mut reader = TarReader::new(bytes, "layer", UnpackLimits::LAYER);
    let mut lines = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut content = vec![0; usize::try_from(entry.size).unwrap()];
        let mut filled = 0;
        while filled < content.len() {
            filled += reader.read_content(&mut content[filled..]).unwrap();
        }
        let path = String::from_utf8(entry.path).unwrap();
        if path.starts_with("var/") || path == "var" {
            continue;
        }
        let owner = format!(
            "{:o} {}:{} @{}",
            entry.mode, entry.uid, entry.gid, entry.mtime
        );
        lines.push(match entry.kind {
            EntryKind::Directory => format!("{path} {owner}"),
            EntryKind::File => format!("{path} {owner} {}", String::from_utf8(content).unwrap()),
            EntryKind::Symlink(target) => format!("{path} -> {}", printable(&target)),
            EntryKind::HardLink(target) => format!("{path} = {}", printable(&target)),
            EntryKind::Special(kind) => format!("{path} {kind}"),
        });
    }
    lines
}

fn at(tar: HandTar, path: &str, mode: u32, mtime: u64, content: &str) -> HandTar {
    let kind = if path.ends_with('/') {
        EntryType::Directory
    } else {
        EntryType::Regular
    };
    tar.patched(path, kind, mode, "", content.as_bytes(), |header| {
        header.set_mtime(mtime);
        header.set_gid(42);
    })
}

#[test]
fn packages_merge_into_one_sorted_tar() {
    let first = HandTar::new()
        .dir("./")
        .dir("./bin/")
        .file("./bin/sh", "shell")
        .dir("./lib64/")
        .symlink("./lib64/ld.so", "/lib/ld-2.so")
        .file("./lib/ld-2.so", "loader")
        .dir("./usr/")
        .of_type("./dev/null", b'3');
    let second = HandTar::new()
        .dir("./usr/share/")
        .file("./usr/share/b", "b")
        .file("./usr/share/a-b", "a")
        .hard_link("./usr/share/a/hard", "./usr/share/b")
        .hard_link("./usr/share/0", "./usr/share/b");
    let second = at(second, "./etc/shadow", 0o4640, 2000, "secret");
    let lines = Case::addition(vec![("second", second), ("first", first)])
        .lines()
        .unwrap();
    assert_eq!(
        lines,
        [
            "etc/ 755 0:0 @2000",
            "etc/shadow 4640 0:42 @2000 secret",
            "usr/ 755 0:0 @1000",
            "usr/bin/ 755 0:0 @1000",
            "usr/bin/sh 644 0:0 @1000 shell",
            "usr/lib/ 755 0:0 @2000",
            "usr/lib/ld-2.so 644 0:0 @1000 loader",
            "usr/lib64/ 755 0:0 @1000",
            "usr/lib64/ld.so -> /lib/ld-2.so",
            "usr/share/ 755 0:0 @1000",
            "usr/share/0 644 0:0 @1000 b",
            "usr/share/a/ 755 0:0 @2000",
            "usr/share/a-b 644 0:0 @1000 a",
            "usr/share/a/hard = usr/share/0",
            "usr/share/b = usr/share/0",
        ]
    );
}

#[test]
fn the_order_of_packages_does_not_matter() {
    let packages = |order: [usize; 3]| {
        let all = [
            (
                "a",
                at(
                    HandTar::new().file("./usr/share/x", "same"),
                    "./opt/",
                    0o755,
                    3000,
                    "",
                ),
            ),
            (
                "b",
                at(
                    HandTar::new().file("./usr/share/x", "same"),
                    "./opt/",
                    0o755,
                    5000,
                    "",
                ),
            ),
            (
                "c",
                at(
                    HandTar::new().symlink("./bin/l", "m"),
                    "./opt/",
                    0o755,
                    4000,
                    "",
                ),
            ),
        ];
        order.map(|index| all[index].clone()).to_vec()
    };
    let expected = Case::base(packages([0, 1, 2])).bytes().unwrap();
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(Case::base(packages(order)).bytes().unwrap(), expected);
    }
    let lines = describe(&expected);
    assert!(
        lines.contains(&"opt/ 755 0:42 @5000".to_owned()),
        "{lines:?}"
    );
}

#[test]
fn packages_that_disagree_are_named() {
    let check =
        |one: HandTar, other: HandTar, path: &str, first: &str, second: &str| match Case::addition(
            vec![("zeta", other), ("alpha", one)],
        )
        .bytes()
        {
            Err(AssembleError::Conflict {
                path: actual,
                claims,
            }) => {
                assert_eq!(actual, path);
                assert_eq!(
                    claims.map(|claim| (claim.package, claim.what)),
                    [
                        ("alpha".to_owned(), first.to_owned()),
                        ("zeta".to_owned(), second.to_owned())
                    ]
                );
            }
            other => panic!("{other:?}"),
        };
    let new = HandTar::new;
    let file = "a file of 1 bytes (mode 644, owner 0:0)";
    check(
        new().file("x", "1"),
        new().file("./x", "2"),
        "x",
        file,
        file,
    );
    check(
        new().file("x", "1"),
        new().symlink("x", "y"),
        "x",
        file,
        "a link to `y`",
    );
    check(
        new().symlink("x", "z"),
        new().symlink("x", "y"),
        "x",
        "a link to `z`",
        "a link to `y`",
    );
    check(
        new().dir("bin/x"),
        new().file("usr/bin/x", "1"),
        "usr/bin/x",
        "a folder (mode 755, owner 0:0)",
        file,
    );
    check(
        new().node("d", EntryType::Directory, 0o700, "", b""),
        new().dir("d"),
        "d",
        "a folder (mode 700, owner 0:0)",
        "a folder (mode 755, owner 0:0)",
    );
    let below = Case::addition(vec![
        ("alpha", new().symlink("usr/lib/x", "y")),
        ("zeta", new().file("usr/lib/x/z", "1")),
    ]);
    match below.bytes() {
        Err(AssembleError::Below {
            package,
            path,
            parent,
            claim,
        }) => {
            assert_eq!((package.as_str(), path.as_str()), ("zeta", "usr/lib/x/z"));
            assert_eq!(
                (parent.as_str(), claim.package.as_str()),
                ("usr/lib/x", "alpha")
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn paths_and_hard_links_stay_inside_the_package() {
    let problem = |data: HandTar| match Case::addition(vec![("evil", data)]).bytes() {
        Err(AssembleError::Path {
            package, problem, ..
        }) => {
            assert_eq!(package, "evil");
            problem
        }
        other => panic!("{other:?}"),
    };
    let new = HandTar::new;
    assert_eq!(problem(new().file("../x", "")), PathProblem::Outside);
    assert_eq!(problem(new().file("a/../../x", "")), PathProblem::Outside);
    let hard = |target: &str| PathProblem::HardLink {
        target: target.to_owned(),
    };
    assert_eq!(problem(new().hard_link("a", "b")), hard("b"));
    assert_eq!(problem(new().hard_link("a", "../b")), hard("../b"));
    assert_eq!(
        problem(new().symlink("b", "c").hard_link("a", "b")),
        hard("b")
    );
}

#[test]
fn patterns_leave_files_out() {
    let data = HandTar::new()
        .dir("usr/share/man")
        .dir("usr/share/man/man1")
        .file("usr/share/man/man1/x.1", "page")
        .node("usr/share/doc/x", EntryType::Directory, 0o750, "", b"")
        .file("usr/share/doc/x/README", "read")
        .file("usr/share/doc/x/changelog", "change")
        .file("usr/share/doc/x/copyright", "free")
        .hard_link("usr/share/doc/x/zzz", "usr/share/doc/x/copyright");
    let case = Case {
        exclude: patterns(&[
            "/usr/share/man/**",
            "/usr/share/doc/**/[!c]*",
            "/usr/share/doc/*/c[!o]*",
        ]),
        ..Case::addition(vec![("x", data)])
    };
    assert_eq!(
        case.lines().unwrap(),
        [
            "usr/ 755 0:0 @1000",
            "usr/share/ 755 0:0 @1000",
            "usr/share/doc/ 755 0:0 @1000",
            // Excluded itself, and there for what is in it, as the package has it.
            "usr/share/doc/x/ 750 0:0 @1000",
            "usr/share/doc/x/copyright 644 0:0 @1000 free",
            "usr/share/man/ 755 0:0 @1000",
        ]
    );
}

#[test]
fn links_go_where_their_target_is() {
    let data = || {
        HandTar::new()
            .file("usr/bin/gcc", "compiler")
            .file("bin/dash", "shell")
            .symlink("bin/sh", "dash")
    };
    let case = |pairs: &[(&str, &str)]| Case {
        links: links(pairs),
        ..Case::addition(vec![("x", data())])
    };
    let lines = case(&[
        ("/usr/bin/cc", "gcc"),
        ("/bin/sh", "dash"),
        ("/bin/c", "/bin/gcc"),
        ("/usr/lib/cpp", "../bin/gcc"),
        ("/usr/bin/yacc", "bison.yacc"),
    ])
    .lines()
    .unwrap();
    let links: Vec<_> = lines
        .into_iter()
        .filter(|line| line.contains("->"))
        .collect();
    assert_eq!(
        links,
        [
            "usr/bin/c -> /bin/gcc",
            "usr/bin/cc -> gcc",
            "usr/bin/sh -> dash",
            "usr/lib/cpp -> ../bin/gcc"
        ]
    );
    match case(&[("/bin/sh", "gcc")]).bytes() {
        Err(AssembleError::LinkTaken {
            place,
            target,
            claim,
        }) => {
            assert_eq!((place.as_str(), target.as_str()), ("/bin/sh", "gcc"));
            assert_eq!(claim.to_string(), "package `x` has a link to `dash`");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_base_gets_what_scripts_would_have_made() {
    let data = HandTar::new()
        .file(
            "usr/share/base-passwd/passwd.master",
            "root:*:0:0:root:/root:/bin/bash\n",
        )
        .file("usr/share/base-passwd/group.master", "root:*:0:\n")
        .file("usr/share/libc-bin/nsswitch.conf", "hosts: files\n")
        .file("usr/lib32/x", "")
        .node("proc", EntryType::Directory, 0o700, "", b"");
    let bytes = Case::base(vec![("base", data)]).bytes().unwrap();
    let lines = describe(&bytes);
    for expected in [
        "bin -> usr/bin",
        "build/ 755 0:0 @1000",
        "etc/group 644 0:0 @1000 root:*:0:\nbuild:x:1000:\n",
        "etc/hosts 644 0:0 @1000 127.0.0.1\tlocalhost\n::1\tlocalhost\n",
        "etc/nsswitch.conf 644 0:0 @1000 hosts: files\n",
        "etc/passwd 644 0:0 @1000 root:*:0:0:root:/root:/bin/bash\n\
         build:x:1000:1000:build:/build/home:/bin/sh\n",
        "lib -> usr/lib",
        "lib32 -> usr/lib32",
        "lib64 -> usr/lib64",
        "proc/ 700 0:0 @1000",
        "root/ 700 0:0 @1000",
        "sbin -> usr/sbin",
        "tmp/ 1777 0:0 @1000",
        "usr/sbin/ 755 0:0 @1000",
    ] {
        assert!(
            lines.contains(&expected.to_owned()),
            "{expected}: {lines:#?}"
        );
    }
    assert!(!lines.iter().any(|line| line.starts_with("libx32")));
    let (_folder, store) = store();
    let id = kiln_model::DiffId(store.write_blob(&bytes).unwrap());
    let root = crate::rootfs::layer_tree(&store, &id).unwrap();
    let mut list = String::new();
    fs_err::File::open(root.join("var/lib/kiln/packages"))
        .unwrap()
        .read_to_string(&mut list)
        .unwrap();
    assert_eq!(list, "base=1\n");
}

#[test]
fn packages_may_bring_the_links_that_merge_usr() {
    let bring = |links: &[(&str, &str)]| {
        let own = HandTar::new().file("usr/bin/tool", "x").file("lib/y", "y");
        let data = links
            .iter()
            .fold(own, |tar, (place, target)| tar.symlink(place, target));
        Case::base(vec![("base-files", data)]).bytes()
    };
    let without = bring(&[]).unwrap();
    let with = bring(&[("bin", "usr/bin"), ("lib", "/usr/lib")]).unwrap();
    assert_eq!(describe(&with), describe(&without), "they are there anyway");
    assert!(describe(&with).contains(&"lib -> usr/lib".to_owned()));
    // One that leads elsewhere is another file system layout.
    assert!(matches!(
        bring(&[("bin", "usr/sbin")]),
        Err(AssembleError::Below { .. })
    ));
}

#[test]
fn an_addition_leaves_the_base_alone() {
    let bytes = Case::addition(vec![("tool", HandTar::new().file("bin/tool", "x"))])
        .bytes()
        .unwrap();
    let mut reader = TarReader::new(bytes.as_slice(), "layer", UnpackLimits::LAYER);
    let mut paths = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        paths.push(String::from_utf8(entry.path).unwrap());
    }
    assert_eq!(
        paths,
        [
            "usr/",
            "usr/bin/",
            "usr/bin/tool",
            "var/",
            "var/lib/",
            "var/lib/kiln/",
            "var/lib/kiln/packages-added"
        ]
    );
}

#[test]
fn a_missing_package_is_an_error_of_the_store() {
    let (_folder, store) = store();
    let package = crate::hand_deb::locked("x", b"not there");
    let request = LayerRequest {
        packages: &[package],
        links: &BTreeMap::new(),
        exclude: &[],
        kind: LayerKind::Base,
    };
    assert!(matches!(
        assemble_layer(&store, &request, &kiln_store::Silent),
        Err(AssembleError::Store(StoreError::Missing { .. }))
    ));
}
