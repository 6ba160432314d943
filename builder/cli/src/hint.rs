//! What to do about an error, where there is something to say that is true whatever the rest.

use std::io::ErrorKind;
use std::path::Path;

use kiln_build::{
    ArchiveError, BuildError, BundleError, DraftError, GraphError, PackageFinding, ProgramNeed,
    Project, ProjectError, RecipeFinding, SignError,
};
use kiln_image::UnpackError;
use kiln_model::recipe::nearest;
use kiln_model::{BaseName, StepEnd};

mod service;

const LOCK: &str = "run `kiln lock` on a machine with network, and commit the file";

/// What to do about a lockfile of another base image than recipes name: `kiln lock` alone makes none.
pub fn of_lock(project: &Project, error: &BuildError) -> Option<String> {
    let (BuildError::NotLocked { file } | BuildError::StaleLock { file, .. }) = error else {
        return None;
    };
    let base = project.base_to_choose(file)?;
    Some(LOCK.replace("kiln lock", &format!("kiln lock --base {base}")))
}

/// The same about one that can not be read.
pub fn of_lock_file(project: &Project, file: &Path) -> Option<String> {
    let base = project.base_to_choose(&project.root.join(file))?;
    Some(format!("`kiln lock --base {base}` writes it anew"))
}

/// What to do about a file that can not be read.
pub fn of_project(error: &ProjectError) -> Option<String> {
    Some(match error {
        ProjectError::Yaml { error, .. } => return error.cause.hint(),
        ProjectError::Config { error, .. } => {
            format!("did you mean `{}`?", error.nearest.as_ref()?)
        }
        ProjectError::Lock { file, .. } if file.ends_with("released.lock") => {
            "take it back from version control: it says what was released, and only signing adds to it"
                .to_owned()
        }
        ProjectError::Lock { .. } => "`kiln lock` writes it anew".to_owned(),
        ProjectError::NoRecipes { .. } => {
            "run kiln in a project's folder, or name it with --project".to_owned()
        }
        ProjectError::NameTaken { .. } | ProjectError::SameName { .. } => {
            "rename one of the two".to_owned()
        }
        ProjectError::UnknownBase { base, known } => match nearest(
            base.as_str(),
            known.iter().map(BaseName::as_str),
        ) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("there are: {}", joined(known)),
        },
        ProjectError::TooDeep { .. } => {
            "move its folder to `recipes/NAME` or `recipes/GROUP/NAME`".to_owned()
        }
        ProjectError::NotAFile { .. } => "put the file itself there".to_owned(),
        ProjectError::Key { .. } => {
            "put the archive's public key there, in binary OpenPGP form".to_owned()
        }
        ProjectError::InstallFile { .. } => {
            "put the file itself there; `file` is relative to the recipe's folder".to_owned()
        }
        ProjectError::UserClash(_) => {
            "give each user one number, and say the same wherever it is declared; without `id` each \
             host chooses a free one"
                .to_owned()
        }
        ProjectError::FileClash(_) => {
            "let one package own it and the other require that package; where only one of the two may be \
             installed, let them conflict; an empty folder stands under `directories`"
                .to_owned()
        }
        ProjectError::Io(_) => return None,
    })
}

/// What to do about a bundle that was not written, or not taken.
pub fn of_bundle(error: &BundleError) -> Option<String> {
    Some(match error {
        BundleError::Archive(ArchiveError::Truncated { .. })
        | BundleError::Damaged { .. }
        | BundleError::Absent { .. } => {
            "copy the file once more and compare its digest with the original's; what proved right is in \
             the store already"
                .to_owned()
        }
        BundleError::Archive(_) | BundleError::Refused { .. } | BundleError::Unexpected { .. } => {
            "take the file as `kiln bundle export` wrote it; archives of other tools are not accepted"
                .to_owned()
        }
        BundleError::Missing { .. } => "`kiln fetch` fetches them, where there is a network".to_owned(),
        BundleError::Target { .. } => "name another file, or a new folder".to_owned(),
        BundleError::NoRoom { .. } => {
            "free some space there, or name a file on another disk".to_owned()
        }
        BundleError::OtherBundle { .. } => {
            "ask who exported it which bundle it should be, on another way than the file came".to_owned()
        }
        BundleError::Build(_)
        | BundleError::ProjectFile { .. }
        | BundleError::Changed { .. }
        | BundleError::Document(_) => return None,
    })
}

