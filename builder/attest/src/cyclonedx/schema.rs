//! The part of CycloneDX 1.6 that kiln writes, in the order in which its keys are written.

use serde::Serialize;

use crate::facts::Fact;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bom {
    #[serde(rename = "$schema")]
    pub schema: &'static str,
    pub bom_format: &'static str,
    pub spec_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    pub version: u32,
    pub metadata: Metadata,
    pub components: Vec<Component>,
    pub dependencies: Vec<Dependency>,
    pub compositions: Vec<Composition>,
}

#[derive(Serialize)]
pub(super) struct Metadata {
    pub timestamp: String,
    pub lifecycles: Vec<Lifecycle>,
    pub tools: Tools,
    pub manufacturer: Entity,
    pub authors: Vec<Contact>,
    pub component: Component,
    pub supplier: Entity,
    pub licenses: Vec<LicenseChoice>,
}

#[derive(Serialize)]
pub(super) struct Lifecycle {
    pub phase: &'static str,
}

#[derive(Serialize)]
pub(super) struct Tools {
    pub components: Vec<Component>,
}

#[derive(Serialize, Clone)]
pub(super) struct Entity {
    pub name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub url: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contact: Vec<Contact>,
}

#[derive(Serialize, Clone)]
pub(super) struct Contact {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

#[derive(Serialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ComponentType {
    Application,
    Library,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Component {
    #[serde(rename = "type")]
    pub kind: ComponentType,
    #[serde(rename = "bom-ref", skip_serializing_if = "Option::is_none")]
    pub bom_ref: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supplier: Option<Entity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<Entity>,
    pub name: String,
    /// `None` where nobody knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<LicenseChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copyright: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pedigree: Option<Pedigree>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_references: Vec<ExternalReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Fact>,
}

impl Component {
    /// A component of which only the four facts that every one has are known.
    pub(super) fn new(
        kind: ComponentType,
        bom_ref: String,
        name: &str,
        version: impl Into<Option<String>>,
    ) -> Self {
        Self {
            kind,
            bom_ref: Some(bom_ref),
            supplier: None,
            manufacturer: None,
            name: name.to_owned(),
            version: version.into(),
            description: None,
            scope: None,
            hashes: Vec::new(),
            licenses: Vec::new(),
            copyright: None,
            cpe: None,
            purl: None,
            pedigree: None,
            external_references: Vec::new(),
            evidence: None,
            properties: Vec::new(),
        }
    }
}

#[derive(Serialize, Clone)]
pub(super) struct Hash {
    pub alg: &'static str,
    pub content: String,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum LicenseChoice {
    Id {
        license: LicenseId,
    },
    Expression {
        expression: String,
        acknowledgement: &'static str,
    },
}

#[derive(Serialize)]
pub(super) struct LicenseId {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledgement: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Pedigree {
    pub patches: Vec<Patch>,
}

#[derive(Serialize)]
pub(super) struct Patch {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub diff: Diff,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resolves: Vec<Issue>,
}

#[derive(Serialize)]
pub(super) struct Diff {
    pub url: String,
}

#[derive(Serialize)]
pub(super) struct Issue {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: String,
    pub source: IssueSource,
}

#[derive(Serialize)]
pub(super) struct IssueSource {
    pub name: &'static str,
    pub url: String,
}

#[derive(Serialize)]
pub(super) struct ExternalReference {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Hash>,
}

#[derive(Serialize)]
pub(super) struct Evidence {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub identity: Vec<Identity>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub occurrences: Vec<Occurrence>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    pub field: &'static str,
    pub confidence: u32,
    pub concluded_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Occurrence {
    pub location: String,
    pub additional_context: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dependency {
    #[serde(rename = "ref")]
    pub reference: String,
    pub depends_on: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Composition {
    pub aggregate: &'static str,
    pub assemblies: Vec<String>,
    pub dependencies: Vec<String>,
}
