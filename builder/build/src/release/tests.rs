//! What a refusal says, from the inputs as packaging encodes them.

use serde_json::json;

use super::*;

fn encoded() -> Value {
    json!({
        "kind": "package",
        "architecture": "x86_64",
        "base": "sha256:ba",
        "tools": null,
        "sources": [],
        "patches": [],
        "bundled": {"curl": "sha256:01", "openssl for /usr/lib/curl": "sha256:02"},
        "scripts": {"package": "/usr/bin/rpmbuild\n-bb"},
        "environment": {"TZ": "UTC"},
        "epoch": 1_709_251_200,
        "recipe": {
            "name": "curl",
            "release": "1",
            "summary": "Transfers data",
            "description": "a\nb",
            "steps": {"preset": "autotools", "build": null, "configure": ["--with-openssl"]},
            "sources": [{"url": "https://curl.se/curl-1.tar.gz", "sha256": "sha256:aa"}],
            "packages": [{"name": "libcurl", "files": ["/usr/lib64/**"]}],
            "changelog": [],
        },
        "maker": {"kiln": "0.1.0", "organization": {"name": "Kiln"}},
        "extra": {"spec": "sha256:03", "stage": "sha256:04", "sources of curl": "sha256:05"},
        "step-runner": 1,
    })
}

fn inputs(value: &Value) -> Inputs {
    named_inputs(value.to_string().as_bytes())
}

fn released() -> ReleasedLock {
    let mut lock = ReleasedLock::default();
    lock.record(
        "curl-1-1.x86_64",
        Digest::of(b"old"),
        "curl-1-1",
        &inputs(&encoded()),
    );
    lock
}

fn rpm(content: &[u8]) -> RpmIdentity {
    RpmIdentity {
        nevra: "curl-1-1.x86_64".to_owned(),
        content: Digest::of(content),
    }
}

#[test]
fn inputs_have_names_that_people_know() {
    let inputs = inputs(&encoded());
    let names: Vec<&str> = inputs.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "architecture",
            "base image",
            "destdir of curl",
            "destdir of openssl for /usr/lib/curl",
            "environment",
            "kiln",
            "organization",
            "packaged files",
            "packaging command",
            "recipe description",
            "recipe name",
            "recipe packages: libcurl",
            "recipe release",
            "recipe sources: curl-1.tar.gz",
            "recipe steps: configure",
            "recipe steps: preset",
            "recipe summary",
            "source date",
            "sources of curl",
            "spec file",
            "step runner",
        ]
    );
    assert_eq!(inputs["recipe summary"], "Transfers data");
    assert_eq!(
        inputs["recipe description"],
        Digest::of(b"a\nb").to_string()
    );
    assert_eq!(named_inputs(b"{"), Inputs::new());
}

#[test]
fn the_refusal_names_what_changed() {
    let check = |change: fn(&mut Value), expected: &[(&str, Option<&str>, Option<&str>)]| {
        let mut now = encoded();
        change(&mut now);
        let rpms = [rpm(b"new")];
        let checked = check_released(&released(), "curl", &rpms, || Ok(inputs(&now)));
        let Err(BuildError::Released(refusal)) = checked else {
            panic!("{checked:?}")
        };
        assert_eq!(refusal.nevra, "curl-1-1.x86_64");
        assert_eq!(
            (refusal.expected, refusal.actual),
            (Digest::of(b"old"), Digest::of(b"new"))
        );
        let changes = refusal.changes.iter();
        let changes: Vec<_> = changes
            .map(|c| (c.input.as_str(), c.released.as_deref(), c.now.as_deref()))
            .collect();
        assert_eq!(changes, expected);
    };
    check(
        |now| {
            now["recipe"]["summary"] = "Fetches".into();
            now["extra"]["spec"] = "sha256:99".into();
        },
        &[("recipe summary", Some("Transfers data"), Some("Fetches"))],
    );
    check(
        |now| now["bundled"]["openssl for /usr/lib/curl"] = "sha256:77".into(),
        &[(
            "destdir of openssl for /usr/lib/curl",
            Some("sha256:02"),
            Some("sha256:77"),
        )],
    );
    check(
        |now| {
            now["base"] = "sha256:bb".into();
            now["maker"]["kiln"] = "0.2.0".into();
            now["recipe"]["sources"][0]["sha256"] = "sha256:ab".into();
        },
        &[
            (
                "recipe sources: curl-1.tar.gz",
                Some(r#"{"sha256":"sha256:aa","url":"https://curl.se/curl-1.tar.gz"}"#),
                Some(r#"{"sha256":"sha256:ab","url":"https://curl.se/curl-1.tar.gz"}"#),
            ),
            ("base image", Some("sha256:ba"), Some("sha256:bb")),
            ("kiln", Some("0.1.0"), Some("0.2.0")),
        ],
    );
    check(
        |now| drop(now["bundled"].as_object_mut().unwrap().remove("curl")),
        &[("destdir of curl", Some("sha256:01"), None)],
    );
    check(
        |now| now["extra"]["stage"] = "sha256:44".into(),
        &[("packaged files", Some("sha256:04"), Some("sha256:44"))],
    );
    check(|_| {}, &[]);
}

#[test]
fn the_same_content_and_new_names_may_be_published() {
    let lock = released();
    let unused = || panic!("nobody asks for the inputs");
    assert!(check_released(&lock, "curl", &[rpm(b"old")], unused).is_ok());
    let next = RpmIdentity {
        nevra: "curl-1-2.x86_64".to_owned(),
        content: Digest::of(b"new"),
    };
    assert!(check_released(&lock, "curl", &[next], unused).is_ok());
}

#[test]
fn a_package_below_the_newest_release_is_told() {
    let mut lock = released();
    for nevra in [
        "curl-1-10.x86_64",
        "curl-1-9.x86_64",
        "libcurl-9-1.x86_64",
        "curl-9-1.noarch",
    ] {
        lock.record(nevra, Digest::of(b"x"), "curl-1-9", &Inputs::new());
    }
    let check = |nevra: &str, expected: Option<&str>| {
        let found = newer_release(&lock, &nevra.parse().unwrap());
        assert_eq!(
            found.map(|found| found.to_string()).as_deref(),
            expected,
            "{nevra}"
        );
    };
    check("curl-1-11.x86_64", None);
    check("curl-1-2.x86_64", Some("curl-1-10.x86_64"));
    check("curl-1~rc1-20.x86_64", Some("curl-1-10.x86_64"));
    check("curl-1^git1-1.x86_64", None);
    check("curl-1:0-1.x86_64", None);
    check("curl-1-9.x86_64", None);
    check("other-1-1.x86_64", None);
}
