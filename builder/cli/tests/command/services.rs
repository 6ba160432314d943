//! Mistakes in what makes a package a service, as `kiln check` shows them.

use super::{RECIPE, kiln, project};

/// Added to the demo recipe's package.
const MISTAKES: &str = r#"    scripts:
      post: |
        # Says what it does.

        printf '
          %s' x
    install:
      - {file: files/demo.service, to: /usr/lib/systemd/system/demo.service}
      - {file: files/absent, to: /usr/share/demo/run.sh}
      - {file: files/link, to: /usr/share/demo/link}
    systemd:
      - {unit: demo.service, preset: enable}
      - {unit: demod.service}
    users:
      - {name: demo, id: 467}
"#;

const UNIT: &str =
    "[Unit]\nDescription=Demo\n[Service]\nExecStart=/usr/share/demo/runsh\nUser=demon\nnonsense\n";

const EXPECTED: &str = r#"error: file `files/absent` of recipe demo can not be installed: No such file or directory (os error 2)
  --> recipes/demo/recipe.yaml:26:16
   |
26 |       - {file: files/absent, to: /usr/share/demo/run.sh}
   |                ^

hint: put the file itself there; `file` is relative to the recipe's folder

error: file `files/link` of recipe demo can not be installed: it is a symbolic link, or lies behind one or in no folder
  --> recipes/demo/recipe.yaml:27:16
   |
27 |       - {file: files/link, to: /usr/share/demo/link}
   |                ^

hint: put the file itself there; `file` is relative to the recipe's folder

error: other: user id clash: `other` of package `other` has the id 467 of another user
  --> recipes/other/recipe.yaml:18:20
   |
18 |     users: [{name: other, id: 467}, {name: demo, shell: /bin/sh}]
   |                    ^
  --> recipes/demo/recipe.yaml:32:16
   |
32 |       - {name: demo, id: 467}
   |                ^

hint: give each user one number, and say the same wherever it is declared; without `id` each host chooses a free one

error: other: user id clash: `demo` of package `other` is described differently elsewhere
  --> recipes/other/recipe.yaml:18:44
   |
18 |     users: [{name: other, id: 467}, {name: demo, shell: /bin/sh}]
   |                                            ^
  --> recipes/demo/recipe.yaml:32:16
   |
32 |       - {name: demo, id: 467}
   |                ^

hint: give each user one number, and say the same wherever it is declared; without `id` each host chooses a free one

error: demo: unit `demo.service`, line 1: `preset: enable` has no effect: there is no `[Install]` section
  --> recipes/demo/files/demo.service:1:1
  |
1 | [Unit]
  | ^
  --> recipes/demo/recipe.yaml:29:16
   |
29 |       - {unit: demo.service, preset: enable}
   |                ^

hint: add `[Install]` with `WantedBy=multi-user.target`, or remove the preset

error: demo: unit `demo.service`, line 4: no package of this recipe ships `/usr/share/demo/runsh`, and the system does not either
  --> recipes/demo/files/demo.service:4:1
  |
4 | ExecStart=/usr/share/demo/runsh
  | ^
  --> recipes/demo/recipe.yaml:29:16
   |
29 |       - {unit: demo.service, preset: enable}
   |                ^

hint: did you mean `/usr/share/demo/run.sh`?

error: demo: unit `demo.service`, line 5: `User=demon` is neither declared in `users` nor an account of every system
  --> recipes/demo/files/demo.service:5:1
  |
5 | User=demon
  | ^
  --> recipes/demo/recipe.yaml:29:16
   |
29 |       - {unit: demo.service, preset: enable}
   |                ^

hint: declare it in `users`, or say that another package does: `requires: [user(demon)]`

error: demo: unit `demo.service`, line 6: the line is neither `[SECTION]`, `KEY=VALUE` nor a comment
  --> recipes/demo/files/demo.service:6:1
  |
6 | nonsense
  | ^
  --> recipes/demo/recipe.yaml:29:16
   |
29 |       - {unit: demo.service, preset: enable}
   |                ^

error: demo: package `demo` does not ship the unit `demod.service`
  --> recipes/demo/recipe.yaml:30:16
   |
30 |       - {unit: demod.service}
   |                ^

hint: did you mean `demo.service`?

error: demo: the `post` script of package `demo` has a line that begins with `%`, which rpm would take for its own syntax
  --> recipes/demo/recipe.yaml:23:11
   |
23 |           %s' x
   |           ^

hint: join it to the line before, or put a word in front of it"#;

#[test]
fn lines_that_rpm_would_misread_are_shown_where_they_are() {
    let text = RECIPE.replace(
        "summary: A demo\n",
        "summary: A demo\ndescription: |\n\n  It is\n    %files of\n  # all\n",
    );
    let text =
        format!("{text}  - {{name: more, files: [/x], summary: y, description: \"z\\n%\"}}\n");
    let folder = project(&text);
    let (code, _, stderr) = kiln(folder.path(), &["check"]);
    let found = stderr.split("error: no lockfile").next().unwrap();
    let error = |place: &str, character: char, effect: &str, shown: &str| {
        format!(
            "error: demo: a line of the description begins with `{character}`, which rpm would \
             {effect}\n  --> recipes/demo/recipe.yaml:{place}\n{shown}\n\nhint: put a word before it"
        )
    };
    let syntax = "take for its own syntax";
    let expected = [
        error("9:5", '%', syntax, "  |\n9 |     %files of\n  |     ^"),
        error("10:3", '#', "leave out", "   |\n10 |   # all\n   |   ^"),
        error(
            "23:56",
            '%',
            syntax,
            "   |\n23 |   - {name: more, files: [/x], summary: y, description: \"z\\n%\"}\n   |                                                        ^",
        ),
    ];
    assert_eq!(
        (code, found.trim_end()),
        (1, expected.join("\n\n").as_str())
    );
}

#[test]
fn mistakes_in_services_are_shown_where_they_are() {
    let folder = project(&format!("{RECIPE}{MISTAKES}"));
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    };
    write("recipes/demo/files/demo.service", UNIT);
    fs_err::os::unix::fs::symlink(
        "demo.service",
        folder.path().join("recipes/demo/files/link"),
    )
    .unwrap();
    let other = RECIPE.replace("demo", "other");
    let users = "    users: [{name: other, id: 467}, {name: demo, shell: /bin/sh}]\n";
    write("recipes/other/recipe.yaml", &format!("{other}{users}"));
    let (code, _, stderr) = kiln(folder.path(), &["check"]);
    let found = stderr.split("error: no lockfile").next().unwrap();
    assert_eq!((code, found.trim_end()), (1, EXPECTED));
    // The same stops everything else, before it begins.
    let (code, _, stderr) = kiln(folder.path(), &["plan"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.starts_with("error: file `files/absent` of recipe demo can not be installed"),
        "{stderr}"
    );
}
