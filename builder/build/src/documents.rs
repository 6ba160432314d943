//! From a packaged product to its SBOMs, provenance and run record.

use std::collections::BTreeMap;

use kiln_attest::{
    BillOfMaterials, BuilderId, BundledLibrary, Byproduct, Completeness, Contents, Decision,
    DistributionRelease, Host, Input, Library, Link, Linkage, Organization, OutputRpm, PrivateFile,
    Product as BillProduct, Provenance, RpmArchitecture, RunRecord, Software, StepOrigin, Subject,
    SystemLibrary, VendoredLibrary, sbom_formats,
};
use kiln_model::recipe::{Choice, Distribution};
use kiln_model::{Digest, Line, LockedSource, PackageName, Recipe, STEP_RUNNER_VERSION, Sha512};
use kiln_rpm::{PackagedFileKind, RpmFile};

use crate::compile::StepRecord;
use crate::error::BuildError;
use crate::graph::NodeId;
use crate::package::{Packaged, PackagedProduct, PackagedRpm};
use crate::rootfs::Rootfs;
use crate::spec::license;
use crate::stage::Product;
use crate::vendored::vendored;
use crate::workshop::{KILN_VERSION, Workshop};

/// One document: where it goes below `out/`, and its bytes.
pub(crate) type Document = (String, Vec<u8>);

/// What documents are made from.
pub(crate) struct Facts<'a> {
    pub(crate) shop: &'a Workshop<'a>,
    pub(crate) product: &'a Product<'a>,
    pub(crate) packaged: &'a PackagedProduct,
    /// The packages, read back, in the order of `packaged`.
    pub(crate) rpms: &'a [RpmFile],
    pub(crate) rootfs: &'a BTreeMap<NodeId, Rootfs>,
    /// When this run began, for the run record.
    pub(crate) started: &'a str,
    /// The nodes whose steps really ran in this run.
    pub(crate) fresh: &'a [NodeId],
}

impl Facts<'_> {
    fn own_rootfs(&self) -> &Rootfs {
        &self.rootfs[self.product.node]
    }

    fn recipe(&self) -> &Recipe {
        &self.shop.project.recipes[&self.product.node.recipe].recipe
    }

    fn error(&self, reason: impl std::fmt::Display) -> BuildError {
        BuildError::Document {
            recipe: self.recipe().name.clone(),
            reason: reason.to_string(),
        }
    }

    fn line(&self, text: &str) -> Result<Line, BuildError> {
        text.parse().map_err(|error| self.error(error))
    }
}

/// Returns every document of a product.
///
/// # Errors
/// `Document` when facts contradict each other.
pub(crate) fn documents(facts: &Facts<'_>) -> Result<Vec<Document>, BuildError> {
    let name = &facts.recipe().name;
    let bill = BillOfMaterials::new(contents(facts)?).map_err(|error| facts.error(error))?;
    let sboms = sbom_formats().map(|format| {
        (
            format!("sbom/{name}{}", format.extension()),
            format.render(&bill),
        )
    });
    let mut documents: Vec<Document> = sboms.into();
    let provenance = provenance(facts, &documents)?;
    let run = run_record(facts, &provenance)?;
    documents.push((format!("provenance/{name}.provenance.json"), provenance));
    documents.push((format!("provenance/{name}.run.json"), run));
    Ok(documents)
}

fn contents(facts: &Facts<'_>) -> Result<Contents, BuildError> {
    let recipe = facts.recipe();
    let author = author(facts)?;
    let vendor = vendor_word(author.name.as_str());
    let rpms = facts.packaged.packaged.rpms.iter().zip(facts.rpms);
    let rpms = rpms.map(|rpm| output_rpm(facts, rpm));
    Ok(Contents {
        author: author.clone(),
        kiln_version: facts.line(KILN_VERSION)?,
        timestamp: recipe.planned().source_date,
        product: BillProduct {
            software: software(facts, facts.product.node)?,
            supplier: author,
            rpm_vendor: vendor.parse().map_err(|error| facts.error(error))?,
            rpms: rpms.collect::<Result<_, _>>()?,
        },
        // The ELF evidence shows that what is declared is there, not yet that nothing else is.
        completeness: Completeness::Unknown,
    })
}

