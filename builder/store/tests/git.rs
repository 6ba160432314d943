//! Commits from real git servers, and from servers that are none: what is exported, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod support;

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use kiln_model::{CommitId, Digest, GitLocation, RepositoryUrl, SourceMirror, Submodules, TagName};
use kiln_store::{
    Attempt, AttemptError, FetchError, FetchLocation, FetchRequest, FetchSettings, Fetcher,
    GitExport, GitRequest, GitWanted, Network, Silent, Store, Upstream,
};
use kiln_testkit::git::{FIRST_COMMIT, GitServer, Repository, Versions};
use tempfile::TempDir;

use support::{Heard, Part, Server, limits, status, with_headers};

/// A folder with repositories, a server for it, and a store.
struct Scene {
    _folder: TempDir,
    served: std::path::PathBuf,
    server: GitServer,
    store: Store,
    settings: FetchSettings,
}

impl Scene {
    fn new() -> Self {
        Self::with(Versions::All)
    }

    fn with(versions: Versions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("served");
        fs_err::create_dir_all(&served).unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let mut settings = FetchSettings::new(Vec::new(), Network::Online);
        settings.limits = limits();
        settings.limits.idle_timeout = Duration::from_secs(20);
        Self {
            server: GitServer::start(&served, versions),
            served,
            store,
            settings,
            _folder: folder,
        }
    }

    fn repository(&self, name: &str) -> Repository {
        Repository::new(&self.served, name)
    }

    fn url(&self, name: &str) -> RepositoryUrl {
        self.server.url(name).parse().unwrap()
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher::new(self.store.clone(), self.settings.clone()).unwrap()
    }

    fn export(&self, url: &RepositoryUrl, wanted: GitWanted<'_>) -> Result<GitExport, FetchError> {
        self.export_with(url, wanted, Submodules::Follow)
    }

    fn export_with(
        &self,
        url: &RepositoryUrl,
        wanted: GitWanted<'_>,
        submodules: Submodules,
    ) -> Result<GitExport, FetchError> {
        let request = GitRequest {
            repository: url,
            wanted,
            submodules,
        };
        self.fetcher().export_git(&request, &Silent)
    }

    fn export_commit(&self, name: &str, commit: &str) -> Result<GitExport, FetchError> {
        let commit: CommitId = commit.parse().unwrap();
        self.export(&self.url(name), GitWanted::Commit(&commit, None))
    }

    fn bytes(&self, export: &GitExport) -> Vec<u8> {
        self.store.read_blob(&export.blob.digest).unwrap()
    }
}

fn tag(text: &str) -> TagName {
    text.parse().unwrap()
}

/// Returns kind, mode, path, and content or link of every entry.
fn listing(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in tar::Archive::new(bytes).entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mode = header.mode().unwrap();
        let link = entry.link_name_bytes();
        let more = match link {
            Some(target) => format!("-> {}", String::from_utf8_lossy(&target)),
            None => {
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                text
            }
        };
        lines.push(format!("{mode:o} {path} {more}").trim_end().to_owned());
    }
    lines
}

fn attempts(error: FetchError) -> Vec<Attempt> {
    match error {
        FetchError::Git { attempts, .. } => attempts,
        other => panic!("{other}"),
    }
}

fn reason(error: FetchError) -> AttemptError {
    let mut attempts = attempts(error);
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    attempts.remove(0).reason
}

/// Returns where in a commit something is refused, and why.
fn content(error: FetchError) -> (String, String) {
    match error {
        FetchError::GitContent { content, .. } => (content.path, content.reason),
        other => panic!("{other}"),
    }
}

