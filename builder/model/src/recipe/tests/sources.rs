//! Sources by git, and sources that are not pinned yet.

use super::super::*;
use super::GOOD;
use crate::digest::{ManifestDigest, Sha512};
use crate::git::{GitError, Submodules};
use crate::lockfile::{LOCK_FORMAT, LockedGit, LockedSource};
use crate::name::Architecture;
use crate::time::SourceDateEpoch;

const SOURCE: &str = "  - url: https://example.org/demo-1.10.tar.gz
    sha256: \"cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7\"
    released: 2023-02-20
";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba98";
const REPOSITORY: &str = "https://example.org/team/demo.git";

/// Returns the good recipe with other sources.
fn text(sources: &str) -> String {
    assert!(GOOD.contains(SOURCE));
    GOOD.replacen(SOURCE, sources, 1)
}

fn recipe(sources: &str) -> Recipe {
    Recipe::parse(text(sources).as_bytes(), "demo").unwrap_or_else(|error| panic!("{error:?}"))
}

fn refused(sources: &str, place: &str, cause: Cause) {
    let error = Recipe::parse(text(sources).as_bytes(), "demo").unwrap_err();
    assert_eq!(error.cause, cause, "{sources}");
    assert_eq!(error.place.to_string(), place, "{sources}");
}

fn lock(sources: Vec<LockedSource>) -> RecipeLock {
    RecipeLock {
        format: LOCK_FORMAT,
        recipe: "demo".parse().unwrap(),
        architecture: Architecture::X86_64,
        base: "debian-12".parse().unwrap(),
        base_manifest: ManifestDigest(Digest::of(b"manifest")),
        sources,
        tools: None,
    }
}

fn locked(commit: &str, tag: Option<&str>) -> LockedSource {
    LockedSource {
        url: format!("git+{REPOSITORY}@{commit}").parse().unwrap(),
        sha256: Digest::of(b"export"),
        sha512: Some(Sha512::of(b"export")),
        size: Some(6),
        git: Some(LockedGit {
            tag: tag.map(|tag| tag.parse().unwrap()),
            committed: SourceDateEpoch::from_seconds(1_525_176_000),
            submodules: true,
            pins: Vec::new(),
        }),
    }
}

#[test]
fn a_tag_is_pinned_by_the_lock() {
    let tagged = recipe(&format!("  - git: {REPOSITORY}\n    tag: v1.10\n"));
    assert!(tagged.needs_lock_for_sources());
    let [missing] = tagged.pins().unwrap_err() else {
        panic!("{:?}", tagged.pins())
    };
    assert_eq!(
        missing.to_string(),
        "the commit of tag v1.10 in https://example.org/team/demo.git"
    );
    let place = missing
        .node_path()
        .find(&text(&format!("  - git: {REPOSITORY}\n    tag: v1.10\n")));
    assert_eq!(place.unwrap().to_string(), "12:5");
    let pinned = tagged
        .clone()
        .pinned_by(Some(&lock(vec![locked(COMMIT, Some("v1.10"))])));
    let pins = pinned.pins().unwrap();
    assert_eq!(pins.source_date.to_rfc3339(), "2018-05-01T00:00:00Z");
    let [source] = pins.sources.as_slice() else {
        panic!("{pins:?}")
    };
    assert_eq!(source.url.file_name(), "demo-0123456789ab.tar");
    assert_eq!(source.sha256, Digest::of(b"export"));
    assert_eq!(source.folder(), "demo");
    assert_eq!(source.submodules, Submodules::Follow);
    // A lock of another tag, commit or setting pins nothing.
    let mut without = locked(COMMIT, Some("v1.10"));
    without.git.as_mut().unwrap().submodules = false;
    let mut elsewhere = locked(COMMIT, Some("v1.10"));
    elsewhere.url = format!("git+https://example.org/x.git@{COMMIT}")
        .parse()
        .unwrap();
    for (other, key) in [
        (locked(COMMIT, Some("v1.9")), "tag"),
        (locked(COMMIT, None), "tag"),
        (without, "submodules"),
        (elsewhere, ""),
    ] {
        let here = tagged.declared[0].node_path();
        let expected = match key {
            "" => here,
            key => here.key(key),
        };
        assert_eq!(tagged.declared[0].difference(&other), Some(expected));
        assert!(
            tagged
                .clone()
                .pinned_by(Some(&lock(vec![other])))
                .pins()
                .is_err()
        );
    }
}

