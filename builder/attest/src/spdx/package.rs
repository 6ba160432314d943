//! SPDX 2.3: one package at a time.

use kiln_model::{Digest, LicenseExpression, Location, RecipeName, Sha512};

use super::schema::{Annotation, Checksum, ExternalRef, Package};
use super::{actor, bundled_id, copy_id, element_id, patch_ids, product_id, source_ids};
use crate::bill::{BillOfMaterials, Bundled, Copied, OutputRpm, Part, System};
use crate::facts::{Fact, copy_facts, fact, rpm_facts, software_facts, system_facts, use_facts};
use crate::purl::{Purl, RpmIdentity};

const UNKNOWN: &str = "NOASSERTION";

/// Writes packages; every annotation of a document has the same author and time.
pub(super) struct Packages<'a> {
    tool: &'a str,
    created: &'a str,
}

impl<'a> Packages<'a> {
    pub(super) fn new(tool: &'a str, created: &'a str) -> Self {
        Self { tool, created }
    }

    /// Every package of the document, unsorted.
    pub(super) fn of(&self, bill: &BillOfMaterials) -> Vec<Package> {
        let mut product = self.part(bill, product_id(bill), &bill.product, "APPLICATION");
        bill.product
            .software
            .recipe
            .as_str()
            .clone_into(&mut product.name);
        let mut packages = vec![product];
        packages.extend(self.sources_and_patches(bill, &bill.product));
        packages.extend(bill.rpms.iter().map(|rpm| self.rpm(bill, rpm)));
        for bundled in bill.bundled.values() {
            packages.push(self.bundled(bill, bundled));
            packages.extend(self.sources_and_patches(bill, &bundled.part));
        }
        packages.extend(bill.systems.values().map(|system| self.system(system)));
        let copies = bill.copies.iter();
        packages.extend(copies.map(|((recipe, _), copied)| self.copied(bill, recipe, copied)));
        packages
    }

    fn part(
        &self,
        bill: &BillOfMaterials,
        id: String,
        part: &Part,
        purpose: &'static str,
    ) -> Package {
        let software = &part.software;
        let mut package = blank(
            id,
            software.library.as_str(),
            software.version.to_string(),
            purpose,
        );
        package.supplier = actor(&bill.supplier);
        package.originator = Some(actor(&software.producer));
        if let [source] = software.sources.as_slice() {
            package.download_location = download_location(&source.url);
            package.release_date = source.released.map(|day| day.midnight_utc().to_rfc3339());
        }
        package.homepage = software.homepage.as_ref().map(ToString::to_string);
        package.license_declared = software.licensing.declared.to_string();
        package.license_concluded = software.licensing.concluded.to_string();
        package.copyright_text = text_or_unknown(software.copyright.as_ref());
        package.summary = Some(software.summary.to_string());
        package.external_refs = part
            .cpes
            .iter()
            .map(|cpe| ExternalRef {
                reference_category: "SECURITY",
                reference_type: "cpe23Type",
                reference_locator: cpe.to_string(),
            })
            .collect();
        package.external_refs.insert(0, purl_ref(&part.purl));
        package.annotations = self.annotations(software_facts(software));
        package
    }

    fn rpm(&self, bill: &BillOfMaterials, rpm: &OutputRpm) -> Package {
        let id = element_id("RPM", rpm.name.as_str());
        let mut package = blank(id, rpm.name.as_str(), rpm.evr(), "INSTALL");
        let software = &bill.product.software;
        package.package_file_name = Some(rpm.file_name());
        package.supplier = actor(&bill.supplier);
        package.originator = Some(actor(&bill.supplier));
        package.checksums = checksums(&rpm.sha256, Some(&rpm.sha512));
        package.homepage = software.homepage.as_ref().map(ToString::to_string);
        package.license_declared = software.licensing.declared.to_string();
        package.license_concluded = rpm.license.to_string();
        package.copyright_text = text_or_unknown(software.copyright.as_ref());
        package.summary = Some(rpm.summary.to_string());
        package.external_refs = vec![purl_ref(&Purl::rpm(&RpmIdentity {
            vendor: &bill.rpm_vendor,
            name: &rpm.name,
            epoch: rpm.epoch,
            version_release: &rpm.version_release(),
            architecture: rpm.architecture,
        }))];
        package.annotations = self.annotations(rpm_facts(rpm));
        package
    }

    fn bundled(&self, bill: &BillOfMaterials, bundled: &Bundled) -> Package {
        let id = bundled_id(&bundled.part.software.recipe);
        let mut package = self.part(bill, id, &bundled.part, "LIBRARY");
        if let [file] = bundled.files.as_slice() {
            package.checksums = checksums(&file.sha256, file.sha512.as_ref());
        }
        let mut facts = vec![fact("kiln:choice", "bundle")];
        facts.extend(use_facts(&bundled.uses));
        facts.extend(bundled.files.iter().map(|file| {
            let value = format!("{} {} {}", file.sha256, file.package, file.path);
            fact("kiln:file", value)
        }));
        package.annotations.extend(self.annotations(facts));
        package
            .annotations
            .sort_by(|a, b| a.comment.cmp(&b.comment));
        package
    }

    fn system(&self, system: &System) -> Package {
        let library = &system.library;
        let id = element_id("System", library.package.name.as_str());
        let mut package = blank(
            id,
            library.library.as_str(),
            library.package.version.clone(),
            "LIBRARY",
        );
        package.package_file_name = library.package.path.rsplit('/').next().map(str::to_owned);
        package.supplier = format!("Organization: {}", library.distribution.vendor);
        package.originator = Some(package.supplier.clone());
        package.checksums = checksums(&library.package.sha256, library.sha512.as_ref());
        let license = text_or_unknown::<LicenseExpression>(library.license.as_ref());
        package.license_declared.clone_from(&license);
        package.license_concluded = license;
        package.external_refs = vec![purl_ref(&system.purl)];
        package.annotations = self.annotations(system_facts(system));
        package
    }

