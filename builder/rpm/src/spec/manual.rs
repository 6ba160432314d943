//! Manual and info pages are packaged compressed, as on every distribution that has RPMs: `man` and
//! `info` read them so, and rpmlint asks for it. The base's `gzip` does it, without name and time.

use std::borrow::Cow;

use super::input::{FileKind, FileLine};

/// What a page may be compressed with already.
const COMPRESSED: &[&str] = &[".gz", ".bz2", ".xz", ".zst", ".lzma", ".Z"];

/// Returns the path that a file line is packaged under.
pub(super) fn packaged_path(line: &FileLine) -> Cow<'_, str> {
    let path = line.path.as_str();
    let is_page = matches!(
        line.kind,
        FileKind::File | FileKind::Documentation | FileKind::License
    ) && is_below_pages(path)
        && !COMPRESSED.iter().any(|suffix| path.ends_with(suffix));
    if is_page {
        Cow::Owned(format!("{path}.gz"))
    } else {
        Cow::Borrowed(path)
    }
}

/// Whether a file is a manual page (`/usr/share/man/[LANGUAGE/]manN/…`) or an info page.
fn is_below_pages(path: &str) -> bool {
    if let Some(page) = path.strip_prefix("/usr/share/info/") {
        return page != "dir";
    }
    let Some(below) = path.strip_prefix("/usr/share/man/") else {
        return false;
    };
    let folders: Vec<&str> = below.split('/').collect();
    let section = match folders.as_slice() {
        [section, _] | [_, section, _] => *section,
        _ => return false,
    };
    section
        .strip_prefix("man")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == 'n'))
}

/// Compresses the same files in the buildroot, and renames links to them.
pub(super) const COMPRESS: &str = r#"
# Manual and info pages.
pages() {
  share=%{buildroot}/usr/share
  for folder in "$share"/man/man[0-9n]* "$share"/man/*/man[0-9n]* "$share/info"; do
    [ -d "$folder" ] || continue
    find "$folder" -mindepth 1 -maxdepth 1 -type "$1" ! -name '*.gz' ! -name '*.bz2' \
      ! -name '*.xz' ! -name '*.zst' ! -name '*.lzma' ! -name '*.Z' ! -path '*/info/dir'
  done
}
pages f | while IFS= read -r page; do
  gzip -9nc < "$page" > "$page.gz"
  touch --no-create --reference="$page" "$page.gz"
  chmod --reference="$page" "$page.gz"
  rm -f "$page"
done
pages l | while IFS= read -r link; do
  target=$(readlink "$link")
  case $target in *.gz|*.bz2|*.xz|*.zst|*.lzma|*.Z) ;; *) target=$target.gz ;; esac
  rm -f "$link"
  ln -s "$target" "$link.gz"
done
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, kind: FileKind, expected: &str) {
        let line = FileLine::new(path.parse().unwrap(), kind);
        assert_eq!(packaged_path(&line), expected);
    }

    #[test]
    fn pages_get_a_suffix_and_nothing_else() {
        let file = FileKind::File;
        check(
            "/usr/share/man/man1/x.1",
            file,
            "/usr/share/man/man1/x.1.gz",
        );
        check(
            "/usr/share/man/de/man3p/x.3p",
            file,
            "/usr/share/man/de/man3p/x.3p.gz",
        );
        check(
            "/usr/share/man/mann/x.n",
            file,
            "/usr/share/man/mann/x.n.gz",
        );
        check("/usr/share/info/x.info", file, "/usr/share/info/x.info.gz");
        for same in [
            "/usr/share/man/man1/x.1.gz",
            "/usr/share/man/man1/x.1.xz",
            "/usr/share/man/x",
            "/usr/share/man/cat1/x.1",
            "/usr/share/man/man1/sub/x.1",
            "/usr/share/info/dir",
            "/usr/lib/x/share/man/man1/x.1",
        ] {
            check(same, file, same);
        }
        check(
            "/usr/share/man/man1",
            FileKind::Directory,
            "/usr/share/man/man1",
        );
    }
}
