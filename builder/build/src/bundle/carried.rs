//! What a bundle carries: everything that some recipes need on a machine without network.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use kiln_image::{UnpackLimits, scan_source};
use kiln_model::{BaseOrigin, Digest, RecipeName};
use kiln_store::{EMPTY_CONFIG, ObservedFile, Store};
use walkdir::WalkDir;

use crate::bundle::BundleError;
use crate::bundle::archive::{INDEX, LAYOUT, Member, PROGRAM};
use crate::bundle::document::{BUNDLE_FORMAT, BundleDocument, LAYOUT_TEXT, Needed, Sized};
use crate::error::BuildError;
use crate::graph::Graph;
use crate::project::{LoadedRecipe, Project};
use crate::side_by_side::by_turns;
use crate::varied::{image_config, inputs};
use crate::workshop::{KILN_VERSION, Workshop};

/// Bytes of the largest file of a project that is carried: recipes, patches, keys.
const MOST_FILE: u64 = 64 << 20;

/// The folder that the project is in, within its tar: readers of source archives leave it out.
pub(crate) const PROJECT: &str = "project";

/// Where the bytes of a member are.
#[derive(Debug)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    Stored(Digest),
    /// The kiln that goes along.
    Program(PathBuf, Digest),
}

/// Everything that goes into a bundle, in its order.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) document: BundleDocument,
    pub(crate) members: Vec<(Member, Content)>,
}