/// Makes one word of an organisation's name, for purls: `kiln-maintainers`.
fn vendor_word(name: &str) -> String {
    let is_kept = |c: char| c.is_ascii_alphanumeric();
    let word: Vec<String> = name
        .split(|c| !is_kept(c))
        .filter(|part| !part.is_empty())
        .map(str::to_lowercase)
        .collect();
    if word.is_empty() {
        "unknown".to_owned()
    } else {
        word.join("-")
    }
}

fn author(facts: &Facts<'_>) -> Result<Organization, BuildError> {
    let settings = &facts.shop.project.config.organization;
    Organization::try_from(settings).map_err(|error| facts.error(error))
}

/// Reads back what rpmbuild wrote.
///
/// # Errors
/// `Rpm` when one is not what kiln's own strict reader accepts.
pub(crate) fn read_rpms(
    shop: &Workshop<'_>,
    what: &str,
    packaged: &Packaged,
) -> Result<Vec<RpmFile>, BuildError> {
    packaged
        .rpms
        .iter()
        .map(|rpm| read_rpm(shop, what, rpm))
        .collect()
}

/// Reads one package back.
pub(crate) fn read_rpm(
    shop: &Workshop<'_>,
    what: &str,
    rpm: &PackagedRpm,
) -> Result<RpmFile, BuildError> {
    let bytes = shop.store.read_blob(&rpm.sha256)?;
    RpmFile::parse(&bytes).map_err(|error| BuildError::Rpm {
        recipe: what.to_owned(),
        file: rpm.file.clone(),
        reason: error.to_string(),
    })
}

fn output_rpm(
    facts: &Facts<'_>,
    (rpm, read): (&PackagedRpm, &RpmFile),
) -> Result<OutputRpm, BuildError> {
    let recipe = facts.recipe();
    let name = read.nevra().name().parse();
    Ok(OutputRpm {
        name: name.map_err(|error| facts.error(error))?,
        epoch: recipe.epoch,
        version: recipe.version.clone(),
        release: recipe.release.clone(),
        architecture: if read.nevra().architecture() == "noarch" {
            RpmArchitecture::NoArch
        } else {
            RpmArchitecture::Machine(facts.shop.architecture)
        },
        summary: facts.line(read.summary().unwrap_or_default())?,
        license: license(facts.shop, facts.product)?,
        sha256: rpm.sha256,
        sha512: rpm.sha512,
        size: rpm.size,
        header_digest: Some(read.header_digest()),
        payload_digest: Some(read.payload_digest()),
    })
}

/// Tells of one recipe and, below it, of everything that it carries or links.
fn software(facts: &Facts<'_>, node: &NodeId) -> Result<Software, BuildError> {
    let loaded = &facts.shop.project.recipes[&node.recipe];
    let mut patches = BTreeMap::new();
    for patch in &loaded.recipe.patches {
        let bytes = loaded.read_patch(patch)?;
        patches.insert(patch.file.clone(), Sha512::of(&bytes));
    }
    let locked = locked_sources(facts, &loaded.recipe)?;
    let locked: Vec<LockedSource> = locked.into_iter().map(|(source, _)| source).collect();
    let mut software = Software::from_recipe(&loaded.recipe, &locked, &patches)
        .map_err(|error| facts.error(error))?;
    software.libraries = libraries(facts, node)?;
    // Packages of a library that is bundled are not made here.
    if node == facts.product.node {
        let digests = loaded.installed_digests().into_iter();
        let owned = digests.map(|(file, digest)| (file.to_owned(), digest));
        software.installed = owned.collect();
    }
    Ok(software)
}

/// Returns the sources as they are locked. What could not be reached then is in the store by now.
fn locked_sources(
    facts: &Facts<'_>,
    recipe: &Recipe,
) -> Result<Vec<(LockedSource, Sha512)>, BuildError> {
    let shop = facts.shop;
    let lock = shop.project.recipe_lock(&recipe.name, shop.architecture)?;
    let lock = lock.ok_or_else(|| BuildError::NotLocked {
        file: shop
            .project
            .recipe_lock_path(&recipe.name, shop.architecture),
    })?;
    let complete = |source: LockedSource| {
        if let (Some(sha512), Some(_)) = (source.sha512, source.size) {
            return Ok((source, sha512));
        }
        let info = shop.store.blob_info(&source.sha256)?;
        let (sha512, size) = (Some(info.sha512), Some(info.size));
        let source = LockedSource {
            sha512,
            size,
            ..source
        };
        Ok((source, info.sha512))
    };
    lock.sources.into_iter().map(complete).collect()
}