#[test]
fn a_commit_decides_whatever_the_tag_says() {
    let sources = format!(
        "  - git: {REPOSITORY}\n    tag: v1.10\n    commit: {COMMIT}\n    submodules: true\n    \
         released: 2018-04-01\n"
    );
    let recipe = recipe(&sources);
    assert_eq!(
        recipe.pins().unwrap_err()[0].to_string(),
        "the digest of commit 0123456789ab of https://example.org/team/demo.git"
    );
    let pinned = recipe
        .clone()
        .pinned_by(Some(&lock(vec![locked(COMMIT, None)])));
    let pins = pinned.pins().unwrap();
    assert_eq!(pins.source_date.to_rfc3339(), "2018-04-01T00:00:00Z");
    let other = locked(OTHER, Some("v1.10"));
    let place = recipe.declared[0].node_path().key("commit");
    assert_eq!(recipe.declared[0].difference(&other), Some(place));
}

#[test]
fn a_file_without_digest_is_pinned_by_the_lock() {
    let url = "https://example.org/demo-1.10.tar.gz";
    let file = LockedSource {
        url: url.parse().unwrap(),
        git: None,
        ..locked(COMMIT, None)
    };
    let undated = recipe(&format!("  - url: {url}\n"));
    assert_eq!(
        undated.pins().unwrap_err()[0].to_string(),
        format!("the digest of {url}")
    );
    // Nothing else says what stands for the clock.
    let pinned = undated.pinned_by(Some(&lock(vec![file.clone()])));
    let [missing] = pinned.pins().unwrap_err() else {
        panic!("{:?}", pinned.pins())
    };
    assert_eq!(
        missing.to_string(),
        format!("the day on which {url} was released")
    );
    assert!(!missing.is_for_lock());
    let dated = recipe(&format!("  - url: {url}\n    released: 2023-02-20\n"));
    let pinned = dated.pinned_by(Some(&lock(vec![file])));
    assert_eq!(pinned.planned().sources[0].sha256, Digest::of(b"export"));
}

#[test]
fn what_is_missing_is_told_of_every_source() {
    let recipe = recipe(&format!(
        "  - git: {REPOSITORY}\n    tag: v1\n  - url: https://example.org/x.tar.gz\n"
    ));
    let missing = recipe.pins().unwrap_err();
    assert_eq!(missing.len(), 2, "{missing:?}");
    // One of two is no pin.
    let pinned = recipe.pinned_by(Some(&lock(vec![locked(COMMIT, Some("v1"))])));
    assert_eq!(pinned.pins().unwrap_err().len(), 1);
}

#[test]
fn pins_are_part_of_what_packages_follow_from() {
    let value = |recipe: &Recipe| serde_json::to_value(recipe).unwrap();
    let pinned = recipe(SOURCE);
    let value_of_file = value(&pinned);
    assert_eq!(value_of_file["source-date"], 1_676_851_200);
    assert_eq!(value_of_file["sources"][0]["released"], "2023-02-20");
    let git = recipe(&format!("  - git: {REPOSITORY}\n    commit: {COMMIT}\n"));
    assert!(value(&git).get("sources").is_none());
    let git = git.pinned_by(Some(&lock(vec![locked(COMMIT, None)])));
    assert_eq!(
        value(&git)["sources"][0]["url"],
        format!("git+{REPOSITORY}@{COMMIT}")
    );
}

