//! What rpmlint may say about a recipe's packages, and why that is right.

use serde::Serialize;

use super::YamlError;
use super::schema::LintSchema;
use super::yaml::At;
use crate::name::PackageName;
use crate::text::Line;

/// A warning of rpmlint that is explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LintException {
    /// rpmlint's name of it: `no-documentation`.
    pub warning: Line,
    /// The packages that it is about; empty: all.
    pub packages: Vec<PackageName>,
    /// Why.
    pub reason: Line,
}

impl LintException {
    /// Returns whether `warning` about `package` is explained.
    #[must_use]
    pub fn explains(&self, package: &str, warning: &str) -> bool {
        self.warning.as_str() == warning
            && (self.packages.is_empty()
                || self.packages.iter().any(|name| name.as_str() == package))
    }
}

pub(super) fn exceptions(shape: &[LintSchema]) -> Result<Vec<LintException>, YamlError> {
    let exception = |item: &LintSchema| {
        let packages = item.packages.iter().map(At::parse);
        Ok(LintException {
            warning: item.warning.parse()?,
            packages: packages.collect::<Result<_, _>>()?,
            reason: item.reason.parse()?,
        })
    };
    shape.iter().map(exception).collect()
}