fn libraries(facts: &Facts<'_>, node: &NodeId) -> Result<Vec<Library>, BuildError> {
    let recipe = &facts.shop.project.recipes[&node.recipe].recipe;
    let mut libraries = Vec::new();
    for (name, library) in &recipe.libraries {
        let linkage = Linkage::from(library.link);
        let decision = Decision::from(&library.decision);
        match &library.choice {
            Choice::Bundle { .. } => {
                let edges = &facts.product.graph.edges[node];
                let Some(edge) = edges.iter().find(|edge| edge.library == *name) else {
                    continue;
                };
                let packages = if node == facts.product.node {
                    facts
                        .packaged
                        .evidence
                        .packages_linking(&facts.packaged.stage, &edge.node.recipe)
                } else {
                    Vec::new()
                };
                libraries.push(Library::Bundled(BundledLibrary {
                    software: software(facts, &edge.node)?,
                    link: Link { linkage, packages },
                    decision,
                    files: private_files(facts, &edge.node)?,
                }));
            }
            Choice::System { package } => {
                let name_in_base = package.get(&Distribution::Debian).ok_or_else(|| {
                    facts.error(format!("`{name}` names no package of this distribution"))
                })?;
                let locked = facts.rootfs[node].package(name_in_base).ok_or_else(|| {
                    facts.error(format!("package `{name_in_base}` is not in the rootfs"))
                })?;
                libraries.push(Library::System(SystemLibrary {
                    library: name.clone(),
                    package: locked.clone(),
                    sha512: None,
                    distribution: distribution(facts)?,
                    license: None,
                    link: Link::of(linkage),
                    decision,
                }));
            }
            // Told of below, with the packages that it is in.
            Choice::Vendored { .. } => {}
        }
    }
    let stage = &facts.packaged.stage;
    let copies = vendored(facts.shop, facts.product).into_iter();
    for copy in copies.filter(|copy| *copy.consumer == node.recipe) {
        let packages = copy.packages(stage, &facts.packaged.evidence);
        // Not all of a bundled library need be in the product.
        if packages.is_empty() && !copy.is_own {
            continue;
        }
        libraries.push(Library::Vendored(VendoredLibrary {
            library: copy.library.clone(),
            version: copy.version.cloned(),
            license: copy.license.cloned(),
            path: copy.path.to_owned(),
            link: Link {
                linkage: Linkage::from(copy.link),
                packages,
            },
            decision: Decision::from(copy.decision),
        }));
    }
    Ok(libraries)
}

/// Returns the carried files of one bundled library, as they are in the packages: stripped.
fn private_files(facts: &Facts<'_>, node: &NodeId) -> Result<Vec<PrivateFile>, BuildError> {
    let stage = &facts.packaged.stage;
    let is_carried = |path: &str| {
        let staged = stage.files.get(path);
        staged.is_some_and(|staged| staged.library.as_ref() == Some(&node.recipe))
    };
    let mut files = Vec::new();
    for rpm in facts.rpms {
        let package = rpm.nevra().name().parse::<PackageName>();
        let package = package.map_err(|error| facts.error(error))?;
        for file in rpm.files().iter().filter(|file| is_carried(&file.path)) {
            if let PackagedFileKind::Regular {
                digest: Some(sha256),
            } = file.kind
            {
                let (path, package) = (file.path.clone(), package.clone());
                files.push(PrivateFile {
                    path,
                    package,
                    sha256,
                    sha512: None,
                });
            }
        }
    }
    Ok(files)
}

fn distribution(facts: &Facts<'_>) -> Result<DistributionRelease, BuildError> {
    let lock = facts.own_rootfs().base_lock();
    let lock = lock.ok_or_else(|| facts.error("its base image has no archive behind it"))?;
    DistributionRelease::from_archive(&lock.archive).map_err(|error| facts.error(error))
}