#[test]
fn a_tag_becomes_a_deterministic_tar() {
    for versions in [Versions::All, Versions::Old] {
        let scene = Scene::with(versions);
        let demo = scene.repository("demo");
        demo.write("README", "hello\n");
        demo.write("src/run.sh", "#!/bin/sh\n");
        demo.write(
            ".gitattributes",
            "README export-ignore\nversion export-subst\n",
        );
        demo.write("version", "$Format:%H$\n");
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(demo.work().join("src/run.sh"), mode).unwrap();
        std::os::unix::fs::symlink("src/run.sh", demo.work().join("run")).unwrap();
        demo.commit("one");
        demo.tag("v1");
        let second = {
            demo.write("later", "x");
            demo.commit("two")
        };
        let export = scene.export(&scene.url("demo"), GitWanted::Tag(&tag("v1")));
        let export = export.unwrap();
        let first = demo.git(&["rev-parse", "v1^{commit}"]);
        assert_eq!(export.commit.as_str(), first);
        assert_ne!(export.commit.as_str(), second);
        assert_eq!(u64::from(export.committed.seconds()), FIRST_COMMIT);
        let bytes = scene.bytes(&export);
        let top = format!("demo-{}", export.commit.short());
        assert_eq!(
            listing(&bytes),
            [
                format!("755 {top}/"),
                format!("644 {top}/.gitattributes README export-ignore\nversion export-subst"),
                format!("644 {top}/README hello"),
                format!("777 {top}/run -> src/run.sh"),
                format!("755 {top}/src/"),
                format!("755 {top}/src/run.sh #!/bin/sh"),
                format!("644 {top}/version $Format:%H$"),
            ]
        );
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            assert_eq!(entry.unwrap().header().mtime().unwrap(), FIRST_COMMIT);
        }
        // Whatever the server's packs look like, and whoever answers.
        demo.repack(&["-a", "-d", "-f", "--depth=1", "--window=1"]);
        let again = scene.export_commit("demo", export.commit.as_str()).unwrap();
        assert_eq!(again, export, "{versions:?}");
        demo.bare_git(&["config", "core.bigFileThreshold", "1"]);
        demo.repack(&["-a", "-d", "-F"]);
        let again = scene.export_commit("demo", export.commit.as_str()).unwrap();
        assert_eq!(again.blob, export.blob, "{versions:?}");
    }
}

#[test]
fn plain_tags_and_tags_of_tags_lead_to_their_commit() {
    let scene = Scene::new();
    let demo = scene.repository("demo");
    demo.write("a", "a");
    let commit = demo.commit("one");
    demo.plain_tag("plain", "HEAD");
    demo.tag("once");
    demo.git(&["tag", "--annotate", "--message", "x", "twice", "once"]);
    demo.plain_tag("file", "HEAD:a");
    let url = scene.url("demo");
    for name in ["plain", "once", "twice"] {
        let export = scene.export(&url, GitWanted::Tag(&tag(name))).unwrap();
        assert_eq!(export.commit.as_str(), commit, "{name}");
        let resolved = scene.fetcher().resolve_tag(&url, &tag(name)).unwrap();
        assert_eq!(resolved.as_str(), commit, "{name}");
    }
    let error = scene
        .export(&url, GitWanted::Tag(&tag("file")))
        .unwrap_err();
    assert!(matches!(reason(error), AttemptError::Pack { reason } if reason.contains("no commit")));
    let missing = tag("v2");
    let error = scene.export(&url, GitWanted::Tag(&missing)).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("it has no tag `v2`") && text.contains("hint: "),
        "{text}"
    );
    assert_eq!(reason(error), AttemptError::NoTag { tag: missing });
}

#[test]
fn a_commit_that_no_ref_leads_to_needs_a_server_that_gives_it() {
    for (versions, is_allowed, expected) in [
        // Version 2 gives whatever it has.
        (Versions::All, "false", true),
        (Versions::Old, "true", true),
        (Versions::Old, "false", false),
    ] {
        let scene = Scene::with(versions);
        let demo = scene.repository("demo");
        demo.configure("uploadpack.allowAnySHA1InWant", is_allowed);
        demo.write("a", "a");
        demo.commit("one");
        demo.write("a", "gone");
        let gone = demo.commit("two");
        demo.git(&["reset", "--quiet", "--hard", "HEAD^"]);
        demo.write("a", "b");
        demo.commit("instead");
        let export = scene.export_commit("demo", &gone);
        assert_eq!(export.is_ok(), expected, "{versions:?} {is_allowed}");
        if let Err(error) = export {
            let no_commit = AttemptError::NoCommit {
                commit: gone.parse().unwrap(),
                refs: 1,
            };
            assert_eq!(reason(error), no_commit);
        }
    }
}

