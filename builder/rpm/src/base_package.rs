//! `kiln-base-<name>`: an RPM that stands for a base image whose packages are no RPMs.
//!
//! A Debian base satisfies what kiln's packages require, but no package database says so. This
//! package provides every soname, executable, pkg-config and Perl module and package name of the locked base,
//! and tells the loader about `/usr/lib64`, where kiln's packages put their libraries. With it, dnf
//! and repoclosure work without `--nodeps`.
//!
//! It is packaged like any other: [`base_package`] returns a [`SpecInput`] and the files of its
//! destdir.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::recipe::PackageArchitecture;
use kiln_model::{
    BaseName, DistributionPackage, ManifestDigest, Release, SourceDateEpoch, Version,
};

use crate::elf::ElfEvidence;
use crate::spec::{
    DebugFiles, DebugInformation, Dependency, FileKind, FileLine, PackageInput, PackagedPath,
    Scriptlet, ScriptletTime, SourcePackage, SpecInput, SpecTextError, made_archive,
};

/// Says why a base has no package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BasePackageError {
    /// The distribution's version does not follow its grammar.
    #[error(
        "package `{package}` of the base has version `{version}`, which is not \
         [EPOCH:]UPSTREAM[-REVISION]"
    )]
    Version {
        /// The package.
        package: DistributionPackage,
        /// Its version, as locked.
        version: String,
    },
    /// The base's release is no version that rpm accepts.
    #[error("the base's release `{release}` is not a version")]
    Release {
        /// The release, as locked.
        release: String,
    },
    /// A name can not stand in a spec file.
    #[error("the base offers a name that rpm can not carry: {0}")]
    Name(#[from] SpecTextError),
}

/// What a base offers, gathered file by file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseEvidence {
    sonames: BTreeSet<String>,
    executables: BTreeSet<String>,
    pkgconfig: BTreeMap<String, Option<String>>,
    perl_modules: BTreeMap<String, Option<String>>,
    perl: Option<String>,
}

impl BaseEvidence {
    /// Begins with nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a library that the loader finds by itself: one in its default folders, not in a
    /// program's own.
    pub fn add_library(&mut self, file_name: &str, elf: &ElfEvidence) {
        self.sonames.extend(elf.elf_provides(file_name));
    }

    /// Adds a program (or a link to one) by its path: `/usr/bin/perl`. What lies in `/usr/bin` and
    /// `/usr/sbin` is also offered as `/bin/…` and `/sbin/…`, which are links in every base.
    pub fn add_executable(&mut self, path: &str) {
        let alias = path
            .strip_prefix("/usr")
            .filter(|rest| rest.starts_with("/bin/") || rest.starts_with("/sbin/"));
        self.executables.extend(alias.map(str::to_owned));
        self.executables.insert(path.to_owned());
    }

    /// Adds a `.pc` file by its name and text. The first of two with one name counts, as it does for
    /// pkg-config.
    pub fn add_pkgconfig(&mut self, file_name: &str, text: &str) {
        if let Some(module) = file_name.strip_suffix(".pc") {
            self.pkgconfig
                .entry(module.to_owned())
                .or_insert_with(|| pkgconfig_version(text));
        }
    }
}

impl BaseEvidence {
    /// Adds a Perl module by its path below one of Perl's folders (`File/Spec.pm`) and its text. The
    /// first of two with one name counts, as it does for Perl.
    pub fn add_perl_module(&mut self, path: &str, text: &str) {
        let Some(name) = path.strip_suffix(".pm") else {
            return;
        };
        let is_word = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if name.split('/').all(is_word) {
            let module = name.replace('/', "::");
            let version = || perl_version(text);
            self.perl_modules.entry(module).or_insert_with(version);
        }
    }

    /// Says which version Perl itself has: `5.36.0`.
    pub fn set_perl(&mut self, version: &str) {
        self.perl = Some(version.to_owned());
    }
}