fn provenance(facts: &Facts<'_>, sboms: &[Document]) -> Result<Vec<u8>, BuildError> {
    let recipe = facts.recipe();
    let packaged = &facts.packaged.packaged;
    let rpms = packaged.rpms.iter().chain([&packaged.source_rpm]);
    let subjects = rpms.map(|rpm| Subject {
        name: rpm.file.clone(),
        sha256: rpm.sha256,
        sha512: rpm.sha512,
    });
    let byproducts = sboms.iter().map(|(path, bytes)| Byproduct {
        name: path.rsplit('/').next().unwrap_or(path).to_owned(),
        sha256: Digest::of(bytes),
    });
    let mut inputs = vec![Input::BaseImage {
        base: recipe.base.clone(),
        manifest: facts.own_rootfs().manifest,
    }];
    for node in facts.product.nodes() {
        inputs.extend(node_inputs(facts, &node)?);
    }
    let provenance = Provenance {
        subjects: subjects.collect(),
        recipe: recipe.name.clone(),
        base: recipe.base.clone(),
        architecture: facts.shop.architecture,
        step_runner: STEP_RUNNER_VERSION,
        source_date: recipe.planned().source_date,
        inputs,
        builder: BuilderId::local(),
        kiln_version: facts.line(KILN_VERSION)?,
        byproducts: byproducts.collect(),
    };
    Ok(provenance.render())
}

fn node_inputs(facts: &Facts<'_>, node: &NodeId) -> Result<Vec<Input>, BuildError> {
    let shop = facts.shop;
    let loaded = &shop.project.recipes[&node.recipe];
    let recipe = &loaded.recipe;
    let lock = shop
        .project
        .recipe_lock_path(&recipe.name, shop.architecture);
    let mut inputs = vec![
        Input::Recipe {
            recipe: recipe.name.clone(),
            sha256: loaded.digest,
        },
        Input::Lockfile {
            name: lock
                .strip_prefix(shop.project.root.join("lockfiles"))
                .unwrap_or(&lock)
                .to_string_lossy()
                .into_owned(),
            sha256: Digest::of(&fs_err::read(&lock)?),
        },
    ];
    for (source, sha512) in locked_sources(facts, recipe)? {
        inputs.push(Input::Source {
            url: source.url,
            sha256: source.sha256,
            sha512,
        });
    }
    for patch in &recipe.patches {
        inputs.push(Input::Patch {
            recipe: recipe.name.clone(),
            file: patch.file.clone(),
            sha256: patch.sha256,
        });
    }
    if node == facts.product.node {
        let installed = loaded.installed_digests().into_iter();
        inputs.extend(installed.map(|(file, sha256)| Input::InstalledFile {
            recipe: recipe.name.clone(),
            file: file.to_owned(),
            sha256,
        }));
    } else {
        let tree = facts.product.built[node].destdir;
        inputs.push(Input::Destdir {
            recipe: recipe.name.clone(),
            tree,
        });
    }
    Ok(inputs)
}

fn run_record(facts: &Facts<'_>, provenance: &[u8]) -> Result<Vec<u8>, BuildError> {
    let host = (facts.shop.host)();
    let time = |text: &str| text.parse().map_err(|error| facts.error(error));
    let mut steps = Vec::new();
    for node in facts.product.nodes() {
        let origin = if facts.fresh.contains(&node) {
            StepOrigin::Built
        } else {
            StepOrigin::Cached
        };
        for record in &facts.product.built[&node].steps {
            steps.push(step_record(facts, &node, record, origin)?);
        }
    }
    let origin = if facts.packaged.is_cached {
        StepOrigin::Cached
    } else {
        StepOrigin::Built
    };
    let step = &facts.packaged.packaged.step;
    steps.push(step_record(facts, facts.product.node, step, origin)?);
    let record = RunRecord {
        recipe: facts.recipe().name.clone(),
        kiln_version: facts.line(KILN_VERSION)?,
        provenance: Digest::of(provenance),
        started: time(facts.started)?,
        finished: time(&(facts.shop.clock)())?,
        isolation: facts.packaged.packaged.step.isolation.clone(),
        host: Host {
            name: host.name.clone(),
            kernel: host.kernel.clone(),
            kiln: host.kiln_digest,
        },
        steps,
    };
    Ok(record.render())
}

fn step_record(
    facts: &Facts<'_>,
    node: &NodeId,
    record: &StepRecord,
    origin: StepOrigin,
) -> Result<kiln_attest::StepRecord, BuildError> {
    let step = record.label.rsplit(' ').next().unwrap_or_default();
    let is_fresh = origin == StepOrigin::Built;
    Ok(kiln_attest::StepRecord {
        recipe: node.recipe.clone(),
        step: facts.line(step)?,
        origin,
        isolation: is_fresh.then(|| record.isolation.clone()),
        elapsed: is_fresh.then(|| std::time::Duration::from_millis(record.elapsed_ms)),
        peak_memory: record.peak_memory.filter(|_| is_fresh),
    })
}