#[test]
fn a_server_that_refuses_names_is_asked_for_the_tag_or_for_everything() {
    let scene = Scene::with(Versions::Old);
    let demo = scene.repository("demo");
    demo.write("a", "a");
    let below = demo.commit("one");
    demo.write("a", "b");
    let tagged = demo.commit("two");
    demo.tag("v1");
    demo.write("a", "c");
    demo.commit("three");
    let name = tag("v1");
    let tagged: CommitId = tagged.parse().unwrap();
    let wanted = GitWanted::Commit(&tagged, Some(&name));
    let export = scene.export(&scene.url("demo"), wanted).unwrap();
    assert_eq!(export.commit, tagged);
    // In the middle of history, where no ref is.
    let export = scene.export_commit("demo", &below).unwrap();
    assert_eq!(export.commit.as_str(), below);
    assert!(listing(&scene.bytes(&export))[1].ends_with("/a a"));
}

#[test]
fn a_commit_that_a_forced_push_took_away_is_told_to_be_gone() {
    for versions in [Versions::All, Versions::Old] {
        let scene = Scene::with(versions);
        let demo = scene.repository("demo");
        demo.write("a", "a");
        let gone = demo.commit("one");
        demo.git(&["commit", "--quiet", "--amend", "--message", "other"]);
        demo.push();
        demo.prune();
        let error = scene.export_commit("demo", &gone).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("no place gave commit {gone} of http://")),
            "{text}"
        );
        assert!(text.contains("forced push"), "{text}");
        let found = reason(error);
        assert!(matches!(found, AttemptError::NoCommit { .. }), "{found}");
    }
}

#[test]
fn a_moved_tag_leads_elsewhere_and_its_old_commit_can_still_be_had() {
    let scene = Scene::new();
    let demo = scene.repository("demo");
    demo.write("a", "a");
    let first = demo.commit("one");
    demo.tag("v1");
    demo.write("a", "b");
    let second = demo.commit("two");
    demo.tag("v1");
    let resolved = scene.fetcher().resolve_tag(&scene.url("demo"), &tag("v1"));
    assert_eq!(resolved.unwrap().as_str(), second);
    let export = scene.export_commit("demo", &first).unwrap();
    assert_eq!(export.commit.as_str(), first);
}

#[test]
fn submodules_follow_their_pins_through_relative_and_ssh_addresses() {
    let scene = Scene::new();
    let (inner, common, other) = (
        scene.repository("inner"),
        scene.repository("common"),
        scene.repository("other"),
    );
    inner.write("deep", "deep");
    let inner_commit = inner.commit("inner");
    common.write("lib.c", "old");
    common.add_submodule("in", "../inner.git", &inner_commit);
    common.git(&["add", "lib.c"]);
    let pinned = common.commit_index("pinned");
    common.write("lib.c", "new");
    common.commit("newer");
    other.write("x", "x");
    let other_commit = other.commit("x");
    let demo = scene.repository("demo");
    demo.write("a", "a");
    demo.add_submodule("modules/common", "../common.git", &pinned);
    // A host of its own stands in for what is rewritten to HTTPS.
    demo.add_submodule("other", "git@git.example:team/other.git", &other_commit);
    demo.git(&["add", "a"]);
    let commit = demo.commit_index("one");
    let mut scene = scene;
    scene.settings.mirrors = vec![SourceMirror {
        prefix: "https://git.example/team/".parse().unwrap(),
        to: vec![format!("{}/", scene.server.base).parse().unwrap()],
    }];
    let export = scene.export_commit("demo", &commit).unwrap();
    let base = scene.server.base.clone();
    let taken: Vec<String> = export
        .submodules
        .iter()
        .map(|it| format!("{} {} {}", it.path, it.url, it.commit))
        .collect();
    assert_eq!(
        taken,
        [
            format!("modules/common {base}/common.git {pinned}"),
            format!("modules/common/in {base}/inner.git {inner_commit}"),
            format!("other https://git.example/team/other.git {other_commit}"),
        ]
    );
    let [rewritten] = export.rewritten.as_slice() else {
        panic!("{:?}", export.rewritten)
    };
    assert_eq!(rewritten.from, "git@git.example:team/other.git");
    assert_eq!(rewritten.to.as_str(), "https://git.example/team/other.git");
    let top = format!("demo-{}", &commit[..12]);
    let found = listing(&scene.bytes(&export));
    for expected in [
        format!("755 {top}/modules/common/"),
        format!("755 {top}/modules/common/in/"),
        format!("644 {top}/modules/common/in/deep deep"),
        format!("644 {top}/modules/common/lib.c old"),
        format!("644 {top}/other/x x"),
    ] {
        assert!(found.contains(&expected), "{expected}: {found:#?}");
    }
    // Left out, their folders are there and empty.
    let parsed: CommitId = commit.parse().unwrap();
    let wanted = GitWanted::Commit(&parsed, None);
    let export = scene
        .export_with(&scene.url("demo"), wanted, Submodules::LeaveOut)
        .unwrap();
    assert_eq!(export.submodules, []);
    let found = listing(&scene.bytes(&export));
    assert!(found.contains(&format!("755 {top}/other/")));
    assert!(!found.iter().any(|line| line.contains("lib.c")));
}

