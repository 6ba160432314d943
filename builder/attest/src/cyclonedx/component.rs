//! CycloneDX 1.6: one component at a time.

use kiln_model::{Digest, RecipeName, Sha512};

use super::schema::{
    Component, ComponentType, Contact, Diff, Entity, Evidence, ExternalReference, Hash, Identity,
    Issue, IssueSource, LicenseChoice, LicenseId, Occurrence, Patch, Pedigree,
};
use crate::bill::{BillOfMaterials, Bundled, Copied, Licensing, OutputRpm, Part, Software, System};
use crate::digest_list::{ListedFile, digest_list};
use crate::facts::{Fact, copy_facts, fact, rpm_facts, software_facts, system_facts, use_facts};
use crate::license::is_single_id;
use crate::party::Organization;
use crate::purl::{Purl, RpmIdentity};
use crate::uri::{encode_address, encode_path};

/// The product itself: `metadata.component`.
pub(super) fn product_component(bill: &BillOfMaterials) -> Component {
    let software = &bill.product.software;
    let mut component = Component::new(
        ComponentType::Application,
        super::product_ref(bill),
        software.recipe.as_str(),
        software.version.to_string(),
    );
    fill_in(&mut component, &bill.product, &bill.supplier);
    let names: Vec<String> = bill.rpms.iter().map(OutputRpm::file_name).collect();
    let files: Vec<ListedFile<'_>> = bill
        .rpms
        .iter()
        .zip(&names)
        .map(|(rpm, name)| ListedFile {
            name,
            sha256: &rpm.sha256,
            sha512: Some(&rpm.sha512),
        })
        .collect();
    add_digest_list(&mut component, &files, software);
    component
        .external_references
        .extend(bill.rpms.iter().map(distribution));
    component
        .properties
        .extend(bsi_properties(&names, FileKind::Package));
    finish(component)
}

/// One output RPM.
pub(super) fn rpm_component(bill: &BillOfMaterials, rpm: &OutputRpm) -> Component {
    let mut component = Component::new(
        ComponentType::Application,
        format!("rpm:{}", rpm.name),
        rpm.name.as_str(),
        rpm.evr(),
    );
    component.supplier = Some(entity(&bill.supplier));
    component.manufacturer = Some(entity(&bill.supplier));
    component.description = Some(rpm.summary.to_string());
    component.hashes = hashes(&rpm.sha256, Some(&rpm.sha512));
    let licensing = Licensing {
        declared: bill.product.software.licensing.declared.clone(),
        concluded: rpm.license.clone(),
    };
    add_licenses(&mut component, &licensing);
    component.copyright = bill
        .product
        .software
        .copyright
        .as_ref()
        .map(ToString::to_string);
    component.purl = Some(
        Purl::rpm(&RpmIdentity {
            vendor: &bill.rpm_vendor,
            name: &rpm.name,
            epoch: rpm.epoch,
            version_release: &rpm.version_release(),
            architecture: rpm.architecture,
        })
        .to_string(),
    );
    component.external_references.push(distribution(rpm));
    component.properties.extend(rpm_facts(rpm));
    component
        .properties
        .extend(bsi_properties(&[rpm.file_name()], FileKind::Package));
    finish(component)
}

/// A library that is carried in the RPMs.
pub(super) fn bundled_component(bill: &BillOfMaterials, bundled: &Bundled) -> Component {
    let software = &bundled.part.software;
    let mut component = Component::new(
        ComponentType::Library,
        format!("bundled:{}", software.recipe),
        software.library.as_str(),
        software.version.to_string(),
    );
    component.scope = Some("required");
    fill_in(&mut component, &bundled.part, &bill.supplier);
    let files: Vec<ListedFile<'_>> = bundled
        .files
        .iter()
        .map(|file| ListedFile {
            name: &file.path,
            sha256: &file.sha256,
            sha512: file.sha512.as_ref(),
        })
        .collect();
    add_digest_list(&mut component, &files, software);
    let occurrences = bundled.files.iter().map(|file| Occurrence {
        location: file.path.clone(),
        additional_context: format!("in RPM {}, {}", file.package, file.sha256),
    });
    let mut evidence = component.evidence.take().unwrap_or(Evidence {
        identity: vec![],
        occurrences: vec![],
    });
    evidence.occurrences.extend(occurrences);
    if !evidence.identity.is_empty() || !evidence.occurrences.is_empty() {
        component.evidence = Some(evidence);
    }
    component.properties.push(fact("kiln:choice", "bundle"));
    component.properties.extend(use_facts(&bundled.uses));
    let names: Vec<String> = bundled
        .files
        .iter()
        .map(|file| base_name(&file.path))
        .collect();
    component
        .properties
        .extend(bsi_properties(&names, FileKind::Code));
    finish(component)
}

