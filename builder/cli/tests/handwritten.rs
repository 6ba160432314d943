//! The packages of `make rpms` beside what specs written by hand make of the same trees, by plain rpmbuild
//! in the same base image: the same files, modes, owners, marks, dependencies and scriptlets, but for
//! the differences listed here. Run by `make test-slow`.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_model::{
    BaseLock, DiffId, Digest, Limits, Lock as _, Mount, MountAccess, SealedStep, StepEnd, StepUser,
};
use kiln_sandbox::{Cancel, EmbeddedEngine, Engine as _, InitProgram};
use kiln_store::Store;

/// A difference that is meant: which side has it, in which package (empty: any), what its line begins
/// with, and why.
const DIFFERENCES: &[(Side, &str, &str, &str)] = &[
    (
        Side::Kiln,
        "",
        "file /usr/share/kiln",
        "an RPM of kiln's tells how it can be rebuilt",
    ),
    (
        Side::Kiln,
        "",
        "file /usr/share/licenses/",
        "every package has the licence's text, and those of bundled libraries",
    ),
    (
        Side::Both,
        "",
        "file /usr/lib/.build-id",
        "build-ids are made anew when debug information is split off, which the specs do not do",
    ),
    (
        Side::Both,
        "memcached",
        "script ",
        "kiln writes out what distributions have as macros, for hosts with and without systemd; \
         docs/services.md says what each part does",
    ),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    Kiln,
    Both,
}

/// What a spec is compared for: its packages, and what its product carries of each library.
struct Product {
    name: &'static str,
    packages: &'static [&'static str],
    carries: &'static [(&'static str, &'static str)],
}

const PRODUCTS: &[Product] = &[
    Product {
        name: "zlib",
        packages: &["zlib", "zlib-devel"],
        carries: &[],
    },
    Product {
        name: "curl",
        packages: &["curl", "libcurl", "libcurl-devel"],
        carries: &[
            ("openssl", "usr/lib/curl/lib/*.so.*"),
            ("c-ares", "usr/lib/curl/lib/*.so.*"),
        ],
    },
    Product {
        name: "memcached",
        packages: &["memcached", "memcached-devel"],
        carries: &[("libevent", "usr/lib/memcached/lib/libevent-2.1.so.*")],
    },
];

