//! Declared against linked: what the ELF files of a product say about its bundled libraries.
//!
//! The loader's rules (ld.so(8)): `RPATH` counts only without `RUNPATH`; both are lists, in which
//! `$ORIGIN` is the file's own folder; an empty entry is the working directory; a soname that is
//! found in none of them is the operating system's. Nothing is inherited from the program that loads
//! a library, so each file is judged by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::elf::ElfEvidence;
use crate::spec::{PackagedPath, PrivateFiles};

/// One ELF file of a product and where it is installed.
#[derive(Debug, Clone, Copy)]
pub struct ProductElf<'a> {
    /// Where.
    pub path: &'a PackagedPath,
    /// What it says.
    pub elf: &'a ElfEvidence,
}

/// A place where the files do not do what the recipe declares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkFinding {
    /// A soname is declared bundled, but no file below the bundle prefix has it: the operating
    /// system's is loaded.
    BundledFromSystem {
        /// The file that needs it.
        file: PackagedPath,
        /// The soname.
        soname: String,
    },
    /// A bundled library is there, but this file does not search the folder that it is in.
    BundledNotSearched {
        /// The file that needs it.
        file: PackagedPath,
        /// The soname.
        soname: String,
        /// The folder that has it.
        folder: String,
    },
    /// A file with a private soname lies outside of the bundle prefix: others would find it.
    BundledOutsidePrefix {
        /// The file that has the soname.
        file: PackagedPath,
        /// The soname.
        soname: String,
    },
    /// A library below the bundle prefix is needed, but its soname is not declared: the package
    /// would require it from others.
    UndeclaredBundle {
        /// The file that needs it.
        file: PackagedPath,
        /// The soname.
        soname: String,
    },
    /// No file of the product needs a bundled soname.
    UnusedBundle {
        /// The soname.
        soname: String,
    },
    /// A search path leads neither below the bundle prefix nor starts from `$ORIGIN`.
    ForeignSearchPath {
        /// The file that has it.
        file: PackagedPath,
        /// The entry, as it stands there.
        entry: String,
    },
    /// A search path names a folder of the build.
    BuildPath {
        /// The file that has it.
        file: PackagedPath,
        /// The entry, as it stands there.
        entry: String,
    },
}

impl fmt::Display for LinkFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BundledFromSystem { file, soname } => write!(
                f,
                "`{file}` needs `{soname}`, which is declared bundled, but the product does not \
                 carry it: the operating system's would be loaded"
            ),
            Self::BundledNotSearched {
                file,
                soname,
                folder,
            } => write!(
                f,
                "`{file}` needs the bundled `{soname}`, but does not search `{folder}`: the \
                 operating system's would be loaded"
            ),
            Self::BundledOutsidePrefix { file, soname } => {
                write!(
                    f,
                    "`{file}` is a bundled library (`{soname}`) outside of the bundle prefix"
                )
            }
            Self::UndeclaredBundle { file, soname } => write!(
                f,
                "`{file}` needs `{soname}` from below the bundle prefix, which is not declared \
                 bundled"
            ),
            Self::UnusedBundle { soname } => {
                write!(
                    f,
                    "`{soname}` is bundled, but no file of the product needs it"
                )
            }
            Self::ForeignSearchPath { file, entry } => write!(
                f,
                "`{file}` searches libraries in `{entry}`, which is neither below the bundle prefix \
                 nor relative to `$ORIGIN`"
            ),
            Self::BuildPath { file, entry } => {
                write!(
                    f,
                    "`{file}` searches libraries in `{entry}`, a folder of the build"
                )
            }
        }
    }
}

/// Returns every finding, sorted.
#[must_use]
pub fn check_links(
    files: &[ProductElf<'_>],
    private: Option<&PrivateFiles>,
) -> BTreeSet<LinkFinding> {
    let product = Product::new(files, private);
    let mut findings = BTreeSet::new();
    for file in files {
        product.check_search_path(file, &mut findings);
        product.check_needs(file, &mut findings);
        product.check_place(file, &mut findings);
    }
    let needed: BTreeSet<&str> = files
        .iter()
        .flat_map(|file| &file.elf.needed)
        .map(String::as_str)
        .collect();
    for soname in product.declared.difference(&needed) {
        findings.insert(LinkFinding::UnusedBundle {
            soname: (*soname).to_owned(),
        });
    }
    findings
}

/// What the product bundles: declared, and found.
struct Product<'a> {
    prefix: Option<&'a str>,
    declared: BTreeSet<&'a str>,
    /// Soname (or file name) of each library below the prefix, and its folder.
    found: BTreeMap<&'a str, &'a str>,
}

