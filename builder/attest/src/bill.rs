//! Everything that an SBOM states, checked and sorted once: what the formats render.
//!
//! A caller fills in [`Contents`] as it comes, a tree: the product has libraries, a bundled library
//! has its own. [`BillOfMaterials::new`] makes a graph of it in which each bundled recipe and each
//! distribution package stands once, with the list of who uses it.

mod contents;
mod from_recipe;

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::{
    DistributionPackage, LibraryName, Line, PackageName, RecipeName, SourceDateEpoch,
};

pub use contents::{
    BundledLibrary, Completeness, Contents, Decision, DistributionRelease, Library, Licensing,
    Link, Linkage, OutputRpm, Patch, PrivateFile, Product, RpmArchitecture, Software, Source,
    SystemLibrary, VendoredLibrary,
};

pub use from_recipe::{DistributionError, SoftwareError};

use crate::cpe::Cpe;
use crate::party::Organization;
use crate::purl::{Purl, PurlError};

/// Says why contents do not make a bill of materials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BillError {
    /// The product has no RPM.
    #[error("expected at least one RPM of `{product}`")]
    NoRpm {
        /// The product.
        product: RecipeName,
    },
    /// Two RPMs have one name.
    #[error("the RPM `{package}` of `{product}` is listed twice")]
    DuplicateRpm {
        /// The product.
        product: RecipeName,
        /// The RPM's name.
        package: PackageName,
    },
    /// A library is said to be in, or linked by, an RPM that is not listed.
    #[error("`{library}` names the RPM `{package}`, which `{product}` does not have")]
    UnknownRpm {
        /// The product.
        product: RecipeName,
        /// The library's recipe or package.
        library: String,
        /// The name that no RPM has.
        package: PackageName,
    },
    /// One recipe is bundled twice with different facts.
    #[error("`{recipe}` is bundled twice in `{product}` with different contents")]
    Conflict {
        /// The product.
        product: RecipeName,
        /// The bundled recipe.
        recipe: RecipeName,
    },
    /// One distribution package is used twice with different facts.
    #[error("the package `{package}` is used twice in `{product}` with different contents")]
    PackageConflict {
        /// The product.
        product: RecipeName,
        /// The distribution's package.
        package: DistributionPackage,
    },
    /// One recipe has two copies of one library.
    #[error("`{recipe}` has two copies of `{library}`")]
    TwoCopies {
        /// The recipe with the source tree.
        recipe: RecipeName,
        /// The library.
        library: LibraryName,
    },
    /// A product bundles itself.
    #[error("`{product}` bundles itself")]
    Itself {
        /// The product.
        product: RecipeName,
    },
    /// A component's name breaks a rule of its purl type.
    #[error("`{recipe}` has a purl that can not be completed")]
    Purl {
        /// The recipe.
        recipe: RecipeName,
        /// Why.
        #[source]
        source: PurlError,
    },
}

/// A product, its RPMs and all that is in them, ready to be rendered: names resolve, lists are
/// sorted, nothing stands twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillOfMaterials {
    pub(crate) author: Organization,
    pub(crate) kiln_version: Line,
    pub(crate) timestamp: SourceDateEpoch,
    pub(crate) supplier: Organization,
    pub(crate) rpm_vendor: PackageName,
    pub(crate) completeness: Completeness,
    pub(crate) product: Part,
    /// By name.
    pub(crate) rpms: Vec<OutputRpm>,
    pub(crate) bundled: BTreeMap<RecipeName, Bundled>,
    pub(crate) systems: BTreeMap<DistributionPackage, System>,
    /// By the recipe with the source tree, and by library.
    pub(crate) copies: BTreeMap<(RecipeName, LibraryName), Copied>,
}

/// A piece of upstream software with what follows from its facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// `libraries` is empty: uses stand with what is used.
    pub(crate) software: Software,
    pub(crate) purl: Purl,
    /// Of each of `software.sources`, in their order.
    pub(crate) source_purls: Vec<Purl>,
    pub(crate) cpes: Vec<Cpe>,
}

/// Who uses a library, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) consumer: RecipeName,
    pub(crate) link: Link,
    pub(crate) decision: Decision,
}

