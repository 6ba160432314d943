//! SPDX 2.3: the whole document.
//!
//! ```text
//! DOCUMENT DESCRIBES product
//! product  CONTAINS rpm, bundled library, source, patch
//! product, rpm, library  STATIC_LINK, DYNAMIC_LINK or (headers only) DEPENDS_ON library
//! product, rpm, library  GENERATED_FROM source;  rpm CONTAINS bundled library
//! patch    PATCH_APPLIED product or library
//! ```
//!
//! Every element is reached from the document. `filesAnalyzed` is false throughout: files in SPDX 2.3
//! need a SHA-1, which says nothing. Facts without a key are annotations `NAME=VALUE`.

mod package;
mod schema;

use std::collections::BTreeSet;

use kiln_model::{LibraryName, RecipeName};
use uuid::Uuid;

use crate::bill::{BillOfMaterials, Linkage, Part, Use};
use crate::json;
use crate::license::license_refs;
use crate::party::Organization;
use crate::sbom::SbomFormat;
use package::Packages;
use schema::{CreationInfo, Document, ExtractedLicense, Relationship};

/// SPDX 2.3 as JSON.
#[derive(Debug, Clone, Copy)]
pub struct Spdx23;

impl SbomFormat for Spdx23 {
    fn name(&self) -> &'static str {
        "SPDX 2.3"
    }

    fn extension(&self) -> &'static str {
        ".spdx.json"
    }

    fn render(&self, bill: &BillOfMaterials) -> Vec<u8> {
        let mut document = document(bill);
        let uuid = Uuid::new_v5(&Uuid::NAMESPACE_URL, &json::encode(&document));
        document.document_namespace = format!(
            "https://spdx.org/spdxdocs/{}-{uuid}",
            crate::uri::encode_path(&document.name)
        );
        json::encode(&document)
    }
}

const DOCUMENT_ID: &str = "SPDXRef-DOCUMENT";

fn document(bill: &BillOfMaterials) -> Document {
    let software = &bill.product.software;
    let created = bill.timestamp.to_rfc3339();
    let tool = format!("Tool: kiln-{}", bill.kiln_version);
    let mut packages = Packages::new(&tool, &created).of(bill);
    packages.sort_by(|a, b| a.id.cmp(&b.id));
    Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT_ID,
        name: format!(
            "{}-{}-{}",
            software.recipe, software.version, software.release
        ),
        document_namespace: String::new(),
        creation_info: CreationInfo {
            created: created.clone(),
            creators: vec![actor(&bill.author), tool],
            comment: "made while building, from what the recipes pin and what the build produced"
                .to_owned(),
        },
        packages,
        has_extracted_licensing_infos: extracted_licenses(bill),
        relationships: relationships(bill),
    }
}

/// `Organization: NAME (EMAIL)`. A name that ends in brackets needs empty ones behind it.
fn actor(organization: &Organization) -> String {
    let name = &organization.name;
    match &organization.email {
        Some(email) => format!("Organization: {name} ({email})"),
        None if name.as_str().contains(['(', ')']) => format!("Organization: {name} ()"),
        None => format!("Organization: {name}"),
    }
}

/// SPDX ids hold only letters, digits, `.` and `-`: what is replaced comes back as a digest.
fn element_id(kind: &str, name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect();
    if plain == name {
        format!("SPDXRef-{kind}-{plain}")
    } else {
        let digits = kiln_model::Digest::of(name.as_bytes()).to_hex();
        format!("SPDXRef-{kind}-{plain}-{}", &digits[..12])
    }
}

fn product_id(bill: &BillOfMaterials) -> String {
    element_id("Product", bill.product.software.recipe.as_str())
}

fn bundled_id(recipe: &RecipeName) -> String {
    element_id("Bundled", recipe.as_str())
}

/// The id of the product, or of a library that it bundles.
fn software_id(bill: &BillOfMaterials, recipe: &RecipeName) -> String {
    if *recipe == bill.product.software.recipe {
        product_id(bill)
    } else {
        bundled_id(recipe)
    }
}

fn copy_id(recipe: &RecipeName, library: &LibraryName) -> String {
    element_id("Vendored", &format!("{recipe}/{library}"))
}