fn split(path: &PackagedPath) -> (&str, &str) {
    path.as_str()
        .rsplit_once('/')
        .unwrap_or(("", path.as_str()))
}

fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl<'a> Product<'a> {
    fn new(files: &[ProductElf<'a>], private: Option<&'a PrivateFiles>) -> Self {
        let prefix = private.map(|private| private.prefix.as_str());
        let sonames = private.map_or(&[][..], |private| &private.sonames);
        let mut found = BTreeMap::new();
        for file in files {
            if prefix.is_some_and(|prefix| is_within(file.path.as_str(), prefix)) {
                let (folder, name) = split(file.path);
                found.insert(file.elf.soname.as_deref().unwrap_or(name), folder);
            }
        }
        Self {
            prefix,
            declared: sonames.iter().map(String::as_str).collect(),
            found,
        }
    }

    fn check_search_path(&self, file: &ProductElf<'_>, findings: &mut BTreeSet<LinkFinding>) {
        for entry in file.elf.rpath.iter().chain(&file.elf.runpath) {
            let (path, entry_text) = (file.path.clone(), entry.clone());
            let place = resolve(entry, split(file.path).0);
            if place
                .as_deref()
                .is_some_and(|place| is_within(place, "/build"))
            {
                findings.insert(LinkFinding::BuildPath {
                    file: path,
                    entry: entry_text,
                });
                continue;
            }
            let is_private = place
                .as_deref()
                .is_some_and(|place| self.prefix.is_some_and(|prefix| is_within(place, prefix)));
            let is_relative = place.is_some() && is_origin(entry);
            if !is_private && !is_relative {
                findings.insert(LinkFinding::ForeignSearchPath {
                    file: path,
                    entry: entry_text,
                });
            }
        }
    }

    fn check_needs(&self, file: &ProductElf<'_>, findings: &mut BTreeSet<LinkFinding>) {
        let elf = file.elf;
        let entries = if elf.runpath.is_empty() {
            &elf.rpath
        } else {
            &elf.runpath
        };
        let searched: BTreeSet<String> = entries
            .iter()
            .filter_map(|entry| resolve(entry, split(file.path).0))
            .collect();
        for soname in &elf.needed {
            let (path, name) = (file.path.clone(), soname.clone());
            let is_declared = self.declared.contains(soname.as_str());
            match self.found.get(soname.as_str()) {
                None if is_declared => {
                    findings.insert(LinkFinding::BundledFromSystem {
                        file: path,
                        soname: name,
                    });
                }
                Some(folder) if !searched.contains(*folder) => {
                    let folder = (*folder).to_owned();
                    findings.insert(LinkFinding::BundledNotSearched {
                        file: path,
                        soname: name,
                        folder,
                    });
                }
                Some(_) if !is_declared => {
                    findings.insert(LinkFinding::UndeclaredBundle {
                        file: path,
                        soname: name,
                    });
                }
                _ => {}
            }
        }
    }

    fn check_place(&self, file: &ProductElf<'_>, findings: &mut BTreeSet<LinkFinding>) {
        let Some(soname) = &file.elf.soname else {
            return;
        };
        let is_inside = self
            .prefix
            .is_some_and(|prefix| is_within(file.path.as_str(), prefix));
        if self.declared.contains(soname.as_str()) && !is_inside {
            let (file, soname) = (file.path.clone(), soname.clone());
            findings.insert(LinkFinding::BundledOutsidePrefix { file, soname });
        }
    }
}

const ORIGINS: [&str; 2] = ["$ORIGIN", "${ORIGIN}"];

fn is_origin(entry: &str) -> bool {
    ORIGINS.iter().any(|origin| {
        entry
            .strip_prefix(origin)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Returns the folder that a search-path entry means for a file in `folder`; `None` for a relative
/// one, one with another `$` token, and one that climbs above the root.
fn resolve(entry: &str, folder: &str) -> Option<String> {
    let origin = ORIGINS.iter().find_map(|origin| entry.strip_prefix(origin));
    let full = match origin {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{folder}{rest}"),
        _ => entry.to_owned(),
    };
    if !full.starts_with('/') || full.contains('$') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in full.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::ElfKind;

    const PREFIX: &str = "/usr/lib/demo";

    struct File(PackagedPath, ElfEvidence);

    fn file(path: &str, soname: Option<&str>, needed: &[&str], runpath: &[&str]) -> File {
        let mut elf = ElfEvidence::plain(ElfKind::SharedObject);
        elf.soname = soname.map(str::to_owned);
        elf.needed = needed.iter().map(|text| (*text).to_owned()).collect();
        elf.runpath = runpath.iter().map(|text| (*text).to_owned()).collect();
        File(path.parse().unwrap(), elf)
    }

    fn check(files: &[File], sonames: &[&str], expected: &[LinkFinding]) {
        let private = PrivateFiles {
            prefix: PREFIX.parse().unwrap(),
            sonames: sonames.iter().map(|text| (*text).to_owned()).collect(),
        };
        let files: Vec<ProductElf<'_>> = files
            .iter()
            .map(|File(path, elf)| ProductElf { path, elf })
            .collect();
        let actual: Vec<LinkFinding> = check_links(&files, Some(&private)).into_iter().collect();
        assert_eq!(actual, expected);
    }

    fn path(text: &str) -> PackagedPath {
        text.parse().unwrap()
    }

    #[test]
    fn a_product_that_does_what_it_says_has_no_finding() {
        let library = file(
            "/usr/lib/demo/lib/libx.so.1.2",
            Some("libx.so.1"),
            &["libc.so.6"],
            &[],
        );
        for entry in [
            "/usr/lib/demo/lib",
            "$ORIGIN/../lib/demo/lib",
            "${ORIGIN}/../lib/demo/./lib/",
        ] {
            let program = file("/usr/bin/demo", None, &["libx.so.1", "libc.so.6"], &[entry]);
            let library = File(library.0.clone(), library.1.clone());
            check(&[program, library], &["libx.so.1"], &[]);
        }
    }

    #[test]
    fn a_bundled_library_that_the_loader_would_not_find_is_named() {
        let file_path = path("/usr/bin/demo");
        let soname = "libx.so.1".to_owned();
        check(
            &[file(
                "/usr/bin/demo",
                None,
                &["libx.so.1"],
                &["/usr/lib/demo/lib"],
            )],
            &["libx.so.1"],
            &[LinkFinding::BundledFromSystem {
                file: file_path.clone(),
                soname: soname.clone(),
            }],
        );
        check(
            &[
                file("/usr/bin/demo", None, &["libx.so.1"], &[]),
                file("/usr/lib/demo/lib/libx.so.1", Some("libx.so.1"), &[], &[]),
            ],
            &["libx.so.1"],
            &[LinkFinding::BundledNotSearched {
                file: file_path,
                soname,
                folder: "/usr/lib/demo/lib".to_owned(),
            }],
        );
    }

    #[test]
    fn what_is_bundled_is_declared_used_and_below_the_prefix() {
        check(
            &[
                file(
                    "/usr/bin/demo",
                    None,
                    &["liby.so.2"],
                    &["/usr/lib/demo/lib"],
                ),
                file("/usr/lib/demo/lib/liby.so.2", Some("liby.so.2"), &[], &[]),
                file("/usr/lib64/libx.so.1", Some("libx.so.1"), &[], &[]),
            ],
            &["libx.so.1"],
            &[
                LinkFinding::BundledOutsidePrefix {
                    file: path("/usr/lib64/libx.so.1"),
                    soname: "libx.so.1".to_owned(),
                },
                LinkFinding::UndeclaredBundle {
                    file: path("/usr/bin/demo"),
                    soname: "liby.so.2".to_owned(),
                },
                LinkFinding::UnusedBundle {
                    soname: "libx.so.1".to_owned(),
                },
            ],
        );
    }

    #[test]
    fn search_paths_stay_in_the_product() {
        let foreign = |entry: &str| LinkFinding::ForeignSearchPath {
            file: path("/usr/bin/demo"),
            entry: entry.to_owned(),
        };
        let build = |entry: &str| LinkFinding::BuildPath {
            file: path("/usr/bin/demo"),
            entry: entry.to_owned(),
        };
        for (entry, expected) in [
            ("/opt/lib", foreign("/opt/lib")),
            ("", foreign("")),
            ("lib", foreign("lib")),
            ("$LIB/x", foreign("$LIB/x")),
            ("$ORIGINAL/x", foreign("$ORIGINAL/x")),
            ("/usr/lib/demonic", foreign("/usr/lib/demonic")),
            (
                "/usr/lib/demo/../../../opt",
                foreign("/usr/lib/demo/../../../opt"),
            ),
            ("$ORIGIN/../../../..", foreign("$ORIGIN/../../../..")),
            ("/build/src/x/.libs", build("/build/src/x/.libs")),
            ("$ORIGIN/../../build/x", build("$ORIGIN/../../build/x")),
        ] {
            check(
                &[file("/usr/bin/demo", None, &[], &[entry])],
                &[],
                &[expected],
            );
        }
    }
}