impl Carried {
    /// Takes stock of what `names` and all that they are built with need. Everything must be in the store.
    pub(crate) fn new(
        shop: &Workshop<'_>,
        names: &[RecipeName],
        program: &Path,
    ) -> Result<Self, BundleError> {
        let (project, store) = (shop.project, shop.store);
        let graph = Graph::new(project, names).map_err(BuildError::from)?;
        let recipes: BTreeSet<RecipeName> =
            graph.order.iter().map(|node| node.recipe.clone()).collect();
        let mut needed = inputs(project, names, shop.architecture, store)?;
        let images = carried_images(shop, &recipes, &mut needed)?;
        let missing = needed
            .values()
            .filter(|input| !store.contains(&input.digest));
        let missing: Vec<_> = missing.cloned().collect();
        if !missing.is_empty() {
            return Err(BundleError::Missing { missing });
        }
        let mut blobs = BTreeMap::new();
        for (digest, input) in needed {
            // Its bytes are verified while they are copied.
            let blob = store.open_to_hash(&digest).map_err(BuildError::from)?;
            let size = blob.metadata().map_err(BuildError::from)?.len();
            let what = input.what;
            blobs.insert(digest, Needed { size, what });
        }
        for image in images.values() {
            blobs.remove(&image.digest);
        }
        let project_tar = project_tar(shop, &recipes, names)?;
        let (licenses, kiln) = std::thread::scope(|scope| {
            let kiln = scope.spawn(|| hash_program(program));
            let licenses = licenses_tar(store, project, &recipes);
            match kiln.join() {
                Ok(kiln) => Ok::<_, BundleError>((licenses?, kiln?)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })?;
        let document = BundleDocument {
            format: BUNDLE_FORMAT,
            kiln_version: KILN_VERSION.to_owned(),
            architecture: shop.architecture,
            recipes: recipes.into_iter().collect(),
            base: project.chosen_base.clone(),
            kiln,
            project: sized(&project_tar),
            licenses: sized(&licenses),
            images,
            blobs,
        };
        Ok(Self {
            members: members(&document, [project_tar, licenses], program),
            document,
        })
    }
}

fn sized(bytes: &[u8]) -> Sized {
    Sized {
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
    }
}

/// Returns all members in the order of the archive.
fn members(
    document: &BundleDocument,
    texts: [Vec<u8>; 2],
    program: &Path,
) -> Vec<(Member, Content)> {
    let kiln = document.kiln.digest;
    let text = |name: &str, bytes: Vec<u8>| {
        let member = Member::plain(name, bytes.len() as u64);
        (member, Content::Bytes(bytes))
    };
    let blob = |bytes: Vec<u8>| {
        let member = Member::blob(&Digest::of(&bytes), bytes.len() as u64);
        (member, Content::Bytes(bytes))
    };
    let mut members = vec![
        text(LAYOUT, LAYOUT_TEXT.to_vec()),
        text(INDEX, document.index()),
        (
            Member::plain(PROGRAM, document.kiln.size),
            Content::Program(program.to_owned(), kiln),
        ),
        blob(document.manifest()),
        blob(document.encode()),
    ];
    let mut made: BTreeMap<Digest, Vec<u8>> = texts
        .into_iter()
        .chain([EMPTY_CONFIG.to_vec()])
        .map(|bytes| (Digest::of(&bytes), bytes))
        .collect();
    for (digest, size) in document.contents() {
        let content = match made.remove(&digest) {
            Some(bytes) => Content::Bytes(bytes),
            None if digest == kiln => Content::Program(program.to_owned(), kiln),
            None => Content::Stored(digest),
        };
        members.push((Member::blob(&digest, size), content));
    }
    members
}

fn hash_program(program: &Path) -> Result<Sized, BundleError> {
    let file = fs_err::File::open(program).map_err(BuildError::from)?;
    let size = file.metadata().map_err(BuildError::from)?.len();
    let observed = ObservedFile::of(file.file(), program).map_err(BuildError::from)?;
    let digest = observed.digest;
    Ok(Sized { digest, size })
}

/// Adds the documents of base images whose layers are carried, and returns their manifests by name.
fn carried_images(
    shop: &Workshop<'_>,
    recipes: &BTreeSet<RecipeName>,
    needed: &mut BTreeMap<Digest, crate::input::MissingInput>,
) -> Result<BTreeMap<String, Sized>, BundleError> {
    let (project, store) = (shop.project, shop.store);
    let mut images = BTreeMap::new();
    for name in recipes {
        let base = &project.bases[&project.recipes[name].recipe.base];
        // An image that was imported has layers of its own form, which the store does not keep.
        let BaseOrigin::Archive(_) = base.origin else {
            continue;
        };
        let lock = crate::lock::checked_base_lock(project, base, shop.architecture)?;
        let Some(lock) = lock.filter(|lock| needed.contains_key(&lock.layer.0)) else {
            continue;
        };
        let what = format!("base image {}", base.name);
        let Some(config) = image_config(store, &lock.manifest, &what)? else {
            continue;
        };
        needed.insert(config.digest, config);
        let size = store
            .blob_size(&lock.manifest.0)
            .map_err(BuildError::from)?;
        let digest = lock.manifest.0;
        images.insert(base.name.to_string(), Sized { digest, size });
    }
    Ok(images)
}

/// Writes a tar whose bytes follow from names and contents alone.
struct PlainTar(tar::Builder<Vec<u8>>);

impl PlainTar {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn add(&mut self, path: &str, bytes: &[u8], mode: u32) -> Result<(), BundleError> {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        header.set_entry_type(tar::EntryType::Regular);
        let added = self.0.append_data(&mut header, path, bytes);
        Ok(added.map_err(BuildError::from)?)
    }

    fn finish(self) -> Result<Vec<u8>, BundleError> {
        Ok(self.0.into_inner().map_err(BuildError::from)?)
    }
}

/// Returns the settings for a project of which `names` are built: others may not be there.
fn with_defaults(
    bytes: Vec<u8>,
    defaults: &[RecipeName],
    names: &[RecipeName],
) -> Result<Vec<u8>, BundleError> {
    let set = |names: &[RecipeName]| names.iter().cloned().collect::<BTreeSet<_>>();
    let names = set(names);
    if defaults.is_empty() || set(defaults) == names {
        return Ok(bytes);
    }
    let unreadable = |reason: String| BundleError::ProjectFile {
        file: SETTINGS.to_owned(),
        reason,
    };
    let text = String::from_utf8(bytes).map_err(|error| unreadable(error.to_string()))?;
    let settings = text.parse::<toml_edit::DocumentMut>();
    let mut settings = settings.map_err(|error| unreadable(error.to_string()))?;
    let names: toml_edit::Array = names.iter().map(RecipeName::as_str).collect();
    settings["build"]["default"] = toml_edit::value(names);
    Ok(settings.to_string().into_bytes())
}

/// The project's settings.
const SETTINGS: &str = "kiln.toml";

/// Returns a tar of all files of the project that `recipes` need, to build `names`.
fn project_tar(
    shop: &Workshop<'_>,
    recipes: &BTreeSet<RecipeName>,
    names: &[RecipeName],
) -> Result<Vec<u8>, BundleError> {
    let (project, architecture) = (shop.project, shop.architecture);
    let mut files = BTreeSet::from([SETTINGS.to_owned(), "Makefile".to_owned()]);
    files.insert("lockfiles/released.lock".to_owned());
    let config = &project.config;
    let named = config.signing.public_keys.iter().chain(&config.network.ca);
    for file in named {
        check_inside(file)?;
        files.insert(file.clone());
    }
    for name in recipes {
        files.extend(files_below(&project.root, &project.recipe_folder(name))?);
        let base = &project.bases[&project.recipes[name].recipe.base];
        files.insert(format!("base-images/{}.yaml", base.name));
        for lock in [
            project.recipe_lock_path(name, architecture),
            project.base_lock_path(&base.name, architecture),
        ] {
            let lock = lock.strip_prefix(&project.root).unwrap_or(&lock);
            files.insert(lock.to_string_lossy().into_owned());
        }
        if let BaseOrigin::Archive(archive) = &base.origin {
            files.extend(archive.keys.iter().map(|key| format!("base-images/{key}")));
        }
    }
    let mut tar = PlainTar::new();
    for file in files {
        let path = project.root.join(&file);
        let found = match path.symlink_metadata() {
            Ok(found) => found,
            // Settings, lists of releases and Makefiles need not be there.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(BundleError::ProjectFile {
                    file,
                    reason: error.to_string(),
                });
            }
        };
        let refused = |reason: &str| BundleError::ProjectFile {
            file: file.clone(),
            reason: reason.to_owned(),
        };
        if !found.is_file() {
            return Err(refused("it is no regular file"));
        }
        if found.len() > MOST_FILE {
            return Err(refused("it is too large for a file of a project"));
        }
        let mut bytes = fs_err::read(&path).map_err(BuildError::from)?;
        if file == SETTINGS {
            bytes = with_defaults(bytes, &config.build.default, names)?;
        }
        let is_program = std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o100 != 0;
        let mode = if is_program { 0o755 } else { 0o644 };
        tar.add(&format!("{PROJECT}/{file}"), &bytes, mode)?;
    }
    tar.finish()
}

