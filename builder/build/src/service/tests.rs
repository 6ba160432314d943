//! Texts that kiln writes for services, whole, and what is found wrong without building.

use std::collections::BTreeMap;

use kiln_model::recipe::Scriptlet as When;
use kiln_model::{Digest, Recipe};

use super::scriptlets::body;
use super::*;
use crate::project::LoadedRecipe;

/// A recipe `lantern` whose one package says `keys` besides its name and files.
fn recipe(keys: &str) -> Recipe {
    recipe_of("lantern", keys)
}

fn recipe_of(name: &str, keys: &str) -> Recipe {
    let text = format!(
        "schema: 1\nname: {name}\nversion: \"1\"\nrelease: 1\nsummary: x\nlicense: MIT\n\
         homepage: https://example.org\nidentity: {{supplier: x}}\nbase: b\nsources:\n  \
         - {{url: \"https://example.org/x.tar\", sha256: \"{}\", released: 2020-01-01}}\n\
         steps: {{use: make}}\npackages:\n  - name: {name}\n    files: [/usr/bin/lantern]\n{keys}",
        "0".repeat(64)
    );
    Recipe::parse(text.as_bytes(), name).unwrap_or_else(|error| panic!("{error:?}\n{text}"))
}

/// A recipe with files in its folder.
fn loaded(keys: &str, files: &[(&str, &str)]) -> LoadedRecipe {
    let files = files.iter();
    LoadedRecipe {
        recipe: recipe(keys),
        folder: "recipes/lantern".into(),
        digest: Digest::of(b""),
        installed: files
            .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// Everything of a service at once.
const ALL: &str = r#"    requires: ["user(lamp)"]
    scripts:
      pre: echo own pre
      post: echo own post
      preun: |
        [ -e /etc/lantern ] || exit 0
        echo own preun
      postun: echo own postun
      posttrans: echo own posttrans
    systemd:
      - {unit: lantern.service, preset: enable}
      - {unit: wick@.service, on-upgrade: keep}
      - {unit: wick@1.service, preset: enable}
      - {unit: wick@2.service, preset: enable}
    users:
      - name: lantern
        comment: Lights' keeper
        id: 467
        groups: [adm, oil-store]
        home: /var/lib/lantern
        log-directory: /var/log/lantern
      - {name: wick, group: lamp, home: /usr/share/wick, shell: /bin/false}
    tmpfiles: ["d /run/lantern 0755 lantern lantern -"]
    limits:
      - {user: lantern, item: nofile, soft: 1024, hard: unlimited}
      - {user: "@lamp", item: core, hard: 0}
    alternatives:
      - {name: lamp, link: /usr/bin/lamp, path: /usr/bin/lantern, priority: 20}
"#;

fn check(when: When, expected: &str) {
    let recipe = recipe(ALL);
    let actual = body(&recipe.packages[0], when).unwrap();
    assert_eq!(actual, expected, "{when:?}:\n{actual}");
}

#[test]
fn users_are_created_before_files_are_installed() {
    check(
        When::Pre,
        r#"# The users of lantern.
if command -v systemd-sysusers >/dev/null 2>&1; then
  systemd-sysusers --replace=/usr/lib/sysusers.d/lantern.conf - >/dev/null 2>&1 <<'END_OF_USERS' || :
u lantern 467 "Lights' keeper" /var/lib/lantern /usr/sbin/nologin
m lantern adm
m lantern oil-store
g lamp -
u wick -:lamp - /usr/share/wick /bin/false
END_OF_USERS
fi
if ! getent group lantern >/dev/null 2>&1; then
  if getent group 467 >/dev/null 2>&1; then
    groupadd -r lantern >/dev/null 2>&1 || :
  else
    groupadd -r -g 467 lantern >/dev/null 2>&1 || :
  fi
fi
if ! getent passwd lantern >/dev/null 2>&1; then
  if getent passwd 467 >/dev/null 2>&1; then
    useradd -r -M -g lantern -d /var/lib/lantern -s /usr/sbin/nologin -c 'Lights'\'' keeper' lantern >/dev/null 2>&1 || :
  else
    useradd -r -M -u 467 -g lantern -d /var/lib/lantern -s /usr/sbin/nologin -c 'Lights'\'' keeper' lantern >/dev/null 2>&1 || :
  fi
fi
if ! getent group adm >/dev/null 2>&1; then
  groupadd -r adm >/dev/null 2>&1 || :
fi
case " $(id -nG lantern 2>/dev/null) " in
  *' adm '*) ;;
  *) usermod -a -G adm lantern >/dev/null 2>&1 || : ;;
esac
if ! getent group oil-store >/dev/null 2>&1; then
  groupadd -r oil-store >/dev/null 2>&1 || :
fi
case " $(id -nG lantern 2>/dev/null) " in
  *' oil-store '*) ;;
  *) usermod -a -G oil-store lantern >/dev/null 2>&1 || : ;;