/// A library that is built from a recipe and carried in the RPMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bundled {
    pub(crate) part: Part,
    pub(crate) files: Vec<PrivateFile>,
    pub(crate) uses: BTreeSet<Use>,
}

/// A library that the operating system brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct System {
    pub(crate) library: SystemLibrary,
    pub(crate) purl: Purl,
    pub(crate) uses: BTreeSet<Use>,
}

/// A copy of a library in a source tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copied {
    pub(crate) library: VendoredLibrary,
    pub(crate) purl: Purl,
    /// One: by the recipe with the source tree.
    pub(crate) uses: BTreeSet<Use>,
}

impl Bundled {
    /// Returns the RPMs that carry a file of this library, sorted.
    pub(crate) fn carriers(&self) -> BTreeSet<&PackageName> {
        self.files.iter().map(|file| &file.package).collect()
    }
}

impl BillOfMaterials {
    /// Checks and sorts `contents`.
    ///
    /// # Errors
    /// When names do not resolve or facts contradict each other.
    pub fn new(contents: Contents) -> Result<Self, BillError> {
        let Contents {
            author,
            kiln_version,
            timestamp,
            product,
            completeness,
        } = contents;
        let Product {
            mut software,
            supplier,
            rpm_vendor,
            mut rpms,
        } = product;
        let name = software.recipe.clone();
        rpms.sort_by(|a, b| a.name.cmp(&b.name));
        check_rpms(&name, &rpms)?;
        let libraries = std::mem::take(&mut software.libraries);
        let mut graph = Graph {
            product: &name,
            rpms: rpms.iter().map(|rpm| &rpm.name).collect(),
            bundled: BTreeMap::new(),
            systems: BTreeMap::new(),
            copies: BTreeMap::new(),
        };
        graph.add_all(&name, libraries)?;
        let (bundled, systems, copies) = (graph.bundled, graph.systems, graph.copies);
        Ok(Self {
            author,
            kiln_version,
            timestamp,
            supplier,
            rpm_vendor,
            completeness,
            product: part(software)?,
            rpms,
            bundled,
            systems,
            copies,
        })
    }
}

fn check_rpms(product: &RecipeName, rpms: &[OutputRpm]) -> Result<(), BillError> {
    if rpms.is_empty() {
        return Err(BillError::NoRpm {
            product: product.clone(),
        });
    }
    match rpms.windows(2).find(|pair| pair[0].name == pair[1].name) {
        None => Ok(()),
        Some(pair) => Err(BillError::DuplicateRpm {
            product: product.clone(),
            package: pair[0].name.clone(),
        }),
    }
}

/// The graph while it is made from the tree.
struct Graph<'a> {
    product: &'a RecipeName,
    rpms: BTreeSet<&'a PackageName>,
    bundled: BTreeMap<RecipeName, Bundled>,
    systems: BTreeMap<DistributionPackage, System>,
    copies: BTreeMap<(RecipeName, LibraryName), Copied>,
}

