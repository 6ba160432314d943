use serde_json::json;

use super::*;

/// The inputs of a build, as they are kept.
fn inputs() -> Value {
    json!({
        "kind": "build",
        "architecture": "x86_64",
        "base": "sha256:base",
        "tools": null,
        "sources": [["x-1.tar.gz", "sha256:x1"]],
        "patches": ["sha256:p1", "sha256:p2"],
        "bundled": {"openssl for /usr/lib/x": "sha256:openssl"},
        "scripts": {"build": "./configure\nmake", "install": "make install"},
        "environment": {"CFLAGS": "-O2", "SOURCE_DATE_EPOCH": "86400"},
        "epoch": 86400,
        "recipe": null,
        "extra": {"licences": "sha256:l"},
        "step-runner": 1,
    })
}

/// Returns one line per change: `source x.tar.gz: sha256:a -> sha256:b`.
fn told(before: &Value, now: &Value, circumstance: &Circumstance) -> Vec<String> {
    let told = |change: Change| {
        let [before, now] = [change.before, change.now].map(|text| text.unwrap_or("-".into()));
        format!("{} {}: {before} -> {now}", change.kind.word(), change.name)
    };
    changes(before, now, circumstance)
        .into_iter()
        .map(told)
        .collect()
}

fn check(change: impl FnOnce(&mut Value), expected: &[&str]) {
    let mut now = inputs();
    change(&mut now);
    let circumstance = Circumstance {
        patches: vec!["patches/one.patch".into(), "patches/two.patch".into()],
        ..Circumstance::default()
    };
    assert_eq!(told(&inputs(), &now, &circumstance), expected);
}

#[test]
fn every_input_of_a_build_has_a_word() {
    check(|_| {}, &[]);
    let set = |path: &'static str, value: Value| {
        move |inputs: &mut Value| *inputs.pointer_mut(path).unwrap() = value
    };
    check(
        set("/base", json!("sha256:b")),
        &["base-image : sha256:base -> sha256:b"],
    );
    check(set("/tools", json!("sha256:t")), &["tools : - -> sha256:t"]);
    check(set("/step-runner", json!(2)), &["step-runner : 1 -> 2"]);
    check(
        set("/environment/CFLAGS", json!("-O3")),
        &["environment CFLAGS: -O2 -> -O3"],
    );
    check(
        set("/scripts/build", json!("make all")),
        &["script build: ./configure\nmake -> make all"],
    );
    check(
        set("/bundled", json!({})),
        &["destdir openssl for /usr/lib/x: sha256:openssl -> -"],
    );
    check(
        set("/extra/licences", json!("sha256:m")),
        &["license-files : sha256:l -> sha256:m"],
    );
    check(
        |inputs| inputs["future"] = json!("x"),
        &["other future: - -> x"],
    );
}

#[test]
fn sources_are_compared_by_file_and_then_by_place() {
    let check = |now: Value, expected: &[&str]| check(|inputs| inputs["sources"] = now, expected);
    check(
        json!([["x-1.tar.gz", "sha256:other"]]),
        &["source x-1.tar.gz: sha256:x1 -> sha256:other"],
    );
    check(
        json!([["x-2.tar.gz", "sha256:x2"]]),
        &["source x-2.tar.gz: x-1.tar.gz sha256:x1 -> sha256:x2"],
    );
    check(
        json!([["x-1.tar.gz", "sha256:x1"], ["y.tar", "sha256:y"]]),
        &["source y.tar: - -> sha256:y"],
    );
    check(json!([]), &["source x-1.tar.gz: sha256:x1 -> -"]);
}

#[test]
fn patches_are_named_by_the_files_that_they_are_in_now() {
    let check = |now: Value, expected: &[&str]| check(|inputs| inputs["patches"] = now, expected);
    check(
        json!(["sha256:p1", "sha256:new"]),
        &["patch patches/two.patch: sha256:p2 -> sha256:new"],
    );
    check(json!(["sha256:p2"]), &["patch : sha256:p1 -> -"]);
    check(
        json!(["sha256:p2", "sha256:p1"]),
        &["patch order: [\"sha256:p1\",\"sha256:p2\"] -> [\"sha256:p2\",\"sha256:p1\"]"],
    );
}

#[test]
fn a_date_is_told_once_and_as_a_date() {
    check(
        |inputs| {
            inputs["epoch"] = json!(172_800);
            inputs["environment"]["SOURCE_DATE_EPOCH"] = json!("172800");
        },
        &["source-date : 1970-01-02T00:00:00Z -> 1970-01-03T00:00:00Z"],
    );
}

#[test]
fn what_can_not_be_known_yet_is_not_compared() {
    let mut now = inputs();
    now["bundled"] = json!({});
    now["base"] = json!("sha256:b");
    let circumstance = Circumstance {
        unknown: ["openssl for /usr/lib/x".to_owned()].into(),
        ..Circumstance::default()
    };
    let told = |circumstance: &Circumstance| told(&inputs(), &now, circumstance);
    assert_eq!(
        told(&circumstance),
        ["base-image : sha256:base -> sha256:b"]
    );
    let circumstance = Circumstance {
        known: Some(&["epoch"]),
        ..Circumstance::default()
    };
    assert_eq!(told(&circumstance), [""; 0]);
}

#[test]
fn of_packaging_the_cause_is_told_and_not_what_follows_from_it() {
    let before = json!({
        "recipe": {"summary": "x", "packages": [{"name": "x", "files": ["/a"]}], "steps": {"use": "make"}},
        "maker": {"kiln": "1", "organization": {"name": "we"}},
        "extra": {"spec": "sha256:s", "stage": "sha256:f", "sources of x": "sha256:t"},
    });
    let check = |change: &dyn Fn(&mut Value), expected: &[&str]| {
        let mut now = before.clone();
        change(&mut now);
        assert_eq!(told(&before, &now, &Circumstance::default()), expected);
    };
    let spec = |now: &mut Value| {
        now["extra"]["spec"] = json!("sha256:S");
        now["extra"]["stage"] = json!("sha256:F");
    };
    check(
        &|now| {
            spec(now);
            now["recipe"]["summary"] = json!("y");
        },
        &["recipe summary: x -> y"],
    );
    check(
        &|now| {
            spec(now);
            now["recipe"]["packages"][0]["files"] = json!(["/b"]);
        },
        &["recipe packages: x: files: [\"/a\"] -> [\"/b\"]"],
    );
    check(
        &|now| {
            now["recipe"]["summary"] = json!("y");
            now["recipe"]["packages"][0]["summary"] = json!("z");
            let packages = now["recipe"]["packages"].as_array_mut().unwrap();
            packages.push(json!({"name": "w"}));
        },
        &[
            "recipe packages: w: - -> {\"name\":\"w\"}",
            "recipe packages: x: summary: - -> z",
            "recipe summary: x -> y",
        ],
    );
    check(
        &|now| {
            now["recipe"]["summary"] = json!("y");
            now["recipe"]["packages"][0]["summary"] = json!("y");
            now["recipe"]["description"] = json!("y");
        },
        &["recipe description: - -> y", "recipe summary: x -> y"],
    );
    check(
        &|now| {
            spec(now);
            now["maker"]["kiln"] = json!("2");
        },
        &["kiln : 1 -> 2"],
    );
    check(
        &spec,
        &[
            "spec : sha256:s -> sha256:S",
            "files : sha256:f -> sha256:F",
        ],
    );
    check(
        &|now| now["extra"]["sources of x"] = json!("sha256:u"),
        &["source-tree x: sha256:t -> sha256:u"],
    );
}