esac
if ! getent passwd lantern >/dev/null 2>&1; then
  echo 'The user lantern could not be created: neither systemd-sysusers nor useradd works here.' >&2
  exit 1
fi
if ! getent group lamp >/dev/null 2>&1; then
  groupadd -r lamp >/dev/null 2>&1 || :
fi
if ! getent passwd wick >/dev/null 2>&1; then
  useradd -r -M -g lamp -d /usr/share/wick -s /bin/false wick >/dev/null 2>&1 || :
fi
if ! getent passwd wick >/dev/null 2>&1; then
  echo 'The user wick could not be created: neither systemd-sysusers nor useradd works here.' >&2
  exit 1
fi
echo own pre
"#,
    );
}

#[test]
fn units_are_announced_and_preset_once() {
    check(
        When::Post,
        r#"# What /usr/lib/tmpfiles.d/lantern.conf makes at boot is made now, too.
if command -v systemd-tmpfiles >/dev/null 2>&1; then
  systemd-tmpfiles --create lantern.conf || :
fi
# The units of lantern.
if command -v systemctl >/dev/null 2>&1; then
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload >/dev/null 2>&1 || :
  fi
  if [ "$1" -eq 1 ]; then
    # Installed, not upgraded.
    for unit in lantern.service wick@.service wick@1.service wick@2.service; do
      systemctl --no-reload preset "$unit" >/dev/null 2>&1 || :
    done
  fi
fi
# The alternatives of lantern.
if command -v update-alternatives >/dev/null 2>&1; then
  update-alternatives --install /usr/bin/lamp lamp /usr/bin/lantern 20 >/dev/null || :
else
  echo 'lantern: this host has no update-alternatives: /usr/bin/lamp was not made.' >&2
fi
echo own post
"#,
    );
}

#[test]
fn units_stop_after_the_recipes_own_text_even_if_it_exits() {
    check(
        When::Preun,
        r#"(
[ -e /etc/lantern ] || exit 0
echo own preun
)
status=$?
[ "$status" -eq 0 ] || exit "$status"
# The units of lantern.
if [ "$1" -eq 0 ] && command -v systemctl >/dev/null 2>&1; then
  # Removed, not upgraded.
  for unit in lantern.service wick@.service wick@1.service wick@2.service; do
    systemctl --no-reload disable "$unit" >/dev/null 2>&1 || :
  done
  if [ -d /run/systemd/system ]; then
    systemctl stop lantern.service 'wick@*.service' wick@1.service wick@2.service >/dev/null 2>&1 || :
  fi
fi
"#,
    );
    check(
        When::Postun,
        r#"(
echo own postun
)
status=$?
[ "$status" -eq 0 ] || exit "$status"
# The alternatives of lantern.
if [ "$1" -eq 0 ] && command -v update-alternatives >/dev/null 2>&1; then
  update-alternatives --remove lamp /usr/bin/lantern >/dev/null 2>&1 || :