/// Returns what a Perl module states as its version, where that is plain text.
fn perl_version(text: &str) -> Option<String> {
    let before_end = text.lines().take_while(|line| *line != "__END__");
    let statement = before_end
        .filter_map(|line| {
            let (before, after) = line.split_once("VERSION")?;
            let is_variable = before.ends_with(['$', ':']);
            after.trim_start().strip_prefix('=').filter(|_| is_variable)
        })
        .next()?;
    let version: String = statement
        .trim_start_matches([' ', '\'', '"', 'v'])
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    Some(version).filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

/// Returns `Version:` of a `.pc` file, its variables replaced.
fn pkgconfig_version(text: &str) -> Option<String> {
    let mut variables: BTreeMap<&str, String> = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        if let Some(value) = line.strip_prefix("Version:") {
            return Some(replace(value.trim(), &variables)).filter(|version| !version.is_empty());
        }
        if let Some((name, value)) = line.split_once('=')
            && name
                .trim()
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._".contains(c))
        {
            let value = replace(value.trim(), &variables);
            variables.insert(name.trim(), value);
        }
    }
    None
}

/// Replaces `${name}`; values hold no variable any more, so once is enough.
fn replace(text: &str, variables: &BTreeMap<&str, String>) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        replaced.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            break;
        };
        replaced.push_str(variables.get(name).map_or("", String::as_str));
        rest = behind;
    }
    replaced.push_str(rest);
    replaced
}

/// A base image, as its lock has it, and what was found in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePackageInput {
    /// The base's name: the package is `kiln-base-<name>`.
    pub base: BaseName,
    /// The distribution's release: the package's version. `12.15`.
    pub release: String,
    /// The image: its first digits are part of the package's release.
    pub manifest: ManifestDigest,
    /// Date of the archive's index: orders packages of one distribution release.
    pub source_date: SourceDateEpoch,
    /// Who distributes the package.
    pub vendor: String,
    /// Every package of the base and its version.
    pub packages: BTreeMap<DistributionPackage, String>,
    /// What they offer.
    pub evidence: BaseEvidence,
}

/// What to package: a spec, and the content of its destdir.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePackage {
    /// For [`write_spec`](crate::write_spec) and [`packaging_step`](crate::packaging_step).
    pub spec: SpecInput,
    /// The destdir: path and text of every file, mode 0644.
    pub files: BTreeMap<PackagedPath, String>,
}

const LOADER_FILE: &str = "/etc/ld.so.conf.d/kiln.conf";
const LOADER_TEXT: &str = "# Where packages built by kiln have their libraries.\n/usr/lib64\n";
/// Works in a root without ldconfig, and in one where it fails.
const LDCONFIG: &str = "if [ -x /sbin/ldconfig ]; then /sbin/ldconfig || :; fi\n";

/// Makes the package that stands for a base.
///
/// # Errors
/// `Version`, `Release` or `Name`: something in the base has a name or version that no RPM can have.
pub fn base_package(input: &BasePackageInput) -> Result<BasePackage, BasePackageError> {
    let name = format!("kiln-base-{}", input.base);
    let package_name = name.parse().expect("a base's name fits into a package's");
    let loader_file: PackagedPath = LOADER_FILE.parse().expect("the path is normal");
    let version: Version = input
        .release
        .parse()
        .map_err(|_| BasePackageError::Release {
            release: input.release.clone(),
        })?;
    let date = input.source_date.to_rfc3339()[..10].replace('-', "");
    let release = format!("{date}.{}", &input.manifest.0.to_hex()[..12]);
    let release: Release = release.parse().expect("digits and a dot are a release");
    let summary = format!(
        "What the base image {} offers to other packages",
        input.base
    );
    let description = format!(
        "Provides every library, program and package name of the base image {} {},\n\
         whose own packages are not known to rpm, and adds /usr/lib64 to the loader's\n\
         folders. Manifest:\n\
         {}",
        input.base, input.release, input.manifest
    );
    let ldconfig = |when| Scriptlet {
        when,
        body: LDCONFIG.to_owned(),
    };
    let package = PackageInput {
        name: package_name,
        summary: summary.clone(),
        description: description.clone(),
        architecture: PackageArchitecture::Native,
        files: vec![FileLine::new(loader_file.clone(), FileKind::File)],
        requires: Vec::new(),
        provides: provides(input)?,
        conflicts: Vec::new(),
        obsoletes: Vec::new(),
        recommends: Vec::new(),
        suggests: Vec::new(),
        supplements: Vec::new(),
        enhances: Vec::new(),
        bundled: Vec::new(),
        scriptlets: vec![
            ldconfig(ScriptletTime::AfterInstall),
            ldconfig(ScriptletTime::AfterRemove),
        ],
        ordering: vec![],
    };
    let made = made_archive(&package.name, &version, &release);
    let spec = SpecInput {
        name: package.name.clone(),
        epoch: None,
        version,
        release,
        summary,
        description,
        license: "Apache-2.0".to_owned(),
        url: None,
        vendor: input.vendor.clone(),
        packager: None,
        source_date: input.source_date,
        changelog: Vec::new(),
        packages: vec![package],
        private: None,
        debug_information: DebugInformation::Off {
            reason: "no ELF file in it".to_owned(),
        },
        debug_files: DebugFiles::default(),
        without_build_id: Vec::new(),
        source: SourcePackage {
            made: Some(made),
            ..SourcePackage::empty()
        },
    };
    Ok(BasePackage {
        spec,
        files: [(loader_file, LOADER_TEXT.to_owned())].into(),
    })
}