#[test]
fn sources_that_are_neither_or_both_are_refused() {
    let meaningless = |key, beside| Cause::Meaningless { key, beside };
    let git = format!("  - git: {REPOSITORY}\n");
    refused(
        &format!("{git}    url: https://example.org/x.tar\n    tag: v1\n"),
        "13:10",
        meaningless("url", "git"),
    );
    let digest = "a".repeat(64);
    for (more, place, key) in [
        (format!("    sha256: \"{digest}\"\n"), "14:13", "sha256"),
        (
            "    mirrors: [https://example.org/x]\n".to_owned(),
            "14:15",
            "mirrors",
        ),
        (
            "    repacked: {by: me, upstream: https://example.org/x, note: y}\n".to_owned(),
            "14:15",
            "repacked",
        ),
    ] {
        refused(
            &format!("{git}    tag: v1\n{more}"),
            place,
            meaningless(key, "git"),
        );
    }
    let file = "  - url: https://example.org/x.tar\n";
    refused(
        &format!("{file}    tag: v1\n"),
        "13:10",
        meaningless("tag", "url"),
    );
    refused(
        &format!("{file}    commit: {COMMIT}\n"),
        "13:13",
        meaningless("commit", "url"),
    );
    refused(
        &format!("{file}    submodules: false\n"),
        "13:17",
        meaningless("submodules", "url"),
    );
    refused(&git, "12:10", Cause::NoCommit);
    refused(
        "  - released: 2020-01-01\n",
        "12:5",
        Cause::MissingKey { key: "url".into() },
    );
    for url in [format!("git+{REPOSITORY}@{COMMIT}"), REPOSITORY.to_owned()] {
        let cause = Cause::RepositoryAsFile { text: url.clone() };
        assert!(cause.hint().unwrap().contains("git: ADDRESS"));
        refused(&format!("  - url: {url}\n"), "12:10", cause);
    }
    refused(
        &format!("{git}    tag: v1\n    submodules: yes\n"),
        "14:17",
        Cause::Shape {
            expected: "`true` or `false`",
        },
    );
}

#[test]
fn hostile_repositories_commits_and_tags_are_refused_with_their_place() {
    let scheme = |text: &str, https: Option<&str>| {
        Cause::Git(GitError::Scheme {
            text: text.into(),
            https: https.map(str::to_owned),
        })
    };
    for (address, https) in [
        ("git@example.org:team/demo.git", Some(REPOSITORY)),
        ("ssh://git@example.org/team/demo.git", Some(REPOSITORY)),
        ("git://example.org/team/demo.git", Some(REPOSITORY)),
        ("file:///srv/demo.git", None),
        ("--upload-pack=x", None),
    ] {
        let cause = scheme(address, https);
        let hint = cause.hint().unwrap();
        match https {
            Some(https) => assert_eq!(hint, format!("write `{https}`")),
            None => assert!(hint.contains("HTTPS only"), "{hint}"),
        }
        refused(
            &format!("  - git: \"{address}\"\n    tag: v1\n"),
            "12:10",
            cause,
        );
    }
    let credentials = "https://me:secret@example.org/demo.git";
    refused(
        &format!("  - git: {credentials}\n    tag: v1\n"),
        "12:10",
        Cause::Git(GitError::Credentials),
    );
    let git = format!("  - git: {REPOSITORY}\n");
    for commit in [
        "v1",
        "0123456",
        &COMMIT.to_uppercase(),
        &format!("{COMMIT}0"),
    ] {
        refused(
            &format!("{git}    commit: \"{commit}\"\n"),
            "13:13",
            Cause::Git(GitError::Commit {
                text: commit.to_owned(),
            }),
        );
    }
    for (tag, reason) in [
        ("-x", "it starts with `-`, like an option"),
        ("a..b", "it holds `..`"),
    ] {
        refused(
            &format!("{git}    tag: {tag}\n"),
            "13:10",
            Cause::Git(GitError::Tag {
                text: tag.to_owned(),
                reason,
            }),
        );
    }
}

#[test]
fn two_repositories_of_one_name_have_one_folder() {
    let sources = format!(
        "  - git: {REPOSITORY}\n    tag: v1\n  - git: https://example.org/other/demo.git\n    tag: v1\n"
    );
    refused(
        &sources,
        "14:10",
        Cause::Twice {
            what: "source file",
            name: "demo".to_owned(),
        },
    );
}