fi
# The units of lantern.
if [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; then
  systemctl daemon-reload >/dev/null 2>&1 || :
  if [ "$1" -ge 1 ]; then
    # Upgraded, not removed.
    systemctl try-restart lantern.service wick@1.service wick@2.service >/dev/null 2>&1 || :
  fi
fi
"#,
    );
    check(When::Posttrans, "echo own posttrans");
    let bare = recipe("    scripts: {post: /sbin/ldconfig}\n");
    let scriptlets = scriptlets(&bare.packages[0]);
    assert_eq!(scriptlets.len(), 1);
    assert_eq!(scriptlets[0].body, "/sbin/ldconfig");
}

#[test]
fn files_of_kilns_own_are_written_line_by_line() {
    let recipe = recipe(ALL);
    let package = &recipe.packages[0];
    let users = &package.services.users;
    assert_eq!(
        ready::sysusers(users),
        "u lantern 467 \"Lights' keeper\" /var/lib/lantern /usr/sbin/nologin\nm lantern adm\n\
         m lantern oil-store\ng lamp -\nu wick -:lamp - /usr/share/wick /bin/false\n"
    );
    assert_eq!(
        ready::presets(package),
        "enable lantern.service\ndisable wick@.service\nenable wick@.service 1 2\n"
    );
    assert_eq!(
        ready::limits(package),
        "lantern soft nofile 1024\nlantern hard nofile unlimited\n@lamp hard core 0\n"
    );
    assert_eq!(
        ready::tmpfiles(package),
        "d /run/lantern 0755 lantern lantern -\n"
    );
    let provides = provides(package).unwrap();
    let provides: Vec<&str> = provides.iter().map(kiln_rpm::Dependency::as_str).collect();
    assert_eq!(
        provides,
        [
            "group(lamp)",
            "group(lantern)",
            "groupmember(lantern/adm)",
            "groupmember(lantern/oil-store)",
            "user(lantern)",
            "user(wick)"
        ]
    );
}

#[test]
fn file_lists_say_who_owns_what() {
    let recipe = recipe(ALL);
    let lines = |paths: &[&str]| -> Vec<String> {
        let lines = paths.iter().map(|path| {
            kiln_rpm::FileLine::new(path.parse().unwrap(), kiln_rpm::FileKind::Directory)
        });
        let lines = file_lines(&recipe.packages[0], lines.collect()).unwrap();
        let shown = lines.iter().map(|line| {
            let mode = line.mode.map_or(0, kiln_rpm::FileMode::bits);
            let owner = line.owner.as_ref();
            let owner = owner.map_or(String::new(), |o| format!(" {}:{}", o.user, o.group));
            format!("{:?} {mode:04o}{owner} {}", line.kind, line.path)
        });
        shown.collect()
    };
    assert_eq!(
        lines(&[
            "/etc/security/limits.d/lantern.conf",
            "/var/log/lantern",
            "/x"
        ]),
        [
            "Config 0000 /etc/security/limits.d/lantern.conf",
            "Ghost 0000 /usr/bin/lamp",
            "Directory 0755 root:root /usr/share/wick",
            "Directory 0750 lantern:lantern /var/lib/lantern",
            "Directory 0750 lantern:lantern /var/log/lantern",
            "Directory 0000 /x",
        ]
    );
}

/// Expects the findings of a recipe, in words.
fn check_findings(keys: &str, files: &[(&str, &str)], expected: &[&str]) {
    let found = service_findings(&loaded(keys, files));
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "{keys}");
}

const UNIT: &str = "[Service]\nExecStart=/usr/bin/lantern\nUser=lantern\n";