    fn copied(&self, bill: &BillOfMaterials, recipe: &RecipeName, copied: &Copied) -> Package {
        let library = &copied.library;
        let id = copy_id(recipe, &library.library);
        let version = library.version.as_ref();
        // Readers that look for NTIA's minimum elements want some text here.
        let version = text_or_unknown(version);
        let mut package = blank(id, library.library.as_str(), version, "LIBRARY");
        package.supplier = actor(&bill.supplier);
        let license = text_or_unknown::<LicenseExpression>(library.license.as_ref());
        package.license_declared.clone_from(&license);
        package.license_concluded = license;
        package.external_refs = vec![purl_ref(&copied.purl)];
        package.annotations = self.annotations(copy_facts(recipe, copied));
        package
    }

    fn sources_and_patches(&self, bill: &BillOfMaterials, part: &Part) -> Vec<Package> {
        let software = &part.software;
        let mut packages = Vec::new();
        let with_ids = source_ids(part)
            .into_iter()
            .zip(&software.sources)
            .zip(&part.source_purls);
        for ((id, source), purl) in with_ids {
            let version = software.version.to_string();
            let mut package = blank(id, source.file_name(), version, "SOURCE");
            package.package_file_name = Some(source.file_name().to_owned());
            package.supplier = actor(&software.producer);
            package.originator = Some(actor(&software.producer));
            package.download_location = download_location(&source.url);
            package.checksums = checksums(&source.sha256, Some(&source.sha512));
            let places = std::iter::once(&source.url).chain(&source.mirrors);
            let places: Vec<String> = places.map(ToString::to_string).collect();
            package.source_info = Some(format!("offered at: {}", places.join(" ")));
            package.license_declared = software.licensing.declared.to_string();
            package.license_concluded = software.licensing.concluded.to_string();
            package.copyright_text = text_or_unknown(software.copyright.as_ref());
            package.comment = source.repacked.as_ref().map(|repacked| {
                let (by, upstream, note) = (&repacked.by, &repacked.upstream, &repacked.note);
                format!("repacked by {by} from {upstream}: {note}")
            });
            package.external_refs = vec![purl_ref(purl)];
            package.release_date = source.released.map(|day| day.midnight_utc().to_rfc3339());
            packages.push(package);
        }
        for (id, patch) in patch_ids(part).into_iter().zip(&software.patches) {
            let mut package = blank(id, &patch.file, patch.sha256.to_string(), "FILE");
            let name = patch.file.rsplit('/').next();
            package.package_file_name = name.map(str::to_owned);
            package.supplier = actor(&bill.supplier);
            package.checksums = checksums(&patch.sha256, Some(&patch.sha512));
            let resolved: Vec<String> = patch.resolves.iter().map(ToString::to_string).collect();
            package.comment =
                (!resolved.is_empty()).then(|| format!("resolves {}", resolved.join(", ")));
            packages.push(package);
        }
        packages
    }

    fn annotations(&self, mut facts: Vec<Fact>) -> Vec<Annotation> {
        facts.sort();
        facts.dedup();
        facts
            .into_iter()
            .map(|Fact { name, value }| Annotation {
                annotation_type: "OTHER",
                annotator: self.tool.to_owned(),
                annotation_date: self.created.to_owned(),
                comment: format!("{name}={value}"),
            })
            .collect()
    }
}

/// A package of which nothing is known but what every package must say.
fn blank(id: String, name: &str, version: String, purpose: &'static str) -> Package {
    Package {
        id,
        name: name.to_owned(),
        version_info: version,
        package_file_name: None,
        supplier: UNKNOWN.to_owned(),
        originator: None,
        download_location: UNKNOWN.to_owned(),
        files_analyzed: false,
        checksums: Vec::new(),
        homepage: None,
        source_info: None,
        license_concluded: UNKNOWN.to_owned(),
        license_declared: UNKNOWN.to_owned(),
        copyright_text: UNKNOWN.to_owned(),
        summary: None,
        comment: None,
        external_refs: Vec::new(),
        annotations: Vec::new(),
        primary_package_purpose: purpose,
        release_date: None,
    }
}

/// An address in a distribution's pool has no host, so that it is no download location.
fn download_location(location: &Location) -> String {
    match location {
        Location::Web(address) => crate::uri::encode_address(address),
        Location::Git(location) => crate::uri::encode_address(&location.to_string()),
        Location::DebianPool { .. } => UNKNOWN.to_owned(),
    }
}

fn text_or_unknown<T: ToString>(text: Option<&T>) -> String {
    text.map_or_else(|| UNKNOWN.to_owned(), ToString::to_string)
}

fn purl_ref(purl: &Purl) -> ExternalRef {
    ExternalRef {
        reference_category: "PACKAGE-MANAGER",
        reference_type: "purl",
        reference_locator: purl.to_string(),
    }
}

fn checksums(sha256: &Digest, sha512: Option<&Sha512>) -> Vec<Checksum> {
    let mut checksums = vec![Checksum {
        algorithm: "SHA256",
        checksum_value: sha256.to_hex(),
    }];
    checksums.extend(sha512.map(|digest| Checksum {
        algorithm: "SHA512",
        checksum_value: digest.to_hex(),
    }));
    checksums
}