/// A library that the operating system brings.
pub(super) fn system_component(system: &System) -> Component {
    let library = &system.library;
    let mut component = Component::new(
        ComponentType::Library,
        format!("system:{}", library.package.name),
        library.library.as_str(),
        library.package.version.clone(),
    );
    let vendor = Entity {
        name: library.distribution.vendor.to_string(),
        url: Vec::new(),
        contact: Vec::new(),
    };
    component.supplier = Some(vendor.clone());
    component.manufacturer = Some(vendor);
    component.scope = Some("required");
    component.purl = Some(system.purl.to_string());
    component.hashes = hashes(&library.package.sha256, library.sha512.as_ref());
    if let Some(license) = &library.license {
        let licensing = Licensing {
            declared: license.clone(),
            concluded: license.clone(),
        };
        add_licenses(&mut component, &licensing);
    }
    component.properties.extend(system_facts(system));
    component.properties.extend(bsi_properties(
        &[base_name(&library.package.path)],
        FileKind::Package,
    ));
    finish(component)
}

/// A copy of a library in a source tree.
pub(super) fn copied_component(
    bill: &BillOfMaterials,
    recipe: &RecipeName,
    copied: &Copied,
) -> Component {
    let library = &copied.library;
    let mut component = Component::new(
        ComponentType::Library,
        format!("vendored:{recipe}:{}", library.library),
        library.library.as_str(),
        library.version.as_ref().map(ToString::to_string),
    );
    component.supplier = Some(entity(&bill.supplier));
    component.scope = Some("required");
    component.purl = Some(copied.purl.to_string());
    if let Some(license) = &library.license {
        let licensing = Licensing {
            declared: license.clone(),
            concluded: license.clone(),
        };
        add_licenses(&mut component, &licensing);
    }
    component.properties.extend(copy_facts(recipe, copied));
    component
        .properties
        .extend(bsi_properties(&[], FileKind::Code));
    finish(component)
}

/// An organisation as CycloneDX has it.
pub(super) fn entity(organization: &Organization) -> Entity {
    let contact = organization.email.as_ref().map(|email| Contact {
        name: organization.name.to_string(),
        email: Some(email.to_string()),
    });
    Entity {
        name: organization.name.to_string(),
        url: organization.url.iter().map(ToString::to_string).collect(),
        contact: contact.into_iter().collect(),
    }
}

fn fill_in(component: &mut Component, part: &Part, supplier: &Organization) {
    let software = &part.software;
    component.supplier = Some(entity(supplier));
    component.manufacturer = Some(entity(&software.producer));
    component.description = Some(software.summary.to_string());
    add_licenses(component, &software.licensing);
    component.copyright = software.copyright.as_ref().map(ToString::to_string);
    component.purl = Some(part.purl.to_string());
    component.cpe = part.cpes.first().map(ToString::to_string);
    if part.cpes.len() > 1 {
        let identity = part.cpes.iter().map(|cpe| Identity {
            field: "cpe",
            confidence: 1,
            concluded_value: cpe.to_string(),
        });
        component.evidence = Some(Evidence {
            identity: identity.collect(),
            occurrences: vec![],
        });
    }
    component.pedigree = pedigree(software);
    add_references(component, software);
    component.properties.extend(software_facts(software));
}

fn pedigree(software: &Software) -> Option<Pedigree> {
    let patches: Vec<Patch> = software
        .patches
        .iter()
        .map(|patch| Patch {
            kind: if patch.resolves.is_empty() {
                "unofficial"
            } else {
                "backport"
            },
            diff: Diff {
                url: patch_url(software, &patch.file),
            },
            resolves: patch
                .resolves
                .iter()
                .map(|cve| Issue {
                    kind: "security",
                    id: cve.to_string(),
                    source: IssueSource {
                        name: "CVE",
                        url: format!("https://www.cve.org/CVERecord?id={cve}"),
                    },
                })
                .collect(),
        })
        .collect();
    (!patches.is_empty()).then_some(Pedigree { patches })
}