impl Graph<'_> {
    fn add_all(&mut self, consumer: &RecipeName, libraries: Vec<Library>) -> Result<(), BillError> {
        libraries.into_iter().try_for_each(|library| match library {
            Library::Bundled(library) => self.add_bundled(consumer, library),
            Library::System(library) => self.add_system(consumer, library),
            Library::Vendored(library) => self.add_copy(consumer, library),
        })
    }

    fn add_copy(
        &mut self,
        consumer: &RecipeName,
        mut library: VendoredLibrary,
    ) -> Result<(), BillError> {
        self.check_names(library.library.as_str(), library.link.packages.iter())?;
        let facts_without_use = Link::of(library.link.linkage);
        let link = std::mem::replace(&mut library.link, facts_without_use);
        let decision = std::mem::replace(&mut library.decision, Decision::UNRECORDED);
        let copied = Copied {
            purl: Purl::copy(&library.library, library.version.as_ref()),
            uses: BTreeSet::from([usage(consumer, link, decision)]),
            library,
        };
        let key = (consumer.clone(), copied.library.library.clone());
        // A recipe that several bundle is told of more than once, with the same facts.
        match self.copies.insert(key, copied.clone()) {
            Some(earlier) if earlier != copied => Err(BillError::TwoCopies {
                recipe: consumer.clone(),
                library: copied.library.library,
            }),
            _ => Ok(()),
        }
    }

    fn add_bundled(
        &mut self,
        consumer: &RecipeName,
        library: BundledLibrary,
    ) -> Result<(), BillError> {
        let BundledLibrary {
            mut software,
            link,
            decision,
            mut files,
        } = library;
        let recipe = software.recipe.clone();
        if recipe == *self.product {
            return Err(BillError::Itself { product: recipe });
        }
        let carriers = files.iter().map(|file| &file.package);
        self.check_names(recipe.as_str(), carriers.chain(&link.packages))?;
        let own = std::mem::take(&mut software.libraries);
        files.sort();
        files.dedup();
        let part = part(software)?;
        let entry = self
            .bundled
            .entry(recipe.clone())
            .or_insert_with(|| Bundled {
                part: part.clone(),
                files: files.clone(),
                uses: BTreeSet::new(),
            });
        if entry.part != part || entry.files != files {
            return Err(BillError::Conflict {
                product: self.product.clone(),
                recipe,
            });
        }
        entry.uses.insert(usage(consumer, link, decision));
        self.add_all(&recipe, own)
    }

    fn add_system(
        &mut self,
        consumer: &RecipeName,
        mut library: SystemLibrary,
    ) -> Result<(), BillError> {
        let name = library.package.name.clone();
        self.check_names(name.as_str(), library.link.packages.iter())?;
        let facts_without_use = Link::of(library.link.linkage);
        let link = std::mem::replace(&mut library.link, facts_without_use);
        let decision = std::mem::replace(&mut library.decision, Decision::UNRECORDED);
        let purl = Purl::deb(&library.distribution, &library.package);
        let entry = self.systems.entry(name.clone()).or_insert_with(|| System {
            library: library.clone(),
            purl,
            uses: BTreeSet::new(),
        });
        let is_same = entry.library.library == library.library
            && entry.library.package == library.package
            && entry.library.sha512 == library.sha512
            && entry.library.distribution == library.distribution
            && entry.library.license == library.license;
        if !is_same {
            return Err(BillError::PackageConflict {
                product: self.product.clone(),
                package: name,
            });
        }
        entry.uses.insert(usage(consumer, link, decision));
        Ok(())
    }

    fn check_names<'n>(
        &self,
        library: &str,
        mut names: impl Iterator<Item = &'n PackageName>,
    ) -> Result<(), BillError> {
        match names.find(|name| !self.rpms.contains(name)) {
            None => Ok(()),
            Some(package) => Err(BillError::UnknownRpm {
                product: self.product.clone(),
                library: library.to_owned(),
                package: package.clone(),
            }),
        }
    }
}

fn usage(consumer: &RecipeName, mut link: Link, decision: Decision) -> Use {
    link.packages.sort();
    link.packages.dedup();
    Use {
        consumer: consumer.clone(),
        link,
        decision,
    }
}

fn part(mut software: Software) -> Result<Part, BillError> {
    for source in &mut software.sources {
        source.mirrors.sort();
        source.mirrors.dedup();
    }
    software
        .sources
        .sort_by(|a, b| (a.file_name(), a.sha256).cmp(&(b.file_name(), b.sha256)));
    software.sources.dedup();
    for patch in &mut software.patches {
        patch.resolves.sort();
        patch.resolves.dedup();
    }
    let only_source = match software.sources.as_slice() {
        [source] => Some(source),
        _ => None,
    };
    let error = |source| BillError::Purl {
        recipe: software.recipe.clone(),
        source,
    };
    let purl_of = |source| Purl::upstream(&software.purl, &software.version, source);
    let purl = purl_of(only_source).map_err(error)?;
    let source_purls = software
        .sources
        .iter()
        .map(|source| purl_of(Some(source)).map_err(error))
        .collect::<Result<_, _>>()?;
    let cpes = software
        .cpes
        .iter()
        .map(|product| Cpe::new(product, &software.version))
        .collect();
    Ok(Part {
        software,
        purl,
        source_purls,
        cpes,
    })
}
