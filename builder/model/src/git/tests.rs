//! Names and addresses, honest and hostile.

use super::*;

#[test]
fn repositories_are_named_by_http_addresses() {
    for text in [
        "https://example.org/team/astaire.git",
        "http://127.0.0.1:8080/astaire",
        "https://example.org/~me/a-b_c+d.git",
    ] {
        assert_eq!(text.parse::<RepositoryUrl>().unwrap().to_string(), text);
    }
    let scheme = |text: &str, https: Option<&str>| GitError::Scheme {
        text: text.into(),
        https: https.map(str::to_owned),
    };
    let check = |text: &str, expected: GitError| {
        assert_eq!(text.parse::<RepositoryUrl>(), Err(expected), "{text}");
    };
    for (text, https) in [
        (
            "git@example.org:a/b.git",
            Some("https://example.org/a/b.git"),
        ),
        (
            "ssh://git@example.org:22/a/b.git",
            Some("https://example.org/a/b.git"),
        ),
        (
            "git://example.org/a/b.git",
            Some("https://example.org/a/b.git"),
        ),
        ("git@-oProxyCommand=x:a/b", None),
        ("file:///srv/git/x.git", None),
        ("ext::sh -c true", None),
        ("--upload-pack=touch /tmp/x", None),
        ("/srv/git/x.git", None),
        ("../x.git", None),
        ("", None),
    ] {
        check(text, scheme(text, https));
    }
}

#[test]
fn addresses_are_plain() {
    let address = |text: &str, reason: &'static str| GitError::Address {
        text: text.into(),
        reason,
    };
    let check = |text: &str, expected: GitError| {
        assert_eq!(text.parse::<RepositoryUrl>(), Err(expected), "{text}");
    };
    check("https://me:secret@example.org/x.git", GitError::Credentials);
    for (text, reason) in [
        ("https://example.org", "it needs a host and a path"),
        ("https:///x.git", "it needs a host and a path"),
        ("https://-x/x.git", "its host starts with `-`"),
        (
            "https://example.org/x.git?a=b",
            "it has a query or a fragment",
        ),
        (
            "https://example.org/x.git#a",
            "it has a query or a fragment",
        ),
        (
            "https://example.org/x/",
            "its path has an empty, `.` or `..` part",
        ),
        (
            "https://example.org/../x",
            "its path has an empty, `.` or `..` part",
        ),
        (
            "https://example.org/%2E%2e/x",
            "it holds an encoded dot, slash or control character",
        ),
        (
            "https://example.org/a b",
            "it holds a character that addresses do not have",
        ),
        (
            "https://example.org/--upload-pack=x",
            "its last part is no plain name of letters, digits, `.`, `_`, `+`, `~` and `-`",
        ),
        (
            "https://example.org/.git",
            "its last part is no plain name of letters, digits, `.`, `_`, `+`, `~` and `-`",
        ),
    ] {
        check(text, address(text, reason));
    }
}

#[test]
fn a_commit_is_its_whole_id() {
    for digits in [40, 64] {
        let text = "a".repeat(digits);
        assert_eq!(text.parse::<CommitId>().unwrap().as_str(), text);
    }
    for text in [
        "",
        "abc",
        &"A".repeat(40),
        &"g".repeat(40),
        &"a".repeat(41),
        "HEAD",
        "--all",
    ] {
        assert_eq!(
            text.parse::<CommitId>(),
            Err(GitError::Commit { text: text.into() })
        );
    }
    let hint = "ABCDEF0123"
        .repeat(4)
        .parse::<CommitId>()
        .unwrap_err()
        .hint();
    assert_eq!(hint.unwrap(), format!("write `{}`", "abcdef0123".repeat(4)));
}

#[test]
fn tags_follow_the_rules_of_refs() {
    for text in ["release-129", "v1.0/final", "a@b", "1", "stable.2"] {
        assert_eq!(text.parse::<TagName>().unwrap().as_str(), text);
    }
    for (text, reason) in [
        ("", "it is empty"),
        ("@", "`@` stands for something else"),
        ("-x", "it starts with `-`, like an option"),
        ("--upload-pack=x", "it starts with `-`, like an option"),
        ("refs/tags/x", "it is a whole ref, not a tag's name"),
        ("a..b", "it holds `..`"),
        ("a@{1}", "it holds `@{`"),
        ("a.", "it ends in `.`"),
        (
            "a//b",
            "a part of it is empty, starts with `.` or ends in `.lock`",
        ),
        (
            "/a",
            "a part of it is empty, starts with `.` or ends in `.lock`",
        ),
        (
            ".a",
            "a part of it is empty, starts with `.` or ends in `.lock`",
        ),
        (
            "a/.b",
            "a part of it is empty, starts with `.` or ends in `.lock`",
        ),
        (
            "a.lock",
            "a part of it is empty, starts with `.` or ends in `.lock`",
        ),
    ] {
        let expected = GitError::Tag {
            text: text.into(),
            reason,
        };
        assert_eq!(text.parse::<TagName>(), Err(expected), "{text}");
    }
    for character in ' '..='~' {
        let expected = !" ~^:?*[\\".contains(character);
        let text = format!("a{character}b");
        assert_eq!(text.parse::<TagName>().is_ok(), expected, "{text}");
    }
    assert!("a\nb".parse::<TagName>().is_err() && "a\u{7f}b".parse::<TagName>().is_err());
}

#[test]
fn submodules_are_asked_for_by_https() {
    let parent: RepositoryUrl = "https://example.org/team/astaire.git".parse().unwrap();
    let check = |text: &str, expected: &str, rewriting: Rewriting| {
        let (url, how) = parent.submodule(text).unwrap();
        assert_eq!((url.as_str(), how), (expected, rewriting), "{text}");
    };
    let common = "https://example.org/team/common.git";
    for (text, rewriting) in [
        (common, Rewriting::None),
        ("../common.git", Rewriting::Relative),
        ("../../team/./common.git/", Rewriting::Relative),
        ("git@example.org:team/common.git", Rewriting::Https),
        ("git@example.org:/team/common.git", Rewriting::Https),
        ("ssh://git@example.org/team/common.git", Rewriting::Https),
        (
            "ssh://git@example.org:2222/team/common.git",
            Rewriting::Https,
        ),
        ("git://example.org/team/common.git", Rewriting::Https),
    ] {
        check(text, common, rewriting);
    }
    for text in [
        "../../../../x.git",
        "../../../evil.example/x.git",
        "file:///etc",
        "ext::sh -c x",
        "--upload-pack=x",
        "-u:x",
        "git@-oProxyCommand=x:y",
        "https://me:secret@example.org/x.git",
        "/srv/x.git",
        "",
    ] {
        assert!(parent.submodule(text).is_err(), "{text}");
    }
}

#[test]
fn submodules_stay_in_their_repository() {
    for text in ["modules/common", "a", "a.git/b", "..a"] {
        assert_eq!(text.parse::<SubmodulePath>().unwrap().as_str(), text);
    }
    for text in [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "../x",
        "a/../b",
        "a/./b",
        ".git",
        ".git/hooks",
        "a/.GIT/x",
        "-x",
        "--all",
        "a\\b",
        "a\nb",
        &"a".repeat(1025),
    ] {
        assert!(
            matches!(
                text.parse::<SubmodulePath>(),
                Err(GitError::SubmodulePath { .. })
            ),
            "{text}"
        );
    }
}