fn root() -> PathBuf {
    fs_err::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

/// Runs a script in a fresh copy of the base root file system; returns its output.
fn run(store: &Store, mounts: &[(PathBuf, String)], script: &str) -> String {
    let lock = fs_err::read_to_string(root().join("lockfiles/debian-12-x86_64.lock")).unwrap();
    let lock = BaseLock::parse(&lock).unwrap();
    let base = store
        .tree(&lock.layer)
        .unwrap()
        .expect("the base's tree is in the store");
    let engine = EmbeddedEngine::new(InitProgram {
        program: PathBuf::from(env!("CARGO_BIN_EXE_kiln")),
        arguments: vec!["sandbox-init".to_owned()],
    });
    let mount = |(source, target): &(PathBuf, String)| Mount {
        source: source.clone(),
        target: target.parse().unwrap(),
        access: MountAccess::ReadOnly,
    };
    let variables = [("PATH", "/usr/sbin:/usr/bin"), ("LC_ALL", "C.UTF-8")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let step = SealedStep {
        label: "handwritten".to_owned(),
        rootfs: vec![base],
        mounts: mounts.iter().map(mount).collect(),
        command: ["/bin/sh", "-ec", script].map(str::to_owned).to_vec(),
        environment: BTreeMap::from(variables),
        working_directory: "/tmp".parse().unwrap(),
        user: StepUser::Root,
        limits: Limits {
            memory: 2 << 30,
            processes: 500,
            wall_time: Duration::from_secs(300),
            log: 4 << 20,
            scratch: 1 << 30,
            disk: 1 << 40,
            reserve: 0,
        },
    };
    let mut log = Vec::new();
    let outcome = engine.run(&step, &mut log, &Cancel::new()).unwrap();
    let log = String::from_utf8_lossy(&log).into_owned();
    assert_eq!(outcome.end, StepEnd::Exited(0), "{log}");
    log
}

/// Returns the unpacked destdir of every recipe in a product, as the package itself tells.
fn destdirs(store: &Store, rpms: &Path, product: &Product) -> BTreeMap<String, PathBuf> {
    let script = format!(
        "rpm2cpio /rpms/x86_64/{}-[0-9]*.rpm | cpio --quiet -i --to-stdout './usr/share/kiln/buildinfo/*'",
        product.name
    );
    let text = run(store, &[(rpms.to_owned(), "/rpms".to_owned())], &script);
    let info: serde_json::Value = serde_json::from_str(&text).unwrap();
    let tree = |(name, recipe): (&String, &serde_json::Value)| {
        let digest: Digest = recipe["destdir"].as_str().unwrap().parse().unwrap();
        let tree = store.tree(&DiffId(digest)).unwrap();
        (name.clone(), tree.expect("the destdir is in the store"))
    };
    info["recipes"]
        .as_object()
        .unwrap()
        .iter()
        .map(tree)
        .collect()
}

/// Prints one line for each thing that is compared, behind `PACKAGE SIDE`.
const DESCRIBE: &str = r#"
describe() {
  rpm -qp --nosignature --qf '[file %{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME}:%{FILEGROUPNAME} marks=%{FILEFLAGS:fflags} %{FILELINKTOS}\n][requires %{REQUIRENEVRS}\n][provides %{PROVIDENEVRS}\n][conflicts %{CONFLICTNEVRS}\n][obsoletes %{OBSOLETENEVRS}\n]' "$3"
  rpm -qp --nosignature --scripts "$3" | sed 's/^/script /'
}
show() { describe "$@" 2>/dev/null | sed "s|^|@ $1 $2 |"; }
"#;

fn script(product: &Product) -> String {
    let mut script = DESCRIBE.to_owned();
    script.push_str("mkdir /tmp/tree /tmp/own /tmp/licenses\ncp -a /trees/");
    script.push_str(&format!("{0}/. /tmp/tree/\n", product.name));
    for (library, files) in product.carries {
        script.push_str(&format!(
            "(cd /trees/{library} && cp -a --parents {files} /tmp/tree/)\n"
        ));
    }
    script.push_str(&format!(
        "for rpm in /rpms/x86_64/*; do (cd /tmp/own && rpm2cpio $rpm | cpio --quiet -idm './usr/share/licenses/*' './usr/lib/systemd/*'); done\n\
         cp /tmp/own/usr/share/licenses/{0}/* /tmp/licenses/ 2>/dev/null || :\n\
         rpmbuild --quiet -bb --define '_topdir /tmp/made' --define 'tree /tmp/tree' \
         --define 'licenses /tmp/licenses' --define 'extra /tmp/own' /specs/{0}.spec\n",
        product.name
    ));
    for package in product.packages {
        script.push_str(&format!(
            "show {package} kiln /rpms/*/{package}-[0-9]*.rpm\n\
             show {package} hand /tmp/made/RPMS/*/{package}-[0-9]*.rpm\n"
        ));
    }
    script
}

/// Returns what one side says of a package.
fn lines<'a>(log: &'a str, package: &str, side: &str) -> BTreeSet<&'a str> {
    let head = format!("@ {package} {side} ");
    log.lines()
        .filter_map(|line| line.strip_prefix(&head))
        .filter(|line| !line.contains("rpmlib("))
        .collect()
}

#[test]
fn slow_specs_written_by_hand_make_the_same_packages() {
    let rpms = root().join("out/rpms");
    if !rpms.is_dir() || !root().join(".kiln/store").is_dir() {
        eprintln!("skipped: no RPMs; run `make rpms` first");
        return;
    }
    let store = Store::open(&root().join(".kiln/store")).unwrap();
    let specs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/handwritten");
    let mut used = BTreeSet::new();
    for product in PRODUCTS {
        let mut mounts = vec![
            (rpms.clone(), "/rpms".to_owned()),
            (specs.clone(), "/specs".to_owned()),
        ];
        for (name, tree) in destdirs(&store, &rpms, product) {
            mounts.push((tree, format!("/trees/{name}")));
        }
        let log = run(&store, &mounts, &script(product));
        for package in product.packages {
            let kiln = lines(&log, package, "kiln");
            let hand = lines(&log, package, "hand");
            assert!(kiln.len() > 3 && hand.len() > 3, "{package}: {log}");
            let only = |side: Side, line: &str| -> Option<usize> {
                DIFFERENCES.iter().position(|(allowed, of, start, _)| {
                    (*allowed == side || *allowed == Side::Both)
                        && (of.is_empty() || of == package)
                        && line.starts_with(start)
                })
            };
            let mut unexplained = Vec::new();
            for line in kiln.difference(&hand) {
                match only(Side::Kiln, line) {
                    Some(number) => drop(used.insert(number)),
                    None => unexplained.push(format!("only kiln: {line}")),
                }
            }
            for line in hand.difference(&kiln) {
                match only(Side::Both, line) {
                    Some(number) => drop(used.insert(number)),
                    None => unexplained.push(format!("only by hand: {line}")),
                }
            }
            assert!(
                unexplained.is_empty(),
                "{package}:\n{}",
                unexplained.join("\n")
            );
        }
    }
    let unused: Vec<_> = (0..DIFFERENCES.len())
        .filter(|number| !used.contains(number))
        .map(|number| DIFFERENCES[number])
        .collect();
    assert!(unused.is_empty(), "listed, but no difference: {unused:?}");
}
