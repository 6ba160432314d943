use super::*;
use crate::recipe::Recipe;
use crate::{BaseImage, recipe::Cause};

const HEAD: &str = r#"# Header

schema: 1
name: demo
version: "1.10" # quoted
release: 1
summary: A demo
license: Zlib
homepage: https://example.org
identity: {supplier: Demo people}
base: debian-12
"#;

const TAIL: &str = r#"sources:
  - url: https://example.org/demo-1.10.tar.gz
    sha256: "cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7"
    released: 2023-02-20
steps:
  use: none
  # Why it is built so.
  build: |
    # a comment of the shell, not of YAML
    make -j"$KILN_JOBS"   &&  true
  install: make install
  skip-check: none
"#;

/// Formats a recipe, and the result again; both must be `expected`.
fn check(text: &str, expected: &str) {
    let format = |text: &str| Recipe::format(text.as_bytes(), "demo");
    assert_eq!(format(text).as_deref(), Ok(expected), "{text}");
    assert_eq!(format(expected).as_deref(), Ok(expected), "twice");
}

#[test]
fn what_is_in_order_stays() {
    let text = format!("{HEAD}{TAIL}");
    check(&text, &text);
    check(&text.replace('\n', "\r\n"), &text);
}

#[test]
fn space_quotes_and_indentation_become_one() {
    let text = format!("{HEAD}{TAIL}");
    let odd = text
        .replace("release: 1", "release:    1   ")
        .replace("{supplier: Demo people}", "{ 'supplier':   Demo people }")
        .replace("\"1.10\"", "'1.10'")
        .replace("  use: none", "  use:   none")
        .replace("base: debian-12\n", "base: debian-12\n\n\n\n")
        .replace("    sha256", "    sha256   ");
    let expected = text
        .replace("{supplier:", "{\"supplier\":")
        .replace("base: debian-12\n", "base: debian-12\n\n");
    check(&odd, &expected);
}

#[test]
fn keys_come_in_the_formats_order_with_their_comments() {
    let steps = TAIL.find("steps:").unwrap();
    let (sources, steps) = TAIL.split_at(steps);
    let expected = format!("{HEAD}# About sources,\n# in two lines.\n{TAIL}");
    let odd = format!("{HEAD}{steps}# About sources,\n# in two lines.\n{sources}");
    check(&odd, &expected);
    // In a list, and in a map below a key.
    let odd = expected
        .replace(
            "  - url: https://example.org/demo-1.10.tar.gz\n    sha256: \"cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7\"\n    released: 2023-02-20\n",
            "  - released: 2023-02-20\n    sha256: \"cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7\"\n    url: https://example.org/demo-1.10.tar.gz\n",
        )
        .replace("  use: none\n", "")
        .replace("  install: make install\n", "  install: make install\n  use: none\n");
    check(&odd, &expected);
}

#[test]
fn every_comment_is_kept_wherever_it_stands() {
    let odd = r#"name: demo # 1
# 2
schema: 1
"version": "1.10"
release: 1
summary: >- # 3
  A
  demo
license: Zlib
homepage: https://example.org
identity: { # 4
  supplier: Demo people, # 5
  cpe: [ # 6
    # 7
    "cpe:2.3:a:a:a", # 8
  ] # 9
  }
# 10
base: debian-12
steps: {use: make}
sources:
# 11
  -   released: 2023-02-20 # 12
      # 13
      url: https://example.org/demo-1.10.tar.gz
      sha256: "cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7"

# 14
"#;
    let before = Recipe::parse(odd.as_bytes(), "demo").unwrap();
    let formatted = Recipe::format(odd.as_bytes(), "demo").unwrap();
    assert_eq!(Recipe::parse(formatted.as_bytes(), "demo"), Ok(before));
    for number in 1..=14 {
        assert_eq!(
            formatted.matches(&format!("# {number}\n")).count(),
            1,
            "{number}\n{formatted}"
        );
    }
    let again = Recipe::format(formatted.as_bytes(), "demo").unwrap();
    assert_eq!(again, formatted);
    assert!(
        formatted.starts_with("# 2\nschema: 1\nname: demo # 1\n"),
        "{formatted}"
    );
}

#[test]
fn a_comment_at_the_end_of_a_map_or_list_stays_in_it() {
    let text = format!("{HEAD}{TAIL}")
        .replace(
            "released: 2023-02-20\n",
            "released: 2023-02-20\n    # of the source\n  # of sources\n# of steps\n",
        )
        .replace(
            "{supplier: Demo people}",
            "\n  supplier: Demo people\n  # cpe: what NVD calls it\n",
        )
        .replace("identity: \n", "identity:\n")
        .replace(
            "people\n  # cpe: what NVD calls it\n\n",
            "people\n  # cpe: what NVD calls it\n",
        )
        .replace(
            "  skip-check: none\n",
            "  skip-check: none\n  # of steps, last\n",
        );
    check(&text, &text);
    // Whatever the depth was called before.
    let deeper = text
        .replace("\n  supplier", "\n      supplier")
        .replace("\n  # cpe", "\n      # cpe");
    check(&deeper, &text);
}

#[test]
fn what_is_wrong_is_not_formatted() {
    let text = format!("{HEAD}{TAIL}").replace("license: Zlib", "license: Zlib\nlicense: Zlib");
    let error = Recipe::format(text.as_bytes(), "demo").unwrap_err();
    assert!(
        matches!(&error, FormatError::Yaml(error) if matches!(error.cause, Cause::DuplicateKey { .. })),
        "{error:?}"
    );
    let error = BaseImage::format(b"schema: 2\nname: x\n", "x").unwrap_err();
    assert!(matches!(error, FormatError::Yaml(_)), "{error:?}");
}

#[test]
fn base_images_are_formatted_too() {
    let text = "# What\nschema: 1\nname: x\narchive:\n  suite: s\n  distribution: debian\n  \
                release: '12'\n  packages:\n  # C\n  - gcc\n  keys: [  k ]\n  exclude: [/usr/[!c]*/**]\n";
    let expected = "# What\nschema: 1\nname: x\narchive:\n  distribution: debian\n  suite: s\n  \
                    release: \"12\"\n  packages:\n    # C\n    - gcc\n  exclude: [/usr/[!c]*/**]\n  keys: [k]\n";
    let formatted = BaseImage::format(text.as_bytes(), "x");
    // A `[` within a flow list starts another list in YAML: such a file is refused as it is.
    assert!(formatted.is_err());
    let text = text.replace("[/usr/[!c]*/**]", "\n    - /usr/[!c]*/**");
    let expected = expected.replace(" [/usr/[!c]*/**]", "\n    - /usr/[!c]*/**");
    assert_eq!(BaseImage::format(text.as_bytes(), "x"), Ok(expected));
}