#[test]
fn what_is_said_without_building_is_certain() {
    let install = "    install: [{file: a.service, to: /usr/lib/systemd/system/lantern.service}]\n";
    let user = "    users: [{name: lantern}]\n";
    let unit = |unit: &str| format!("    systemd: [{{unit: {unit}}}]\n");
    let files = [("a.service", UNIT)];
    let all = |unit: &str| format!("{install}{user}    systemd: [{{unit: {unit}}}]\n");
    check_findings(&all("lantern.service"), &files, &[]);
    check_findings(
        &all("lanternd.service"),
        &files,
        &["lantern: package `lantern` does not ship the unit `lanternd.service`"],
    );
    check_findings(
        &unit("lantern@1.service"),
        &[],
        &["lantern: package `lantern` does not ship the unit `lantern@1.service`"],
    );
    check_findings(
        &format!("{install}{}", unit("lantern.service")),
        &files,
        &[
            "lantern: unit `lantern.service`, line 3: `User=lantern` is neither declared in `users` nor an account of every system",
        ],
    );
    let required = format!("    requires: [\"user(lantern)\"]\n{install}");
    check_findings(
        &format!("{required}{}", unit("lantern.service")),
        &files,
        &[],
    );
    let script = "[Service]\nExecStart=/usr/share/lantern/run.sh\n";
    check_findings(
        &all("lantern.service"),
        &[("a.service", script)],
        &[
            "lantern: unit `lantern.service`, line 2: no package of this recipe ships `/usr/share/lantern/run.sh`, and the system does not either",
        ],
    );
    check_findings(
        &format!(
            "    install:\n      - {{file: a.service, to: /usr/lib/systemd/system/lantern.service}}\n      \
             - {{file: run.sh, to: /usr/share/lantern/run.sh, mode: \"0755\"}}\n{}",
            unit("lantern.service")
        ),
        &[("a.service", script), ("run.sh", "#!/bin/sh\n")],
        &[],
    );
}

#[test]
fn what_contradicts_itself_is_found_without_building() {
    check_findings(
        "    install:\n      - {file: a, to: /lib/systemd/system/x.service}\n      \
         - {file: a, to: /usr/share/x}\n  - name: y\n    files: [/y]\n    \
         install: [{file: b, to: /usr/share/x}]\n",
        &[("a", ""), ("b", "")],
        &[
            "lantern: `/lib/systemd/system/x.service` lies below `/lib`, which is a link to `/usr/lib`",
            "lantern: package `y` installs `/usr/share/x`, where another file is installed",
        ],
    );
    check_findings(
        "    scripts:\n      post: |\n        printf '\n          %s' x\n",
        &[],
        &[
            "lantern: the `post` script of package `lantern` has a line that begins with `%`, which rpm would take for its own syntax",
        ],
    );
    check_findings(
        "    tmpfiles: [\"d /run/x 0755 lamp root\", \"d /run/y 0755 0 -\"]\n    \
         limits: [{user: \"@lamp\", item: nofile, soft: 1}, {user: root, item: nofile, soft: 1}]\n",
        &[],
        &[
            "lantern: `lamp` in `tmpfiles` is neither declared in `users` nor an account of every system",
            "lantern: `@lamp` in `limits` is neither declared in `users` nor an account of every system",
        ],
    );
}

#[test]
fn users_that_contradict_each_other_are_found_across_recipes() {
    let check = |first: &str, second: &str, expected: &[&str]| {
        let recipes = [
            recipe_of("a", &format!("    users: [{first}]\n")),
            recipe_of("b", &format!("    users: [{second}]\n")),
        ];
        let clashes = user_clashes(recipes.iter());
        let shown: Vec<String> = clashes.iter().map(ToString::to_string).collect();
        assert_eq!(shown, expected, "{first} {second}");
        for clash in clashes {
            assert_eq!(clash.other.0.as_str(), "a");
        }
    };
    check("{name: x, id: 400}", "{name: x, id: 400}", &[]);
    check("{name: x}", "{name: y}", &[]);
    check(
        "{name: x, id: 400}",
        "{name: y, id: 400}",
        &["b: user id clash: `y` of package `b` has the id 400 of another user"],
    );
    check(
        "{name: x, id: 400}",
        "{name: x, id: 401}",
        &["b: user id clash: `x` of package `b` is described differently elsewhere"],
    );
    check(
        "{name: x}",
        "{name: x, shell: /bin/sh}",
        &["b: user id clash: `x` of package `b` is described differently elsewhere"],
    );
}
