//! Keys that make a package a service: their defaults, and every value that looks right and is not.

use super::super::*;
use super::GOOD;
use crate::path::PathError;

/// Adds lines to the good recipe's package.
fn with(keys: &str) -> String {
    let text = format!("{GOOD}{keys}");
    assert!(GOOD.ends_with("    files: [/usr/bin/demo]\n"));
    text
}

fn services(keys: &str) -> Services {
    let text = with(keys);
    let recipe = Recipe::parse(text.as_bytes(), "demo");
    let recipe = recipe.unwrap_or_else(|error| panic!("{keys}: {error:?}"));
    recipe.packages[0].services.clone()
}

/// Expects a cause at a column of the first added line.
fn row(keys: &str, column: u64, cause: Cause) {
    let text = with(keys);
    let line = GOOD.lines().count() as u64 + 1;
    let expected = YamlError {
        cause,
        place: Place { line, column },
    };
    assert_eq!(
        Recipe::parse(text.as_bytes(), "demo"),
        Err(expected),
        "{keys}"
    );
}

fn service(error: ServiceError) -> Cause {
    Cause::Service(error)
}

#[test]
fn defaults_are_filled_in() {
    let found = services(
        "    install: [{file: a/b.service, to: /usr/lib/systemd/system/b.service}]\n    \
         systemd: [{unit: b.service}]\n    users: [{name: _b, home: /}]\n",
    );
    assert_eq!(found.install[0].mode.to_string(), "0644");
    assert_eq!(found.systemd[0].preset, UnitPreset::Disable);
    assert_eq!(found.systemd[0].on_upgrade, OnUpgrade::Restart);
    let user = &found.users[0];
    assert_eq!((&user.group, &user.home), (&user.name, &None));
    assert_eq!(user.shell.as_str(), "/usr/sbin/nologin");
    assert_eq!((user.id, &user.log_directory), (None, &None));
}

#[test]
fn what_is_not_said_leaves_a_recipe_as_it_was() {
    let recipe = Recipe::parse(GOOD.as_bytes(), "demo").unwrap();
    assert_eq!(recipe.packages[0].services, Services::default());
    let value = serde_json::to_value(&recipe.packages[0]).unwrap();
    for key in [
        "install",
        "systemd",
        "users",
        "tmpfiles",
        "limits",
        "alternatives",
    ] {
        assert_eq!(value.get(key), None, "{key}");
    }
    let text = with("    users: [{name: b, log-directory: /var/log/b, log-mode: \"0700\"}]\n");
    let recipe = Recipe::parse(text.as_bytes(), "demo").unwrap();
    let value = serde_json::to_value(&recipe.packages[0]).unwrap();
    assert_eq!(
        value["users"][0]["log-directory"],
        serde_json::json!(["/var/log/b", "0700"])
    );
}

#[test]
fn files_stay_in_the_recipes_folder_and_have_plain_permissions() {
    let install = |file: &str, to: &str, mode: &str| {
        format!("    install: [{{file: {file}, to: {to}, mode: {mode}}}]\n")
    };
    for file in ["../x", "/x", "a/../b", "a//b", "."] {
        row(
            &install(file, "/x", "\"0644\""),
            22,
            Cause::FileReference { text: file.into() },
        );
    }
    let path = |error: PathError| Cause::Path(error);
    row(
        &install("x", "usr/x", "\"0644\""),
        29,
        path(PathError::NotAbsolute("usr/x".into())),
    );
    row(
        &install("x", "/usr/../x", "\"0644\""),
        29,
        path(PathError::NotNormal("/usr/../x".into())),
    );
    for (mode, text) in [
        ("0644", "0644"),
        ("420", "420"),
        ("\"644\"", "644"),
        ("\"0o644\"", "0o644"),
        ("\"4755\"", "4755"),
        ("\"0888\"", "0888"),
        ("\"\"", ""),
    ] {
        let text = text.to_owned();
        row(
            &install("x", "/x", mode),
            39,
            service(ServiceError::Permissions { text }),
        );
    }
}

#[test]
fn users_have_names_that_every_host_takes() {
    let long = "a".repeat(32);
    for name in [
        "Demo", "1demo", "-demo", "de mo", "dé", "demo$", "de.mo", &long,
    ] {
        let text = name.to_owned();
        row(
            &format!("    users: [{{name: {name}}}]\n"),
            20,
            service(ServiceError::Account { text }),
        );
    }
    assert_eq!(
        services(&format!("    users: [{{name: {}}}]\n", "a".repeat(31)))
            .users
            .len(),
        1
    );
    for name in ["root", "nobody", "adm"] {
        row(
            &format!("    users: [{{name: {name}}}]\n"),
            20,
            service(ServiceError::ReservedAccount { name: name.into() }),
        );
    }
    row(
        "    users: [{name: a, group: A}]\n",
        30,
        service(ServiceError::Account { text: "A".into() }),
    );
    for comment in ["a:b", "50%", "a\\\\b", "say \\\"x\\\""] {
        let text = comment.replace("\\\"", "\"").replace("\\\\", "\\");
        row(
            &format!("    users: [{{name: a, comment: \"{comment}\"}}]\n"),
            32,
            service(ServiceError::Comment { text }),
        );
    }
}