#[test]
fn a_submodule_whose_pin_is_not_in_its_repository_is_named() {
    let scene = Scene::new();
    let common = scene.repository("common");
    common.write("x", "x");
    common.commit("x");
    let pin = "0123456789".repeat(4);
    let demo = scene.repository("demo");
    demo.add_submodule("modules/common", "../common.git", &pin);
    let commit = demo.commit_index("one");
    let error = scene.export_commit("demo", &commit).unwrap_err();
    let FetchError::Submodule(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.parent, scene.url("demo"));
    assert_eq!(error.path.as_str(), "modules/common");
    assert_eq!(error.commit.as_str(), pin);
    assert_eq!(error.url, scene.url("common"));
    let text = error.to_string();
    for part in ["modules/common", &pin, "/common.git", "/demo.git", "hint: "] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn hostile_submodules_are_refused_where_they_stand() {
    let scene = Scene::new();
    let common = scene.repository("common");
    common.write("x", "x");
    let pin = common.commit("x");
    let check = |name: &str, url: &str, path: &str, expected: &str| {
        let demo = scene.repository(name);
        demo.add_submodule(path, url, &pin);
        let commit = demo.commit_index("one");
        let (place, reason) = content(scene.export_commit(name, &commit).unwrap_err());
        assert_eq!(place, path, "{url}");
        assert!(reason.contains(expected), "{url}: {reason}");
    };
    let unusable = "its address in `.gitmodules` can not be used";
    for (number, url) in [
        "file:///etc",
        "--upload-pack=touch /tmp/x",
        "ext::sh -c true",
        "/srv/common.git",
        "https://me:secret@example.org/common.git",
        "../../../common.git",
    ]
    .into_iter()
    .enumerate()
    {
        check(&format!("url-{number}"), url, "sub", unusable);
    }
    // No path can climb: what a tree holds is where it holds it. An entry for a path outside is nobody's.
    let demo = scene.repository("climbing");
    for (number, path) in ["../x", ".git/hooks", "/etc/x", "link/x"]
        .into_iter()
        .enumerate()
    {
        let modules = demo.work().join(".gitmodules");
        let mut text = fs_err::read_to_string(&modules).unwrap_or_default();
        text.push_str(&format!(
            "[submodule \"{number}\"]\n\tpath = {path}\n\turl = ../common.git\n"
        ));
        fs_err::write(modules, text).unwrap();
    }
    std::os::unix::fs::symlink("elsewhere", demo.work().join("link")).unwrap();
    demo.write("elsewhere/a", "a");
    let commit = demo.commit("one");
    let export = scene.export_commit("climbing", &commit).unwrap();
    assert_eq!(export.submodules, []);
    // Without an address; with two; with an option for a path.
    let demo = scene.repository("nowhere");
    demo.add_gitlink("sub", &pin);
    let commit = demo.commit_index("one");
    let (place, reason) = content(scene.export_commit("nowhere", &commit).unwrap_err());
    assert_eq!(place, "sub");
    assert!(reason.contains("has no address"), "{reason}");
    let demo = scene.repository("twice");
    demo.write(
        ".gitmodules",
        "[submodule \"a\"]\npath = sub\nurl = ../common.git\n[submodule \"b\"]\npath = sub\nurl = ../x.git\n",
    );
    demo.git(&["add", ".gitmodules"]);
    demo.add_gitlink("sub", &pin);
    let commit = demo.commit_index("one");
    let (_, reason) = content(scene.export_commit("twice", &commit).unwrap_err());
    assert!(reason.contains("several submodules"), "{reason}");
    check("option", "../common.git", "-x", "like an option");
}

#[test]
fn hostile_trees_are_refused_where_they_stand() {
    let scene = Scene::new();
    let demo = scene.repository("demo");
    demo.write("a", "a");
    demo.commit("one");
    let blob = demo.git(&["rev-parse", "HEAD:a"]);
    let raw = |hex: &str| -> Vec<u8> {
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(byte).collect()
    };
    let entry = |mode: &str, name: &str, id: &str| {
        [format!("{mode} {name}\0").as_bytes(), raw(id).as_slice()].concat()
    };
    let commit_of = |tree: &str| {
        let text = format!(
            "tree {tree}\nauthor A <a@example.org> {FIRST_COMMIT} +0000\ncommitter A <a@example.org> \
             {FIRST_COMMIT} +0000\n\nx\n"
        );
        demo.hash_object("commit", text.as_bytes())
    };
    let check = |content_of_tree: &[u8], place: &str, expected: &str| {
        let tree = demo.hash_object("tree", content_of_tree);
        let commit = commit_of(&tree);
        demo.git(&["update-ref", "refs/heads/hostile", &commit]);
        demo.push();
        let (path, reason) = content(scene.export_commit("demo", &commit).unwrap_err());
        assert_eq!(path, place, "{reason}");
        assert!(reason.contains(expected), "{reason}");
    };
    let own = "git's own folder";
    check(&entry("100644", ".git", &blob), ".git", own);
    check(&entry("100644", ".GIT", &blob), ".GIT", own);
    check(&entry("100644", "..", &blob), "..", "`..`");
    check(&entry("100644", "a/b", &blob), "a/b", "slash");
    let long = "n".repeat(300);
    check(&entry("100644", &long, &blob), &long[..200], "too long");
    check(
        &[entry("100644", "a", &blob), entry("100755", "a", &blob)].concat(),
        "a",
        "two entries",
    );
    let target = demo.hash_object("blob", b"../../etc/passwd");
    check(
        &entry("120000", "link", &target),
        "link",
        "outside the tree",
    );
    let target = demo.hash_object("blob", b"/etc/passwd");
    check(&entry("120000", "link", &target), "link", "absolute");
    // Folders in folders, far too deep.
    let mut tree = demo.hash_object("tree", &entry("100644", "a", &blob));
    for _ in 0..200 {
        tree = demo.hash_object("tree", &entry("40000", "d", &tree));
    }
    let commit = commit_of(&tree);
    demo.git(&["update-ref", "refs/heads/hostile", &commit]);
    demo.push();
    let (_, reason) = content(scene.export_commit("demo", &commit).unwrap_err());
    assert!(reason.contains("deeper than"), "{reason}");
    // Nothing of all this was kept.
    let blobs = walkdir::WalkDir::new(scene.store.root().join("blobs/sha256"));
    assert_eq!(blobs.min_depth(1).into_iter().count(), 0);
}

#[test]
fn an_export_is_made_again_by_its_digest() {
    let scene = Scene::new();
    let demo = scene.repository("demo");
    demo.write("a", "a");
    let commit = demo.commit("one");
    let export = scene.export_commit("demo", &commit).unwrap();
    let other = tempfile::tempdir().unwrap();
    let store = Store::open(&other.path().join("store")).unwrap();
    let location = GitLocation::new(scene.url("demo"), commit.parse().unwrap());
    let request = |sha256: Digest| FetchRequest {
        name: location.file_name().to_owned(),
        locations: vec![FetchLocation::Git(location.clone(), Submodules::Follow)],
        sha256,
        size: Some(export.blob.size),
    };
    let fetcher = Fetcher::new(store.clone(), scene.settings.clone()).unwrap();
    let infos = fetcher.fetch_all(&[request(export.blob.digest)], &Silent);
    assert_eq!(infos.unwrap(), [export.blob]);
    let wrong = Digest::of(b"other");
    let error = fetcher.fetch_all(&[request(wrong)], &Silent).unwrap_err();
    match error {
        FetchError::Export {
            expected, actual, ..
        } => assert_eq!((expected, actual), (wrong, export.blob.digest)),
        other => panic!("{other}"),
    }
    // Offline it is there, or missing with its name.
    let settings = FetchSettings::new(Vec::new(), Network::Offline);
    let offline = Fetcher::new(store, settings).unwrap();
    assert!(
        offline
            .fetch_all(&[request(export.blob.digest)], &Silent)
            .is_ok()
    );
    let error = offline.fetch_all(&[request(wrong)], &Silent).unwrap_err();
    assert!(error.to_string().contains("demo-"), "{error}");
    let wanted = GitWanted::Commit(location.commit(), None);
    let request = GitRequest {
        repository: location.repository(),
        wanted,
        submodules: Submodules::Follow,
    };
    let error = offline.export_git(&request, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::OfflineGit { .. }), "{error}");
}