/// Refuses a file of the settings that is not in the project: its path would lead elsewhere on the other side.
fn check_inside(file: &str) -> Result<(), BundleError> {
    let is_normal = |part: &str| !matches!(part, "" | "." | ".." | ".kiln");
    if file.split('/').all(is_normal) {
        return Ok(());
    }
    Err(BundleError::ProjectFile {
        file: file.to_owned(),
        reason: "kiln.toml names it, and it is not a file in the project's folder".to_owned(),
    })
}

/// Endings of what editors, `patch` and `git` leave beside a file.
const LEFT_BESIDE: &[&str] = &["~", ".bak", ".orig", ".rej", ".swp"];

/// Returns whether a file was left by a program that edits files, and is none of the recipe's.
fn is_left_beside(name: &str) -> bool {
    name.starts_with(['.', '#']) || LEFT_BESIDE.iter().any(|ending| name.ends_with(ending))
}

/// Returns all files below a folder of the project, relative to its root, but for what editors left.
fn files_below(root: &Path, folder: &Path) -> Result<Vec<String>, BundleError> {
    let mut files = Vec::new();
    for entry in WalkDir::new(root.join(folder)).sort_by_file_name() {
        let entry = entry.map_err(|error| BuildError::from(std::io::Error::from(error)))?;
        if entry.file_type().is_dir() {
            continue;
        }
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let Some(file) = path.to_str() else {
            let (file, reason) = (path.to_string_lossy().into_owned(), "its name is not UTF-8");
            return Err(BundleError::ProjectFile {
                file,
                reason: reason.to_owned(),
            });
        };
        let name = file.rsplit('/').next().unwrap_or(file);
        if !is_left_beside(name) {
            files.push(file.to_owned());
        }
    }
    Ok(files)
}