#[test]
fn users_have_numbers_and_folders_of_their_own() {
    let number = |text: &str| Cause::Number {
        least: 1,
        text: text.into(),
    };
    row("    users: [{name: a, id: 0}]\n", 27, number("0"));
    row("    users: [{name: a, id: \"7\"}]\n", 27, number("7"));
    for id in [65534, 65535, u32::MAX] {
        row(
            &format!("    users: [{{name: a, id: {id}}}]\n"),
            27,
            service(ServiceError::UserId { id }),
        );
    }
    assert_eq!(
        services("    users: [{name: a, id: 65533}]\n").users[0].id,
        Some(65533)
    );
    for path in ["/var/log", "/var/logs/a", "/srv/a"] {
        row(
            &format!("    users: [{{name: a, log-directory: {path}}}]\n"),
            38,
            service(ServiceError::LogDirectory {
                path: path.parse().unwrap(),
            }),
        );
    }
    row(
        "    users: [{name: a, log-mode: \"0700\"}]\n",
        33,
        Cause::Needed {
            key: "log-directory",
            beside: "log-mode",
        },
    );
    row(
        "    users: [{name: a, home: /var/lib/a b}]\n",
        29,
        Cause::Path(PathError::Character {
            path: "/var/lib/a b".into(),
            character: ' ',
        }),
    );
}

#[test]
fn limits_and_alternatives_are_refused_where_they_make_no_sense() {
    row(
        "    limits: [{user: A, item: nofile, soft: 1}]\n",
        21,
        service(ServiceError::Account { text: "A".into() }),
    );
    row(
        "    limits: [{user: a, item: nofile}]\n",
        21,
        Cause::Needed {
            key: "soft",
            beside: "limits",
        },
    );
    row(
        "    limits: [{user: a, item: nofile, soft: 2, hard: 1}]\n",
        44,
        service(ServiceError::SoftAboveHard {
            soft: LimitValue::AtMost(2),
            hard: LimitValue::AtMost(1),
        }),
    );
    for text in ["-1", "01", "1k", "infinity"] {
        row(
            &format!("    limits: [{{user: a, item: nofile, hard: {text}}}]\n"),
            44,
            service(ServiceError::LimitValue { text: text.into() }),
        );
    }
    let alternative = |name: &str, link: &str| {
        format!("    alternatives: [{{name: {name}, link: {link}, path: /x, priority: 1}}]\n")
    };
    for name in ["a/b", "-a", "a b"] {
        row(
            &alternative(name, "/y"),
            27,
            service(ServiceError::AlternativeName { text: name.into() }),
        );
    }
    row(
        &alternative("a", "/x"),
        46,
        service(ServiceError::AlternativeOfItself {
            path: "/x".parse().unwrap(),
        }),
    );
}

#[test]
fn nothing_stands_twice_in_a_package() {
    for (keys, column, what, name) in [
        (
            "    install: [{file: a, to: /x}, {file: b, to: /x}]\n",
            48,
            "installed file",
            "/x",
        ),
        (
            "    systemd: [{unit: a.service}, {unit: a.service, preset: enable}]\n",
            41,
            "unit",
            "a.service",
        ),
        ("    users: [{name: a}, {name: a}]\n", 31, "user", "a"),
        (
            "    alternatives: [{name: a, link: /a, path: /b, priority: 1}, {name: c, link: /a, path: /d, priority: 1}]\n",
            80,
            "link",
            "/a",
        ),
    ] {
        let name = name.to_owned();
        row(keys, column, Cause::Twice { what, name });
    }
}

#[test]
fn words_and_units_are_looked_up() {
    row(
        "    systemd: [{unit: a.servic}]\n",
        22,
        service(ServiceError::Unit {
            text: "a.servic".into(),
            nearest: Some("a.service".into()),
        }),
    );
    let text = with("    systemd: [{unit: a.service, preset: enabled}]\n");
    let error = Recipe::parse(text.as_bytes(), "demo").unwrap_err();
    assert_eq!(
        error.cause.hint().as_deref(),
        Some("did you mean `enable`?")
    );
    let text = with("    limits: [{user: a, item: nofiles, soft: 1}]\n");
    let error = Recipe::parse(text.as_bytes(), "demo").unwrap_err();
    assert_eq!(
        error.cause.hint().as_deref(),
        Some("did you mean `nofile`?")
    );
    let text = with("    tmpfiles: [x]\n");
    let error = Recipe::parse(text.as_bytes(), "demo").unwrap_err();
    assert_eq!(error.place.to_string(), "22:16");
    assert!(
        error
            .cause
            .hint()
            .unwrap()
            .starts_with("a line is `TYPE PATH MODE")
    );
    let text = with("    scripts: {posttrans: \"true\", pretrans: \"true\"}\n");
    let recipe = Recipe::parse(text.as_bytes(), "demo").unwrap();
    let keys: Vec<&str> = recipe.packages[0]
        .scripts
        .keys()
        .map(|when| when.key())
        .collect();
    assert_eq!(keys, ["pretrans", "posttrans"]);
}
