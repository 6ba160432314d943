//! `kiln.toml`: who we are and where our mirrors stand. Everything has a working default.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of a project: who builds, where files come from, what a step may use up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[schemars(title = "kiln.toml")]
pub struct Config {
    /// Who builds: author and supplier in SBOMs, vendor and packager in RPMs.
    pub organization: Organization,
    /// Where files are fetched from.
    pub mirrors: Mirrors,
    /// What a step may use up.
    pub limits: ConfigLimits,
    /// What the host must offer beyond the isolation that is always required.
    pub require: Require,
}

/// Who builds and answers for the packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Organization {
    /// The organisation's name: RPM's `Vendor`, and author and supplier in SBOMs.
    pub name: String,
    /// The address of whoever answers for the packages: in RPM's `Packager`.
    pub email: String,
    /// The organisation's page, for SBOMs.
    pub url: String,
}

impl Default for Organization {
    fn default() -> Self {
        Self {
            name: "Unnamed kiln user".to_owned(),
            email: "kiln@localhost.invalid".to_owned(),
            url: "https://localhost.invalid/".to_owned(),
        }
    }
}

/// Where files are fetched from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Mirrors {
    /// Base addresses of Debian archives, tried in order; a user name and password in one are never
    /// shown; default: those of the host's apt.
    pub debian: Vec<String>,
}

/// What one step may use up. It fails when it takes more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ConfigLimits {
    /// Memory of one step, in MiB; a step that takes more is killed. Needs control groups.
    pub memory: u64,
    /// Processes and threads of one step. Needs control groups.
    pub processes: u64,
    /// Time of one step, in minutes; then it is killed.
    pub time: u64,
    /// Log that is kept of one step, in MiB; the rest is left out, and the log says so.
    pub log: u64,
    /// Space for what one step writes outside `/build`, in MiB; it is memory or swap.
    pub scratch: u64,
}

impl Default for ConfigLimits {
    fn default() -> Self {
        Self {
            memory: 8192,
            processes: 4096,
            time: 120,
            log: 64,
            scratch: 4096,
        }
    }
}

/// What the host must offer beyond the isolation that is always required: of network, files,
/// processes and privileges.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Require {
    /// Refuse to build where limits of memory and processes can not be enforced. Otherwise a build
    /// without them says so in its run record.
    pub resource_limits: bool,
}

/// Says why `kiln.toml` can not be used: the parser's words, with line and column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ConfigError {
    /// What the parser says.
    pub reason: String,
    /// Where it starts: byte offset in the text.
    pub offset: usize,
}

impl Config {
    /// Reads the text of `kiln.toml`.
    ///
    /// # Errors
    /// What the TOML parser says, unknown keys included.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError {
            reason: error.message().to_owned(),
            offset: error.span().map_or(0, |span| span.start),
        })
    }

    /// Returns the JSON Schema (2020-12) of `kiln.toml`.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_default_and_unknown_keys_are_refused() {
        assert_eq!(Config::parse(""), Ok(Config::default()));
        let error = Config::parse("[mirror]\ndebian = []\n").unwrap_err();
        assert!(error.reason.contains("unknown field `mirror`"), "{error}");
        assert_eq!(error.offset, 1);
    }
}