fn patch_url(software: &Software, file: &str) -> String {
    encode_path(&format!("recipes/{}/{file}", software.recipe))
}

fn add_references(component: &mut Component, software: &Software) {
    if let Some(homepage) = &software.homepage {
        component.external_references.push(ExternalReference {
            kind: "website",
            url: homepage.to_string(),
            comment: None,
            hashes: Vec::new(),
        });
    }
    for source in &software.sources {
        let locations = std::iter::once((&source.url, "source")).chain(
            source
                .mirrors
                .iter()
                .map(|mirror| (mirror, "mirror of the source")),
        );
        component
            .external_references
            .extend(locations.map(|(location, role)| ExternalReference {
                kind: "source-distribution",
                url: encode_address(&location.to_string()),
                comment: Some(format!("{role} {}", source.file_name())),
                hashes: hashes(&source.sha256, Some(&source.sha512)),
            }));
    }
    component
        .external_references
        .extend(software.patches.iter().map(|patch| ExternalReference {
            kind: "other",
            url: patch_url(software, &patch.file),
            comment: Some(format!("patch {}", patch.file)),
            hashes: hashes(&patch.sha256, Some(&patch.sha512)),
        }));
}

fn distribution(rpm: &OutputRpm) -> ExternalReference {
    ExternalReference {
        kind: "distribution",
        url: encode_path(&rpm.file_name()),
        comment: None,
        hashes: hashes(&rpm.sha256, Some(&rpm.sha512)),
    }
}

fn hashes(sha256: &Digest, sha512: Option<&Sha512>) -> Vec<Hash> {
    let mut hashes = vec![Hash {
        alg: "SHA-256",
        content: sha256.to_hex(),
    }];
    hashes.extend(sha512.map(|sha512| Hash {
        alg: "SHA-512",
        content: sha512.to_hex(),
    }));
    hashes
}

/// A static library has no file of its own: its sources stand for it, and a property says so.
fn add_digest_list(component: &mut Component, files: &[ListedFile<'_>], software: &Software) {
    let sources: Vec<ListedFile<'_>> = software
        .sources
        .iter()
        .map(|source| ListedFile {
            name: source.file_name(),
            sha256: &source.sha256,
            sha512: Some(&source.sha512),
        })
        .collect();
    let (of, listed) = if files.is_empty() {
        ("sources", &*sources)
    } else {
        ("files", files)
    };
    if let Some((sha256, sha512)) = digest_list(listed) {
        component.hashes = hashes(&sha256, sha512.as_ref());
        component.properties.push(fact("kiln:hashes-of", of));
    }
}

fn add_licenses(component: &mut Component, licensing: &Licensing) {
    let Licensing {
        declared,
        concluded,
    } = licensing;
    if is_single_id(declared) && is_single_id(concluded) {
        component.licenses = [("declared", declared), ("concluded", concluded)]
            .map(|(acknowledgement, license)| LicenseChoice::Id {
                license: LicenseId {
                    id: license.to_string(),
                    acknowledgement: Some(acknowledgement),
                },
            })
            .into();
    } else {
        component.licenses = vec![LicenseChoice::Expression {
            expression: concluded.to_string(),
            acknowledgement: "concluded",
        }];
        component
            .properties
            .push(fact("kiln:license:declared", declared));
    }
}

/// What BSI TR-03183-2 wants to know of a component's files.
enum FileKind {
    /// A package: an archive with a structure, not itself run.
    Package,
    /// Compiled code.
    Code,
}

fn bsi_properties(file_names: &[String], kind: FileKind) -> Vec<Fact> {
    let (executable, archive) = match kind {
        FileKind::Package => ("non-executable", "archive"),
        FileKind::Code => ("executable", "no archive"),
    };
    let mut properties = vec![
        fact("bsi:component:executable", executable),
        fact("bsi:component:archive", archive),
        fact("bsi:component:structured", "structured"),
    ];
    let names = file_names
        .iter()
        .map(|name| fact("bsi:component:filename", name));
    properties.extend(names);
    properties
}

fn base_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Sorts the lists that were filled in as facts came up.
fn finish(mut component: Component) -> Component {
    component.properties.sort();
    component.properties.dedup();
    component
        .external_references
        .sort_by(|a, b| (a.kind, &a.url, &a.comment).cmp(&(b.kind, &b.url, &b.comment)));
    component
}