#[test]
fn kilns_that_share_a_store_export_a_commit_once() {
    let scene = Scene::new();
    let demo = scene.repository("demo");
    demo.write("a", "a");
    let commit = demo.commit("one");
    let export = scene.export_commit("demo", &commit).unwrap();
    let location = GitLocation::new(scene.url("demo"), commit.parse().unwrap());
    let request = FetchRequest {
        name: location.file_name().to_owned(),
        locations: vec![FetchLocation::Git(location, Submodules::Follow)],
        sha256: export.blob.digest,
        size: None,
    };
    let other = tempfile::tempdir().unwrap();
    let store = Store::open(&other.path().join("store")).unwrap();
    // Somebody else has the turn until all of them found that the export is missing.
    let name = Digest::of(format!("fetch {}", export.blob.digest).as_bytes());
    let turn = store.try_turn(&name).unwrap().unwrap();
    let lines = std::thread::scope(|scope| {
        let kilns = [(); 4].map(|()| {
            scope.spawn(|| {
                let store = Store::open(store.root()).unwrap();
                let fetcher = Fetcher::new(store, scene.settings.clone()).unwrap();
                let heard = Heard::default();
                let found = fetcher.fetch_all(std::slice::from_ref(&request), &heard);
                assert_eq!(found.unwrap(), [export.blob]);
                heard.lines().pop().unwrap()
            })
        });
        std::thread::sleep(Duration::from_millis(500));
        drop(turn);
        kilns.map(|kiln| kiln.join().unwrap())
    });
    let stored = lines.iter().filter(|line| line.ends_with("from the store"));
    assert_eq!(stored.count(), 3, "{lines:?}");
}

