//! Paths of the build in what is installed: a program that looks there finds nothing, or what
//! somebody else put there.
//!
//! Debug information names the build's folders rightly, and debugedit rewrites it; everything else
//! that is loaded or read must not. One spelling is kiln's own and harmless: programs that print their
//! compiler's flags print `-fmacro-prefix-map=/build/src/NAME=.`.

use object::read::archive::ArchiveFile;
use object::read::elf::{ElfFile, ElfFile32, ElfFile64, FileHeader};
use object::{Endianness, Object as _, ObjectSection as _, SectionFlags};

/// The folders of a build, as steps see them.
const BUILD_FOLDERS: &[&[u8]] = &[b"/build/src/", b"/build/destdir", b"/build/home"];

/// What stands before a path that may stand there.
const HARMLESS: &[u8] = b"-fmacro-prefix-map=";

/// Most of a found text that is shown, in bytes.
const EXCERPT: usize = 160;

/// Returns the first text that names a folder of the build: in what is loaded of an ELF file, in the
/// members of a static library, anywhere in other files.
#[must_use]
pub fn find_build_path(bytes: &[u8]) -> Option<String> {
    if bytes.starts_with(b"\x7fELF") {
        return in_elf(bytes);
    }
    if let Ok(archive) = ArchiveFile::parse(bytes) {
        let members = archive.members().filter_map(Result::ok);
        return members
            .filter_map(|member| member.data(bytes).ok())
            .find_map(find_build_path);
    }
    in_text(bytes)
}

/// A file that can not be read is somebody else's finding.
fn in_elf(bytes: &[u8]) -> Option<String> {
    match bytes.get(4) {
        Some(1) => in_sections(&ElfFile32::<Endianness>::parse(bytes).ok()?),
        _ => in_sections(&ElfFile64::<Endianness>::parse(bytes).ok()?),
    }
}

fn in_sections<Elf>(file: &ElfFile<'_, Elf>) -> Option<String>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let is_loaded = |flags: SectionFlags| match flags {
        SectionFlags::Elf { sh_flags, .. } => sh_flags.0 & object::elf::SHF_ALLOC.0 != 0,
        _ => false,
    };
    file.sections()
        .filter(|section| is_loaded(section.flags()))
        .filter_map(|section| section.data().ok())
        .find_map(in_text)
}

fn in_text(bytes: &[u8]) -> Option<String> {
    let mut start = 0;
    while let Some(found) = BUILD_FOLDERS
        .iter()
        .filter_map(|folder| find(&bytes[start..], folder))
        .min()
    {
        let at = start + found;
        let before = &bytes[..at];
        if !is_longer_path(before) && !before.ends_with(HARMLESS) {
            return Some(excerpt(&bytes[at..]));
        }
        start = at + 1;
    }
    None
}

/// Whether a path goes on to the left: `/usr/share/build/src/` is another folder, `-I/build/src/` is
/// not.
fn is_longer_path(before: &[u8]) -> bool {
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"._+~-".contains(byte);
    let name = before.iter().rev().take_while(is_part).count();
    name > 0 && before[..before.len() - name].ends_with(b"/")
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, text)
}

fn excerpt(bytes: &[u8]) -> String {
    let is_part = |byte: &&u8| byte.is_ascii_graphic() && !b"\"'<>;:,".contains(byte);
    let text: Vec<u8> = bytes
        .iter()
        .take(EXCERPT)
        .take_while(is_part)
        .copied()
        .collect();
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(
            find_build_path(text.as_bytes()).as_deref(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn folders_of_the_build_are_found_in_texts() {
        check(
            "prefix=/usr\nlibdir=/build/destdir/usr/lib\n",
            Some("/build/destdir/usr/lib"),
        );
        check("a\0/build/src/x-1/main.c\0b", Some("/build/src/x-1/main.c"));
        check("HOME=\"/build/home\"", Some("/build/home"));
        check("file:///build/src/x", Some("/build/src/x"));
    }

    #[test]
    fn other_folders_are_left_alone() {
        check(
            "/usr/share/build/src/x /build/other /build /builds/src/x",
            None,
        );
        check("cc -O2 -fmacro-prefix-map=/build/src/x-1=. -g", None);
        check(
            "-fmacro-prefix-map=/build/src/x-1=. -I/build/src/x-1",
            Some("/build/src/x-1"),
        );
        check("-I /build/src/x-1", Some("/build/src/x-1"));
        check("", None);
    }

    #[test]
    fn members_of_archives_are_looked_at() {
        let mut archive = b"!<arch>\n".to_vec();
        archive.extend(
            format!(
                "{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                "x/", 0, 0, 0, 644, 12
            )
            .bytes(),
        );
        archive.extend(b"/build/src/x");
        assert_eq!(find_build_path(&archive).as_deref(), Some("/build/src/x"));
    }
}
