//! The sources of a recipe: files with or without a digest, commits with or without an id.

use std::collections::BTreeSet;

use super::package::truth;
use super::{Parsed, digest, parse_all, parse_some};
use crate::git::{RepositoryUrl, Submodules};
use crate::recipe::error::Cause;
use crate::recipe::schema::SourceSchema;
use crate::recipe::{At, DeclaredSource, GitSource, Origin, Repacked};
use crate::source::Location;

/// Reads all of them; `main` is the first one's folder.
pub(super) fn sources(
    text: &str,
    shape: &At<Vec<At<SourceSchema>>>,
    main: &str,
) -> Parsed<Vec<DeclaredSource>> {
    if shape.value.is_empty() {
        return Err(shape.error(Cause::Empty { what: "sources" }));
    }
    let mut folders = BTreeSet::from([main.to_owned()]);
    let mut names = BTreeSet::new();
    let mut sources: Vec<DeclaredSource> = Vec::new();
    for item in &shape.value {
        let source = source(text, item)?;
        let (address, name) = match &source.origin {
            Origin::File { url, .. } => (&item.value.url, url.file_name().to_owned()),
            // Its file's name is known once it is locked.
            Origin::Git(git) => (&item.value.git, git.repository.name().to_owned()),
        };
        let wrong = |cause: Cause| match address {
            Some(address) => address.error(cause),
            None => item.error(cause),
        };
        if !names.insert(name.clone()) {
            let what = "source file";
            return Err(wrong(Cause::Twice { what, name }));
        }
        if !sources.is_empty() {
            let folder = source.folder();
            let is_plain = folder.starts_with(|c: char| c.is_ascii_alphanumeric())
                && folder
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._+~-".contains(c));
            if !is_plain || !folders.insert(folder.to_owned()) {
                let main = main.to_owned();
                return Err(wrong(Cause::SourceFolder { name, main }));
            }
        }
        sources.push(source);
    }
    Ok(sources)
}

fn source(text: &str, item: &At<SourceSchema>) -> Parsed<DeclaredSource> {
    let shape = &item.value;
    let origin = match (&shape.url, &shape.git) {
        (Some(url), None) => file(text, item, url)?,
        (None, Some(address)) => Origin::Git(git(text, item, address)?),
        (Some(url), Some(_)) => {
            return Err(url.error(Cause::Meaningless {
                key: "url",
                beside: "git",
            }));
        }
        (None, None) => {
            return Err(item.error(Cause::MissingKey {
                key: "url".to_owned(),
            }));
        }
    };
    let repacked = match &shape.repacked {
        Some(repacked) => Some(Repacked {
            by: repacked.value.by.parse()?,
            upstream: repacked.value.upstream.parse()?,
            note: repacked.value.note.parse()?,
        }),
        None => None,
    };
    Ok(DeclaredSource {
        origin,
        released: parse_some(shape.released.as_ref())?,
        repacked,
    })
}

fn file(text: &str, item: &At<SourceSchema>, url: &At<String>) -> Parsed<Origin> {
    let shape = &item.value;
    let only_git = [
        ("tag", shape.tag.as_ref().map(|tag| tag.place)),
        ("commit", shape.commit.as_ref().map(|commit| commit.place)),
        ("submodules", shape.submodules.as_ref().map(|it| it.place)),
    ];
    refuse(item, only_git, "url")?;
    for address in shape.mirrors.iter().chain([url]) {
        if let Location::Git(_) = address.parse::<Location>()? {
            let text = address.value.clone();
            return Err(address.error(Cause::RepositoryAsFile { text }));
        }
    }
    let is_repository = url.value.ends_with(".git");
    if is_repository && shape.sha256.is_none() {
        let text = url.value.clone();
        return Err(url.error(Cause::RepositoryAsFile { text }));
    }
    let sha256 = shape.sha256.as_ref();
    let sha256 = sha256.map(|sha256| digest(text, sha256)).transpose()?;
    if sha256.is_some() && shape.released.is_none() {
        return Err(item.error(Cause::MissingKey {
            key: "released".to_owned(),
        }));
    }
    Ok(Origin::File {
        url: url.parse()?,
        sha256,
        mirrors: parse_all(&shape.mirrors)?,
    })
}

fn git(text: &str, item: &At<SourceSchema>, address: &At<String>) -> Parsed<GitSource> {
    let shape = &item.value;
    let repository: RepositoryUrl = address.parse()?;
    let only_file = [
        ("sha256", shape.sha256.as_ref().map(|sha256| sha256.place)),
        ("mirrors", shape.mirrors.first().map(|mirror| mirror.place)),
        ("repacked", shape.repacked.as_ref().map(|it| it.place)),
    ];
    refuse(item, only_file, "git")?;
    let (tag, commit) = (
        parse_some(shape.tag.as_ref())?,
        parse_some(shape.commit.as_ref())?,
    );
    if tag.is_none() && commit.is_none() {
        return Err(address.error(Cause::NoCommit));
    }
    let submodules = shape.submodules.as_ref();
    let follows = submodules.map_or(Ok(true), |it| truth(text, it))?;
    Ok(GitSource {
        repository,
        tag,
        commit,
        submodules: match follows {
            true => Submodules::Follow,
            false => Submodules::LeaveOut,
        },
    })
}

/// Refuses the first key that has no meaning beside another one.
fn refuse<const N: usize>(
    item: &At<SourceSchema>,
    keys: [(&'static str, Option<crate::recipe::Place>); N],
    beside: &'static str,
) -> Parsed<()> {
    for (key, place) in keys {
        if let Some(place) = place {
            let error = item.error(Cause::Meaningless { key, beside });
            return Err(crate::recipe::YamlError { place, ..error });
        }
    }
    Ok(())
}