/// What to do about whatever stopped a run.
pub fn of_build(error: &BuildError) -> Option<String> {
    Some(match error {
        BuildError::Project(error) => return of_project(error),
        BuildError::Graph(error) => return of_graph(error),
        BuildError::Finding(finding) => return of_finding(finding),
        BuildError::NotBundled { .. } => "`kiln graph` shows which product bundles what".to_owned(),
        BuildError::ShellInUse { .. } => "leave it, or name another step with --step".to_owned(),
        BuildError::NotLocked { .. } | BuildError::StaleLock { .. } => LOCK.to_owned(),
        BuildError::Unpinned(unpinned) => unpinned.hint(),
        BuildError::Patch { .. } => {
            "look at what changed in the patch, then pin it anew".to_owned()
        }
        BuildError::PatchFile { .. } => {
            "put the patch there; `file` is relative to the recipe's folder".to_owned()
        }
        BuildError::NothingInstalled { .. } => "install below \"$DESTDIR\"".to_owned(),
        BuildError::Uncollectable { .. } => {
            "remove or rename it at the end of `install`; what is made when a package is installed \
             belongs into its `scripts`"
                .to_owned()
        }
        BuildError::StepFailed { end, .. } | BuildError::PackagingFailed { end, .. }
            if *end == StepEnd::DiskShort =>
        {
            "free some space, or name a store on another disk with --store".to_owned()
        }
        BuildError::Publish { source, .. } => match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "free some space there; results and logs go where --out says".to_owned()
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                "make it writable for this user; results and logs go where --out says".to_owned()
            }
            _ => return None,
        },
        BuildError::NoLicenseFile { .. } => {
            "name it relative to the source's top folder; `tar tf` lists what is there".to_owned()
        }
        BuildError::CarryConflict { .. } => {
            "let `carry` of only one of the two match it".to_owned()
        }
        BuildError::NothingCarried { library, .. } => format!(
            "`carry` patterns are below the bundle prefix, such as `lib/*.so.*`; the log of the \
             install step of `{library}` shows what is there"
        ),
        BuildError::NothingVendored { .. } => {
            "`carry` of a vendored library are installed paths, such as `/usr/share/NAME/*.js`".to_owned()
        }
        BuildError::Unclaimed { proposals, .. } if proposals.is_empty() => {
            "add a package for them, or remove the files in `install`".to_owned()
        }
        BuildError::Unclaimed { .. } => {
            "add the patterns to these packages, or remove the files in `install`".to_owned()
        }
        BuildError::Evidence { weak, .. } if !weak.is_empty() => {
            "compile with $CFLAGS, $CXXFLAGS and $LDFLAGS; what can not be otherwise is said under \
             `hardening`, with a reason"
                .to_owned()
        }
        BuildError::ClaimedTwice(_) => "make one of the two patterns narrower".to_owned(),
        BuildError::Package(finding) => return Some(of_package(finding)),
        BuildError::UnmatchedPattern { rule, .. } if rule.text.starts_with('!') => {
            "remove it, or put it below the pattern that matches too much".to_owned()
        }
        BuildError::UnmatchedPattern { .. } => {
            "the log of the install step shows what was installed".to_owned()
        }
        BuildError::UnmergedFolder { folder, .. } => format!("install below `/usr{folder}`"),
        BuildError::NoArchive { .. } => {
            "use a base image that is assembled from an `archive`, or do without them".to_owned()
        }
        BuildError::NoSystemPackage { distribution, .. } => format!(
            "add `package: {{{distribution}: NAME}}` with the name of its development package there"
        ),
        BuildError::NotPulled { base, image, .. } => format!(
            "where there is a network: `skopeo copy docker://{image} oci:images/{base}`; then say \
             `layout: images/{base}@sha256:…` instead of `image` in base-images/{base}.yaml, with the \
             digest that images/{base}/index.json names"
        ),
        BuildError::Lacking {
            file,
            is_assembled,
            lacking,
            ..
        } => of_lacking(&file.display().to_string(), *is_assembled, lacking),
        BuildError::NothingToFormat { name, known } => did_you_mean(name, known)?,
        BuildError::Released(refusal) if refusal.what.starts_with("kiln-base-") => {
            "lock the base image anew, which gives its package another release, or build with the kiln \
             that released it"
                .to_owned()
        }
        BuildError::Released(_) => {
            "raise `release`, or take the change back: those who have the released package would never \
             get another one of the same name"
                .to_owned()
        }
        BuildError::NoCreaterepo { bases } => format!(
            "add Debian's package `createrepo-c` to a base image ({}) and lock it",
            joined(bases)
        ),
        BuildError::NoResourceLimits => {
            "`kiln doctor` says what the host lacks; `[require] resource-limits = false` does \
             without"
                .to_owned()
        }
        _ => return None,
    })
}