fn provides(input: &BasePackageInput) -> Result<Vec<Dependency>, BasePackageError> {
    let evidence = &input.evidence;
    let mut names: BTreeSet<String> = evidence.sonames.clone();
    names.extend(evidence.executables.iter().cloned());
    // glibc's own RPM says this by hand: its loader reads the GNU hash table.
    names.insert("rtld(GNU_HASH)".to_owned());
    for (module, version) in &evidence.pkgconfig {
        let version = version
            .as_ref()
            .filter(|version| version.parse::<Version>().is_ok());
        names.insert(match version {
            Some(version) => format!("pkgconfig({module}) = {version}"),
            None => format!("pkgconfig({module})"),
        });
    }
    for (module, version) in &evidence.perl_modules {
        let version = version
            .as_ref()
            .filter(|version| version.parse::<Version>().is_ok());
        names.insert(match version {
            Some(version) => format!("perl({module}) = {version}"),
            None => format!("perl({module})"),
        });
    }
    // What `use 5.010` asks for; the package's own name has Debian's epoch.
    names.extend(
        evidence
            .perl
            .iter()
            .map(|version| format!("perl(:VERSION) = {version}")),
    );
    for (package, version) in &input.packages {
        let evr = rpm_evr(version).ok_or_else(|| BasePackageError::Version {
            package: package.clone(),
            version: version.clone(),
        })?;
        names.insert(format!("{package} = {evr}"));
    }
    names.iter().map(|name| Ok(name.parse()?)).collect()
}

