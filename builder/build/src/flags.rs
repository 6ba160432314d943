//! The compiler's and linker's flags: what Fedora's defaults (redhat-rpm-config) have the effect of,
//! less what a recipe does without.
//!
//! That they took effect is not hoped for: `kiln_rpm::check_hardening` reads it from the ELF files.
//! Position independent programs are the compiler's own default in the base images; a compiler
//! without it is found by the same check.

use kiln_model::Recipe;
use kiln_model::recipe::Protection;

/// What goes into `CFLAGS`, `CXXFLAGS` and `LDFLAGS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flags {
    /// Of the C compiler.
    pub(crate) c: String,
    /// Of the C++ compiler.
    pub(crate) cxx: String,
    /// Of the linker.
    pub(crate) link: String,
}

/// What each protection needs of the compilers.
const COMPILE: &[(Protection, &str)] = &[
    (
        Protection::FormatSecurity,
        "-Wformat -Werror=format-security",
    ),
    (Protection::Fortify, "-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3"),
    (Protection::StackProtector, "-fstack-protector-strong"),
    (Protection::StackClash, "-fstack-clash-protection"),
    (Protection::Cet, "-fcf-protection"),
];

/// What each protection needs of the linker.
const LINK: &[(Protection, &str)] = &[
    (Protection::Relro, "-Wl,-z,relro"),
    (Protection::BindNow, "-Wl,-z,now"),
    (Protection::BuildId, "-Wl,--build-id=sha1"),
];

/// What takes away a protection that the compiler has by default.
const WITHOUT: &[(Protection, &str, &str)] = &[
    (Protection::Pie, "-fno-pie", "-no-pie"),
    (Protection::StackProtector, "-fno-stack-protector", ""),
    (Protection::StackClash, "-fno-stack-clash-protection", ""),
    (Protection::Fortify, "-U_FORTIFY_SOURCE", ""),
    (Protection::Cet, "-fcf-protection=none", ""),
    (Protection::Relro, "", "-Wl,-z,norelro"),
    (Protection::BindNow, "", "-Wl,-z,lazy"),
    (Protection::BuildId, "", "-Wl,--build-id=none"),
];

/// Returns the flags of a recipe whose source tree is at `source`.
///
/// There is no DWARF prefix map (it empties debugsource packages); only `__FILE__`, which ends up in
/// programs' data, is mapped.
pub(crate) fn flags(recipe: &Recipe, source: &str) -> Flags {
    let is_off = |protection: Protection| {
        recipe
            .hardening
            .iter()
            .any(|exception| exception.is_global(protection))
    };
    let mut compile = vec!["-O2", "-g"];
    let mut link = Vec::new();
    for (protection, flag) in COMPILE {
        if !is_off(*protection) {
            compile.push(flag);
        }
    }
    for (protection, flag) in LINK {
        if !is_off(*protection) {
            link.push(*flag);
        }
    }
    for (protection, compiler, linker) in WITHOUT {
        if is_off(*protection) {
            compile.extend(Some(*compiler).filter(|flag| !flag.is_empty()));
            link.extend(Some(*linker).filter(|flag| !flag.is_empty()));
        }
    }
    let map = format!("-fmacro-prefix-map={source}=.");
    let c = format!("{} {map}", compile.join(" "));
    let cxx = if is_off(Protection::Fortify) {
        c.clone()
    } else {
        format!("{c} -D_GLIBCXX_ASSERTIONS")
    };
    Flags {
        c,
        cxx,
        link: link.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(hardening: &str) -> Recipe {
        let text = format!(
            "schema: 1\nname: x\nversion: \"1\"\nrelease: 1\nsummary: x\nlicense: MIT\n\
             homepage: https://example.org\nidentity: {{supplier: x}}\nbase: b\nsources:\n  \
             - {{url: \"https://example.org/x.tar\", sha256: \"{}\", released: 2020-01-01}}\n\
             steps: {{use: make}}\n{hardening}",
            "0".repeat(64)
        );
        Recipe::parse(text.as_bytes(), "x").unwrap()
    }

    #[test]
    fn everything_is_on_by_default() {
        let flags = flags(&recipe(""), "/build/src/x-1");
        assert_eq!(
            flags.c,
            "-O2 -g -Wformat -Werror=format-security -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 \
             -fstack-protector-strong -fstack-clash-protection -fcf-protection \
             -fmacro-prefix-map=/build/src/x-1=."
        );
        assert_eq!(flags.cxx, format!("{} -D_GLIBCXX_ASSERTIONS", flags.c));
        assert_eq!(flags.link, "-Wl,-z,relro -Wl,-z,now -Wl,--build-id=sha1");
    }

    #[test]
    fn an_exception_without_files_takes_flags_away() {
        let all: Vec<&str> = Protection::ALL.iter().map(|p| p.word()).collect();
        let text = format!(
            "hardening: [{{without: [{}], reason: x}}]\n",
            all.join(", ")
        );
        let flags = flags(&recipe(&text), "/s");
        assert_eq!(
            flags.c,
            "-O2 -g -fno-pie -fno-stack-protector -fno-stack-clash-protection -U_FORTIFY_SOURCE \
             -fcf-protection=none -fmacro-prefix-map=/s=."
        );
        assert_eq!(flags.cxx, flags.c);
        assert_eq!(
            flags.link,
            "-no-pie -Wl,-z,norelro -Wl,-z,lazy -Wl,--build-id=none"
        );
    }

    #[test]
    fn an_exception_for_files_leaves_flags_alone() {
        let text = "hardening: [{without: [cet], files: [/usr/bin/x], reason: x}]\n";
        assert_eq!(flags(&recipe(text), "/s"), flags(&recipe(""), "/s"));
    }
}