/// What to do when a disk took nothing more, and `text` does not say it yet.
pub fn of_disk(error: &BuildError, text: &str) -> Option<String> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = match error {
        // It shows as what it holds, and so do its causes.
        BuildError::Io(source) => Some(source),
        error => Some(error),
    };
    let mut is_full = false;
    while let Some(error) = next {
        let kind = error
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        is_full |= matches!(
            kind,
            Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
        );
        next = error.source();
    }
    (is_full && !text.contains("free some space"))
        .then(|| "free some space, or name a store on another disk with --store".to_owned())
}

/// What to do when no recipe can be drafted.
pub fn of_draft(error: &DraftError) -> Option<String> {
    Some(match error {
        DraftError::NoGuess { option, .. } => format!("say it with {option}"),
        DraftError::Name(_) => "say another one with --name or --version".to_owned(),
        DraftError::Exists { .. } => {
            "say another name with --name, or edit the recipe that is there".to_owned()
        }
        DraftError::Archive(UnpackError::Format { start, .. })
            if start.trim_start().starts_with('<') =>
        {
            "this is a web page: is it the address of the file itself?".to_owned()
        }
        DraftError::Archive(_) | DraftError::Build(_) => return None,
    })
}

/// What to do when nothing can be signed.
pub fn of_sign(error: &SignError) -> Option<String> {
    Some(match error {
        SignError::NoFingerprint => {
            "add `[signing]` with `fingerprint` and `key` to kiln.toml (docs/signing.md)".to_owned()
        }
        SignError::Nothing { .. } | SignError::Changed { .. } | SignError::NoInputs { .. } => {
            "run `kiln build` first, with the same store and --out".to_owned()
        }
        SignError::NoCertificate { .. } => {
            "export it with `gpg --armor --export`, and name the file in `public-keys`".to_owned()
        }
        SignError::Key(error) => return of_key(error),
        SignError::Signature { .. } => {
            "was the response made for this request, by the pinned key? ask again with --request"
                .to_owned()
        }
        SignError::Exchange { .. } | SignError::Build(_) => return None,
    })
}

/// What to do about a file with a key.
pub fn of_key(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    use kiln_rpm::{CertificateError, KeyFault, SigningKeyError as Key};
    if let Some(CertificateError::Secret) = error.downcast_ref::<CertificateError>() {
        return Some("`gpg --armor --export` writes public keys only".to_owned());
    }
    Some(match error.downcast_ref::<Key>()? {
        Key::Public => "`gpg --armor --export-secret-keys` writes the secret one".to_owned(),
        Key::OtherKey { .. } => {
            "`fingerprint` in kiln.toml is that of the primary key, from `gpg --list-keys`"
                .to_owned()
        }
        Key::Locked { .. } => {
            "give it with --passphrase-file, or in the environment as KILN_PASSPHRASE".to_owned()
        }
        Key::NoSecret { .. } => "sign where it is: `kiln sign --request FILE`".to_owned(),
        Key::Unusable { fault, .. } => match fault {
            KeyFault::Revoked | KeyFault::Expired { .. } => {
                "sign with a new key; docs/signing.md says how users learn of it".to_owned()
            }
            KeyFault::TooYoung { .. } => "is this machine's clock right?".to_owned(),
            _ => "make one that rpm can verify: `gpg --quick-generate-key NAME ed25519 sign`"
                .to_owned(),
        },
        _ => return None,
    })
}

fn of_graph(error: &GraphError) -> Option<String> {
    Some(match error {
        GraphError::UnknownRecipe { name, known } => did_you_mean(name.as_str(), known)?,
        GraphError::UnknownLibrary { missing, known, .. } => did_you_mean(missing.as_str(), known)
            .unwrap_or_else(|| {
                format!(
                    "write recipes/{missing}/recipe.yaml, name another one with `recipe`, or take \
                     the library from the system (`choice: system`)"
                )
            }),
        GraphError::OtherLibrary { from, actual, .. } => format!(
            "call it `{actual}` here, or name another recipe than `{from}` with `recipe`; what a \
             recipe builds is its `identity: {{library: …}}`, by default its name"
        ),
        GraphError::TwoVersions { library, .. } => format!(
            "both would lie below one prefix and be loaded into one process: let one recipe build `{library}` for all \
             of them, as `recipe` says, or take it from the system in one place"
        ),
        GraphError::Cycle { .. } => {
            "one of them must do without the next one, or take it from the system".to_owned()
        }
        GraphError::UnknownBase { base, known, .. } => match did_you_mean(base.as_str(), known) {
            Some(hint) => hint,
            None if known.is_empty() => format!("write base-images/{base}.yaml"),
            None => format!("base images here: {}", joined(known)),
        },
    })
}