#[test]
fn mirrors_stand_in_for_repositories() {
    let mut scene = Scene::new();
    let demo = scene.repository("demo");
    demo.write("a", "a");
    let commit = demo.commit("one");
    let url: RepositoryUrl = "https://git.example/team/demo.git".parse().unwrap();
    let parsed: CommitId = commit.parse().unwrap();
    scene.settings.upstream = Upstream::Never;
    let error = scene
        .export(&url, GitWanted::Commit(&parsed, None))
        .unwrap_err();
    assert_eq!(reason(error), AttemptError::NotMirrored);
    scene.settings.mirrors = vec![SourceMirror {
        prefix: "https://git.example/team/".parse().unwrap(),
        to: vec![
            format!("{}/missing/", scene.server.base).parse().unwrap(),
            format!("{}/", scene.server.base).parse().unwrap(),
        ],
    }];
    let export = scene
        .export(&url, GitWanted::Commit(&parsed, None))
        .unwrap();
    assert_eq!(export.commit, parsed);
}

/// Answers discovery in version 2, and `pack` to a fetch.
fn fake(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Server {
    Server::asked_for(move |asked| {
        let kind = "Content-Type: application/x-git-upload-pack";
        let body = match answer(&asked.path) {
            Some(body) => body,
            None if asked.path.contains("info/refs") => {
                let parts = [packet(b"version 2\n"), packet(b"fetch=shallow\n")];
                let body = [parts.concat().as_slice(), b"0000"].concat();
                let length = body.len();
                let headers = format!("{kind}-advertisement\r\nContent-Length: {length}");
                return vec![Part::Bytes(with_headers("200 OK", &headers, &body))];
            }
            None => b"0000".to_vec(),
        };
        let headers = format!("{kind}-result\r\nContent-Length: {}", body.len());
        vec![Part::Bytes(with_headers("200 OK", &headers, &body))]
    })
}

fn packet(text: &[u8]) -> Vec<u8> {
    [format!("{:04x}", text.len() + 4).as_bytes(), text].concat()
}

/// A pack as version 2 sends it.
fn answer_with(pack: &[u8]) -> Vec<u8> {
    let mut answer = packet(b"packfile\n");
    for part in pack.chunks(60_000) {
        answer.extend(packet(&[&[1], part].concat()));
    }
    answer.extend_from_slice(b"0000");
    answer
}

fn export_from(server: &Server, commit: &str) -> FetchError {
    let scene = Scene::new();
    let url: RepositoryUrl = format!("{}/demo.git", server.base).parse().unwrap();
    let commit: CommitId = commit.parse().unwrap();
    let error = scene
        .export(&url, GitWanted::Commit(&commit, None))
        .unwrap_err();
    let blobs = walkdir::WalkDir::new(scene.store.root().join("blobs/sha256"));
    assert_eq!(blobs.min_depth(1).into_iter().count(), 0);
    error
}

#[test]
fn a_pack_with_another_commit_or_a_damaged_one_is_refused() {
    let scene = Scene::new();
    let demo = scene.repository("demo");
    demo.write("a", &"long ".repeat(1000));
    let commit = demo.commit("one");
    demo.write("a", "other");
    let other = demo.commit("two");
    let whole = demo.pack_of(&commit);
    let post = |pack: Vec<u8>| {
        fake(move |path| {
            path.ends_with("/git-upload-pack")
                .then(|| answer_with(&pack))
        })
    };
    // The objects of another commit than was asked for.
    let error = export_from(&post(whole.clone()), &other);
    let refused = |error: FetchError, expected: &str| match reason(error) {
        AttemptError::Pack { reason } => assert!(reason.contains(expected), "{reason}"),
        other => panic!("{other}"),
    };
    refused(error, "is not in it");
    // Cut off; a byte changed; nothing at all.
    let cut = whole[..whole.len() / 2].to_vec();
    refused(export_from(&post(cut), &commit), "");
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 0x55;
    refused(export_from(&post(changed), &commit), "");
    refused(export_from(&post(Vec::new()), &commit), "");
    // An object that claims to be larger than anything.
    let mut bomb = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
    bomb.extend_from_slice(&[0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    bomb.extend_from_slice(&whole[20..200]);
    refused(export_from(&post(bomb), &commit), "");
}

#[test]
fn servers_that_are_none_are_told_apart() {
    let commit = "0123456789".repeat(4);
    let page = Server::always(with_headers(
        "200 OK",
        "Content-Type: text/html\r\nContent-Length: 6",
        b"<html>",
    ));
    assert_eq!(reason(export_from(&page, &commit)), AttemptError::NotGit);
    let missing = Server::always(status("404 Not Found"));
    let expected = AttemptError::Status { status: 404 };
    assert_eq!(reason(export_from(&missing, &commit)), expected);
    for target in [
        "file:///etc/passwd",
        "https://me:secret@example.org/x.git/info/refs",
    ] {
        let reply = with_headers(
            "302 Found",
            &format!("Location: {target}\r\nContent-Length: 0"),
            b"",
        );
        let found = reason(export_from(&Server::always(reply), &commit));
        assert!(matches!(found, AttemptError::Redirect { .. }), "{found}");
    }
    for (answer, expected) in [
        ("zzzz", "has no length"),
        ("0", "ends within a packet"),
        ("", "ends too early"),
        ("0000", "holds no pack"),
        ("000dpackfile\n0006\u{5}x", "no band"),
        ("000dpackfile\n0007\u{1}xx", "breaks off"),
    ] {
        let answer = answer.as_bytes();
        let server = fake(move |path| path.ends_with("/git-upload-pack").then(|| answer.to_vec()));
        match reason(export_from(&server, &commit)) {
            AttemptError::GitProtocol { reason } => assert!(reason.contains(expected), "{reason}"),
            other => panic!("{other}"),
        }
    }
    // What it says is repeated, without what would harm a terminal.
    let error = packet(b"ERR no\x1b[2J way\n");
    let server = fake(move |path| path.ends_with("/git-upload-pack").then(|| error.clone()));
    let found = reason(export_from(&server, &commit));
    assert_eq!(found.to_string(), "the git server refuses: no[2J way");
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let server = Server::asked_for(|_| vec![Part::Pause(Duration::from_secs(30))]);
    let mut scene = Scene::new();
    scene.settings.limits.connect_timeout = Duration::from_millis(100);
    scene.settings.limits.idle_timeout = Duration::from_millis(200);
    scene.settings.limits.retries = 1;
    let url: RepositoryUrl = format!("{}/demo.git", server.base).parse().unwrap();
    let commit: CommitId = "0123456789".repeat(4).parse().unwrap();
    let error = scene
        .export(&url, GitWanted::Commit(&commit, None))
        .unwrap_err();
    let mut attempts = attempts(error);
    let attempt = attempts.remove(0);
    assert_eq!(attempt.tries, 2);
    assert!(
        matches!(attempt.reason, AttemptError::Idle { .. }),
        "{attempt:?}"
    );
}

#[test]
fn more_than_the_limit_is_not_taken() {
    let mut scene = Scene::new();
    let demo = scene.repository("demo");
    demo.write("a", &"0123456789abcdef".repeat(64 * 1024));
    let commit = demo.commit("one");
    // The pack is small, the export is not.
    scene.settings.limits.size_limit = 100_000;
    let (path, reason) = content(scene.export_commit("demo", &commit).unwrap_err());
    assert_eq!(path, format!("demo-{}/a", &commit[..12]));
    assert!(reason.contains("more than 100000 bytes"), "{reason}");
    scene.settings.limits.size_limit = 100;
    let error = scene.export_commit("demo", &commit).unwrap_err();
    let found = self::reason(error);
    assert!(matches!(found, AttemptError::Limit { .. }), "{found}");
}

#[test]
fn repositories_with_sha256_names_work_too() {
    let scene = Scene::new();
    let demo = scene.repository("demo");
    // Made anew, with the other kind of names.
    fs_err::remove_dir_all(demo.work().join(".git")).unwrap();
    fs_err::remove_dir_all(scene.served.join("demo.git")).unwrap();
    demo.git(&[
        "init",
        "--quiet",
        "--object-format=sha256",
        "--initial-branch=main",
    ]);
    demo.git(&["config", "user.name", "A Tester"]);
    demo.git(&["config", "user.email", "test@example.org"]);
    demo.bare_git(&["init", "--quiet", "--bare", "--object-format=sha256"]);
    demo.write("a", "a");
    let commit = demo.commit("one");
    assert_eq!(commit.len(), 64);
    let export = scene.export_commit("demo", &commit).unwrap();
    assert_eq!(export.commit.as_str(), commit);
    // A name of the other kind is no commit of it.
    let error = scene.export_commit("demo", &commit[..40]).unwrap_err();
    assert!(matches!(reason(error), AttemptError::GitProtocol { .. }));
}