/// Returns a tar of the licence texts that recipes name, as they stand in their sources.
fn licenses_tar(
    store: &Store,
    project: &Project,
    recipes: &BTreeSet<RecipeName>,
) -> Result<Vec<u8>, BundleError> {
    let mut tar = PlainTar::new();
    let names: Vec<&RecipeName> = recipes.iter().collect();
    let texts = by_turns(&names, |name| license_texts(store, &project.recipes[name]));
    for (name, texts) in names.into_iter().zip(texts) {
        for (file, text) in texts? {
            tar.add(&format!("licenses/{name}/{file}"), &text, 0o644)?;
        }
    }
    tar.finish()
}

fn license_texts(
    store: &Store,
    loaded: &LoadedRecipe,
) -> Result<BTreeMap<String, Vec<u8>>, BundleError> {
    let recipe = &loaded.recipe;
    let (Some(source), false) = (
        recipe.planned().sources.first(),
        recipe.license_files.is_empty(),
    ) else {
        return Ok(BTreeMap::new());
    };
    let name = source.url.file_name();
    let archive = store.open_blob(&source.sha256).map_err(BuildError::from)?;
    let wants = |last: &str| {
        let mut files = recipe.license_files.iter();
        files.any(|file| file.rsplit('/').next() == Some(last))
    };
    let scan = scan_source(
        &mut archive.take(u64::MAX),
        name,
        &wants,
        UnpackLimits::SOURCE,
    )
    .map_err(|error| BuildError::image(name)(error.into()))?;
    let texts = scan.texts.into_iter();
    Ok(texts
        .filter(|(path, _)| recipe.license_files.contains(path))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_name_what_the_bundle_is_for() {
        let names = |names: &[&str]| -> Vec<RecipeName> {
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        let text = "# Ours.\n[build]\n# What is built.\ndefault = [\n  \"a\", # first\n  \"b\",\n]\n\n[limits]\nfree = 0\n";
        let settings = |defaults: &[&str], asked: &[&str]| {
            let bytes = text.as_bytes().to_vec();
            let bytes = with_defaults(bytes, &names(defaults), &names(asked)).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(settings(&["a", "b"], &["b", "a"]), text);
        assert_eq!(settings(&[], &["b"]), text, "all that are there");
        let expected =
            "# Ours.\n[build]\n# What is built.\ndefault = [\"b\", \"c\"]\n\n[limits]\nfree = 0\n";
        assert_eq!(settings(&["a", "b"], &["c", "b"]), expected);
        for (text, expected) in [
            ("build.default = [\"a\"]\n", "build.default = [\"b\"]\n"),
            (
                "build = { default = [\"a\"] }\n",
                "build = { default = [\"b\"] }\n",
            ),
        ] {
            let bytes = with_defaults(text.as_bytes().to_vec(), &names(&["a"]), &names(&["b"]));
            assert_eq!(bytes.unwrap(), expected.as_bytes());
        }
    }

    #[test]
    fn what_editors_leave_is_not_carried() {
        let root = tempfile::tempdir().unwrap();
        let names = [
            "recipes/a/.recipe.yaml.swp",
            "recipes/a/NOTES",
            "recipes/a/patches/#fix.patch#",
            "recipes/a/patches/fix.patch",
            "recipes/a/patches/fix.patch.orig",
            "recipes/a/recipe.yaml",
            "recipes/a/recipe.yaml~",
        ];
        for name in names {
            let path = root.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "x").unwrap();
        }
        let carried = files_below(root.path(), Path::new("recipes/a")).unwrap();
        assert_eq!(carried, [names[1], names[3], names[5]]);
    }
}
