//! CycloneDX 1.6: the whole document.
//!
//! The product is `metadata.component`; its RPMs, what it bundles and what it takes from the
//! operating system are `components`, sorted by `bom-ref`. Every reference has a `dependencies`
//! entry, a leaf an empty one. What 1.6 has no key for stands in properties: `kiln:…` (facts.rs)
//! and the four `bsi:component:…` of BSI TR-03183-2.
//!
//! `licenses` of 1.6 is a list of ids or exactly one expression: two ids say declared and concluded;
//! for compound licences the concluded expression stands there and the declared one in a property.

mod component;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::bill::{BillOfMaterials, Completeness};
use crate::json;
use crate::sbom::SbomFormat;
use component::{
    bundled_component, copied_component, entity, product_component, rpm_component, system_component,
};
use schema::{
    Bom, Component, ComponentType, Composition, Contact, Dependency, LicenseChoice, LicenseId,
    Lifecycle, Metadata, Tools,
};

/// CycloneDX 1.6 as JSON.
#[derive(Debug, Clone, Copy)]
pub struct CycloneDx16;

impl SbomFormat for CycloneDx16 {
    fn name(&self) -> &'static str {
        "CycloneDX 1.6"
    }

    fn extension(&self) -> &'static str {
        ".cdx.json"
    }

    fn render(&self, bill: &BillOfMaterials) -> Vec<u8> {
        let mut bom = bom(bill);
        let uuid = Uuid::new_v5(&Uuid::NAMESPACE_URL, &json::encode(&bom));
        bom.serial_number = Some(uuid.urn().to_string());
        json::encode(&bom)
    }
}

fn bom(bill: &BillOfMaterials) -> Bom {
    let mut components: Vec<Component> = Vec::new();
    components.extend(bill.rpms.iter().map(|rpm| rpm_component(bill, rpm)));
    components.extend(
        bill.bundled
            .values()
            .map(|bundled| bundled_component(bill, bundled)),
    );
    components.extend(bill.systems.values().map(system_component));
    let copies = bill.copies.iter();
    components.extend(copies.map(|((recipe, _), copied)| copied_component(bill, recipe, copied)));
    components.sort_by(|a, b| a.bom_ref.cmp(&b.bom_ref));
    Bom {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: None,
        version: 1,
        metadata: metadata(bill),
        components,
        dependencies: dependencies(bill),
        compositions: compositions(bill),
    }
}

fn metadata(bill: &BillOfMaterials) -> Metadata {
    let mut kiln = Component::new(
        ComponentType::Application,
        "tool:kiln".to_owned(),
        "kiln",
        bill.kiln_version.to_string(),
    );
    kiln.bom_ref = None;
    Metadata {
        timestamp: bill.timestamp.to_rfc3339(),
        lifecycles: vec![Lifecycle { phase: "build" }],
        tools: Tools {
            components: vec![kiln],
        },
        manufacturer: entity(&bill.author),
        authors: vec![Contact {
            name: bill.author.name.to_string(),
            email: bill.author.email.as_ref().map(ToString::to_string),
        }],
        component: product_component(bill),
        supplier: entity(&bill.supplier),
        licenses: vec![LicenseChoice::Id {
            license: LicenseId {
                id: "CC0-1.0".to_owned(),
                acknowledgement: None,
            },
        }],
    }
}

fn product_ref(bill: &BillOfMaterials) -> String {
    format!("product:{}", bill.product.software.recipe)
}

fn dependencies(bill: &BillOfMaterials) -> Vec<Dependency> {
    let product = product_ref(bill);
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    graph.entry(product.clone()).or_default();
    for rpm in &bill.rpms {
        let reference = format!("rpm:{}", rpm.name);
        graph
            .entry(product.clone())
            .or_default()
            .insert(reference.clone());
        graph.entry(reference).or_default();
    }
    let bundled = bill.bundled.iter().map(|(recipe, bundled)| {
        (
            format!("bundled:{recipe}"),
            &bundled.uses,
            bundled.carriers(),
        )
    });
    let systems = bill
        .systems
        .iter()
        .map(|(package, system)| (format!("system:{package}"), &system.uses, BTreeSet::new()));
    let copies = bill.copies.iter().map(|((recipe, library), copied)| {
        (
            format!("vendored:{recipe}:{library}"),
            &copied.uses,
            BTreeSet::new(),
        )
    });
    for (library, uses, carriers) in bundled.chain(systems).chain(copies) {
        graph.entry(library.clone()).or_default();
        for rpm in carriers {
            graph
                .entry(format!("rpm:{rpm}"))
                .or_default()
                .insert(library.clone());
        }
        for usage in uses {
            let consumer = if usage.consumer == bill.product.software.recipe {
                product.clone()
            } else {
                format!("bundled:{}", usage.consumer)
            };
            graph.entry(consumer).or_default().insert(library.clone());
            for rpm in &usage.link.packages {
                graph
                    .entry(format!("rpm:{rpm}"))
                    .or_default()
                    .insert(library.clone());
            }
        }
    }
    graph
        .into_iter()
        .map(|(reference, depends_on)| Dependency {
            reference,
            depends_on: depends_on.into_iter().collect(),
        })
        .collect()
}

/// What the product is made of is known as far as its maker says; what a distribution's package or a copy
/// in a source tree is made of is not kiln's to say.
fn compositions(bill: &BillOfMaterials) -> Vec<Composition> {
    let known = match bill.completeness {
        Completeness::Complete => "complete",
        Completeness::Incomplete => "incomplete",
        Completeness::Unknown => "unknown",
    };
    let mut refs = vec![product_ref(bill)];
    refs.extend(bill.rpms.iter().map(|rpm| format!("rpm:{}", rpm.name)));
    refs.extend(
        bill.bundled
            .keys()
            .map(|recipe| format!("bundled:{recipe}")),
    );
    let foreign = bill
        .systems
        .keys()
        .map(|package| format!("system:{package}"));
    let copies = bill.copies.keys();
    let foreign =
        foreign.chain(copies.map(|(recipe, library)| format!("vendored:{recipe}:{library}")));
    let mut by_aggregate: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    by_aggregate.entry(known).or_default().extend(refs);
    by_aggregate.entry("unknown").or_default().extend(foreign);
    by_aggregate
        .into_iter()
        .filter(|(_, refs)| !refs.is_empty())
        .map(|(aggregate, mut refs)| {
            refs.sort();
            Composition {
                aggregate,
                assemblies: refs.clone(),
                dependencies: refs,
            }
        })
        .collect()
}