fn of_finding(finding: &RecipeFinding) -> Option<String> {
    Some(match finding {
        RecipeFinding::SamePattern { .. } => "keep it in one of the two".to_owned(),
        RecipeFinding::Unmerged { pattern, .. } => {
            format!("write `/usr{}`, and install there", pattern.as_str())
        }
        RecipeFinding::FolderPattern { pattern, .. } => {
            format!("write `{}**` for everything below it", pattern.as_str())
        }
        RecipeFinding::NoSuchPackage { own, known, .. } => did_you_mean(own.as_str(), known)
            .map_or_else(
                || {
                    format!(
                        "packages of this recipe: {}; a package of another one stands without `=`",
                        joined(known)
                    )
                },
                |hint| hint.replace(" `", " `="),
            ),
        RecipeFinding::MainNoarch { .. } => {
            "give the noarch package another name than the recipe's, or the recipe another name"
                .to_owned()
        }
        RecipeFinding::LostLine(_) => "put a word before it".to_owned(),
        RecipeFinding::Service(finding) => return service::of_finding(finding),
        RecipeFinding::NotClaimed { prefix, .. } => {
            format!("add the pattern `{prefix}/**` to the package that is to carry them")
        }
        RecipeFinding::ToolWithoutRhelName { tool, .. } => {
            format!("say it with `tools-rhel: {{{tool}: NAME}}`; source packages ask for it")
        }
        RecipeFinding::LibraryWithoutRhelName { .. } => {
            "add `rhel: NAME` beside the Debian package; source packages ask for it".to_owned()
        }
        RecipeFinding::PlaceOfKiln { .. } => {
            "write $DESTDIR, $HOME, $PWD or $TMPDIR: source packages build elsewhere".to_owned()
        }
    })
}

fn of_package(finding: &PackageFinding) -> String {
    match finding {
        PackageFinding::Classes { .. } => {
            "leave it out of one of them: a pattern with `!` before it takes files away".to_owned()
        }
        PackageFinding::Ghost { rule, .. } => format!(
            "a package that ships something at `{}` owns it as it is; ghosts are made on the installed system",
            rule.text
        ),
        PackageFinding::SystemDirectory { .. } => "remove the pattern".to_owned(),
        PackageFinding::Noarch { .. } => {
            "remove `noarch`, or move the file into a package without it".to_owned()
        }
        PackageFinding::IdleAttributes { .. } => {
            "the log of the install step shows what was installed".to_owned()
        }
        PackageFinding::DirectoryAttributes {
            directory,
            first,
            second,
            ..
        } => format!(
            "name `{directory}` in `directories` of `{first}` and let `{second}` require `={first}`, or give \
             both the same attributes"
        ),
        PackageFinding::DanglingLink { target, .. } => format!(
            "install `{target}`, add it to `requires` where another package has it, or remove the link"
        ),
        PackageFinding::BuildLink { .. } => {
            "make the link relative, or to the path on an installed system".to_owned()
        }
        PackageFinding::UnrequiredLink { owner, .. } => {
            format!("add `\"={owner}\"` to `requires`, or move the link")
        }
        PackageFinding::JoinedTwice { .. } => {
            "the project joins the prefix with a folder that has it already: give it the folder below the \
             prefix, `${KILN_LIBDIR#$KILN_PREFIX/}`"
                .to_owned()
        }
    }
}

fn did_you_mean(word: &str, known: &[impl AsRef<str>]) -> Option<String> {
    let nearest = nearest(word, known.iter().map(AsRef::as_ref))?;
    Some(format!("did you mean `{nearest}`?"))
}

fn joined(names: &[impl AsRef<str>]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    names.join(", ")
}

/// Packages of distributions that have programs, each once.
fn of_lacking(file: &str, is_assembled: bool, lacking: &[ProgramNeed]) -> String {
    let packages = |of: fn(&ProgramNeed) -> &'static str| {
        let mut names: Vec<&str> = Vec::new();
        for name in lacking.iter().map(of) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    };
    let debian = packages(|need| need.debian);
    if is_assembled {
        return format!(
            "add {} to `packages` in {file}, then `kiln lock`; what only this recipe's steps call can \
             stand in its `tools`",
            joined(&debian)
        );
    }
    let rhel = packages(|need| need.rhel);
    format!(
        "nothing is added to a finished image: make one that has them (dnf or yum install {}; apt-get \
         install {}) and name it in {file}",
        rhel.join(" "),
        debian.join(" ")
    )
}