/// Returns a Debian version (policy 5.6.12) as rpm writes one, `None` when it is not one.
///
/// | Debian | rpm |
/// |---|---|
/// | epoch | epoch |
/// | upstream version | version, with `_` for each `-` and `:` |
/// | revision, behind the last `-` | release |
/// | no revision (native package) | release `0` |
///
/// `~` sorts before everything in both. Numbers and words compare alike in both; only the order of
/// `.`, `+` and `-` among each other is Debian's alone: rpm takes each for a mere gap.
///
/// ```
/// use kiln_rpm::rpm_evr;
/// assert_eq!(rpm_evr("1:7.88.1-10+deb12u14").as_deref(), Some("1:7.88.1-10+deb12u14"));
/// assert_eq!(rpm_evr("2.1.12-stable-8").as_deref(), Some("2.1.12_stable-8"));
/// assert_eq!(rpm_evr("12.4").as_deref(), Some("12.4-0"));
/// ```
#[must_use]
pub fn rpm_evr(debian: &str) -> Option<String> {
    let (epoch, rest) = match debian.split_once(':') {
        Some((epoch, rest)) => (Some(epoch), rest),
        None => (None, debian),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    let is_text = |text: &str, more: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let is_number =
        |text: &str| text.chars().all(|c| c.is_ascii_digit()) && text.parse::<u32>().is_ok();
    let fits = epoch.is_none_or(is_number)
        && upstream.starts_with(|c: char| c.is_ascii_alphanumeric())
        && is_text(upstream, ".+-~:")
        && is_text(revision, ".+~");
    let upstream = upstream.replace(['-', ':'], "_");
    fits.then(|| match epoch {
        Some(epoch) => format!("{epoch}:{upstream}-{revision}"),
        None => format!("{upstream}-{revision}"),
    })
}

#[cfg(test)]
mod tests {
    use kiln_model::Digest;

    use super::*;
    use crate::elf::ElfKind;
    use crate::write_spec;

    #[test]
    fn a_debian_version_becomes_an_evr_or_is_refused() {
        for (debian, expected) in [
            ("1.2.13.dfsg-1", "1.2.13.dfsg-1"),
            ("2:1.02.185-2", "2:1.02.185-2"),
            ("1.0~rc1-1~bpo12+1", "1.0~rc1-1~bpo12+1"),
            ("0.1-2-3", "0.1_2-3"),
            ("1:2:3-4", "1:2_3-4"),
            ("2023c", "2023c-0"),
        ] {
            assert_eq!(rpm_evr(debian).as_deref(), Some(expected));
        }
        for bad in [
            "",
            "-1",
            "1-",
            "a:1-1",
            ":1-1",
            "+1:1-1",
            "1_2-1",
            "1 2",
            "4294967296:1",
        ] {
            assert_eq!(rpm_evr(bad), None, "{bad}");
        }
    }

    fn input() -> BasePackageInput {
        let mut library = ElfEvidence::plain(ElfKind::SharedObject);
        library.soname = Some("libz.so.1".to_owned());
        let mut evidence = BaseEvidence::new();
        evidence.add_library("libz.so.1.2.13", &library);
        evidence.add_executable("/usr/bin/perl");
        evidence.add_executable("/usr/games/nethack");
        evidence.add_pkgconfig(
            "zlib.pc",
            "major=1\nv = ${major}.2\nName: z\nVersion: ${v}.13\n",
        );
        evidence.add_pkgconfig("odd.pc", "Version: ${missing}\n");
        evidence.add_perl_module("File/Spec.pm", "our $VERSION = '3.84';\n");
        evidence.add_perl_module("File/Spec.pm", "our $VERSION = '1';\n");
        evidence.add_perl_module("strict.pm", "$strict::VERSION = \"1.12\";\n");
        evidence.add_perl_module(
            "Odd.pm",
            "our $VERSION = eval { 1 };\n__END__\n$VERSION = 2\n",
        );
        evidence.add_perl_module("unicore/a-b.pm", "");
        evidence.add_perl_module("README", "");
        evidence.set_perl("5.36.0");
        BasePackageInput {
            base: "debian-12".parse().unwrap(),
            release: "12.15".to_owned(),
            manifest: ManifestDigest(Digest::of(b"x")),
            source_date: SourceDateEpoch::from_seconds(1_676_851_200),
            vendor: "Kiln tests".to_owned(),
            packages: [("zlib1g".parse().unwrap(), "1:1.2.13.dfsg-1".to_owned())].into(),
            evidence,
        }
    }

    #[test]
    fn the_package_offers_what_the_base_does() {
        let package = base_package(&input()).unwrap();
        let provides: Vec<&str> = package.spec.packages[0]
            .provides
            .iter()
            .map(Dependency::as_str)
            .collect();
        assert_eq!(
            provides,
            [
                "/bin/perl",
                "/usr/bin/perl",
                "/usr/games/nethack",
                "libz.so.1()(64bit)",
                "perl(:VERSION) = 5.36.0",
                "perl(File::Spec) = 3.84",
                "perl(Odd)",
                "perl(strict) = 1.12",
                "pkgconfig(odd)",
                "pkgconfig(zlib) = 1.2.13",
                "rtld(GNU_HASH)",
                "zlib1g = 1:1.2.13.dfsg-1",
            ]
        );
        let spec = write_spec(&package.spec).unwrap();
        assert!(spec.contains("\nName: kiln-base-debian-12\nVersion: 12.15\n"));
        let digits = &Digest::of(b"x").to_hex()[..12];
        assert!(spec.contains(&format!("\nRelease: 20230220.{digits}\n")));
    }

    #[test]
    fn what_no_rpm_can_carry_is_refused() {
        let mut version = input();
        version
            .packages
            .insert("odd".parse().unwrap(), "1 2".to_owned());
        assert_eq!(
            base_package(&version),
            Err(BasePackageError::Version {
                package: "odd".parse().unwrap(),
                version: "1 2".to_owned()
            })
        );
        let mut release = input();
        release.release = "12-x".to_owned();
        assert_eq!(
            base_package(&release),
            Err(BasePackageError::Release {
                release: "12-x".to_owned()
            })
        );
        let mut path = input();
        path.evidence.add_executable("/usr/bin/a b");
        assert_eq!(
            base_package(&path),
            Err(BasePackageError::Name(SpecTextError::Dependency(
                "/bin/a b".to_owned()
            )))
        );
    }
}