/// Ids of the sources and patches of one piece of software, in their order.
fn source_ids(part: &Part) -> Vec<String> {
    let recipe = &part.software.recipe;
    let name = |file: &str, digest: &kiln_model::Digest| {
        format!("{recipe}-{file}-{}", &digest.to_hex()[..12])
    };
    let sources = part.software.sources.iter();
    sources
        .map(|s| element_id("Source", &name(s.file_name(), &s.sha256)))
        .collect()
}

fn patch_ids(part: &Part) -> Vec<String> {
    let recipe = &part.software.recipe;
    let patches = part.software.patches.iter();
    patches
        .map(|patch| element_id("Patch", &format!("{recipe}/{}", patch.file)))
        .collect()
}

/// Collects relationships: sorted, none twice.
#[derive(Default)]
struct Relationships(BTreeSet<Relationship>);

impl Relationships {
    fn add(&mut self, from: &str, relationship_type: &'static str, to: &str) {
        self.0.insert(Relationship {
            spdx_element_id: from.to_owned(),
            relationship_type,
            related_spdx_element: to.to_owned(),
        });
    }

    fn add_part(&mut self, product: &str, id: &str, part: &Part) {
        for source in source_ids(part) {
            self.add(product, "CONTAINS", &source);
            self.add(id, "GENERATED_FROM", &source);
        }
        for patch in patch_ids(part) {
            self.add(product, "CONTAINS", &patch);
            self.add(&patch, "PATCH_APPLIED", id);
        }
    }

    fn add_uses(&mut self, bill: &BillOfMaterials, library: &str, uses: &BTreeSet<Use>) {
        for usage in uses {
            let kind = match usage.link.linkage {
                Linkage::Shared => "DYNAMIC_LINK",
                Linkage::Static => "STATIC_LINK",
                Linkage::HeaderOnly => "DEPENDS_ON",
            };
            let consumer = software_id(bill, &usage.consumer);
            self.add(&consumer, kind, library);
            for rpm in &usage.link.packages {
                self.add(&element_id("RPM", rpm.as_str()), kind, library);
            }
        }
    }
}

fn relationships(bill: &BillOfMaterials) -> Vec<Relationship> {
    let mut all = Relationships::default();
    let product = product_id(bill);
    all.add(DOCUMENT_ID, "DESCRIBES", &product);
    all.add_part(&product, &product, &bill.product);
    for rpm in &bill.rpms {
        let rpm = element_id("RPM", rpm.name.as_str());
        all.add(&product, "CONTAINS", &rpm);
        for source in source_ids(&bill.product) {
            all.add(&rpm, "GENERATED_FROM", &source);
        }
    }
    for (recipe, bundled) in &bill.bundled {
        let id = bundled_id(recipe);
        all.add(&product, "CONTAINS", &id);
        all.add_part(&product, &id, &bundled.part);
        all.add_uses(bill, &id, &bundled.uses);
        for rpm in bundled.carriers() {
            all.add(&element_id("RPM", rpm.as_str()), "CONTAINS", &id);
        }
    }
    for ((recipe, library), copied) in &bill.copies {
        let id = copy_id(recipe, library);
        all.add(&software_id(bill, recipe), "CONTAINS", &id);
        all.add_uses(bill, &id, &copied.uses);
    }
    for (package, system) in &bill.systems {
        all.add_uses(bill, &element_id("System", package.as_str()), &system.uses);
    }
    all.0.into_iter().collect()
}

/// SPDX 2.3 wants each `LicenseRef-…` explained in the document (clause 10).
fn extracted_licenses(bill: &BillOfMaterials) -> Vec<ExtractedLicense> {
    let parts =
        std::iter::once(&bill.product).chain(bill.bundled.values().map(|bundled| &bundled.part));
    let mut licenses: Vec<_> = parts
        .map(|part| &part.software.licensing)
        .flat_map(|licensing| [&licensing.declared, &licensing.concluded])
        .collect();
    licenses.extend(bill.rpms.iter().map(|rpm| &rpm.license));
    licenses.extend(
        bill.systems
            .values()
            .filter_map(|system| system.library.license.as_ref()),
    );
    licenses.extend(
        bill.copies
            .values()
            .filter_map(|copied| copied.library.license.as_ref()),
    );
    let names: BTreeSet<String> = licenses.into_iter().flat_map(license_refs).collect();
    names
        .into_iter()
        .map(|name| ExtractedLicense {
            extracted_text: format!("The text of {name} is in the source archive."),
            name: name.trim_start_matches("LicenseRef-").to_owned(),
            license_id: name,
        })
        .collect()
}
