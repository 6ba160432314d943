//! `kiln.toml`: who we are and where our mirrors stand. Everything has a working default.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::recipe::{Place, nearest};

/// The project's settings.
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

/// Who builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Organization {
    /// The organisation's name.
    pub name: String,
    /// Its e-mail address.
    pub email: String,
    /// Its page.
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
    /// Base addresses of Debian archives, tried in order; default: those of the host's apt.
    pub debian: Vec<String>,
}

/// What a step may use up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ConfigLimits {
    /// Memory of one step, in MiB.
    pub memory: u64,
    /// Processes and threads of one step.
    pub processes: u64,
    /// Time of one step, in minutes.
    pub time: u64,
    /// Log kept of one step, in MiB.
    pub log: u64,
    /// Scratch space of one step outside `/build`, in MiB.
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

/// What the host must offer beyond the isolation that is always required (DESIGN 5).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Require {
    /// Refuse to build where memory and process limits can not be enforced.
    pub resource_limits: bool,
}

/// Says why `kiln.toml` can not be used: the parser's words, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ConfigError {
    /// What the parser says.
    pub reason: String,
    /// Where it starts.
    pub place: Place,
    /// Of an unknown key, the known one that was probably meant.
    pub nearest: Option<String>,
}

/// Largest `kiln.toml`, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

impl Config {
    /// Reads the bytes of `kiln.toml`.
    ///
    /// # Errors
    /// What the TOML parser says, unknown keys included; a file that is too large or not UTF-8.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        let plain = |reason: String, before: &[u8]| ConfigError {
            reason,
            place: Place::after(&String::from_utf8_lossy(before)),
            nearest: None,
        };
        if bytes.len() > MAX_BYTES {
            let actual = bytes.len();
            let reason = format!("expected at most {MAX_BYTES} bytes, got {actual}");
            return Err(plain(reason, b""));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            plain("expected UTF-8 text".to_owned(), before)
        })?;
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let reason = error.message().to_owned();
            ConfigError {
                nearest: nearest_key(&reason),
                reason,
                place: Place::after(text.get(..start).unwrap_or_default()),
            }
        })
    }

    /// Returns the JSON Schema (2020-12) of `kiln.toml`.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}

/// Reads serde's words for an unknown key: ``unknown field `a`, expected one of `b`, `c` ``. The TOML
/// parser has no other form of it.
fn nearest_key(reason: &str) -> Option<String> {
    let (key, known) = reason
        .strip_prefix("unknown field `")?
        .split_once("`, expected ")?;
    nearest(key, known.split('`').skip(1).step_by(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_default() {
        assert_eq!(Config::parse(b""), Ok(Config::default()));
    }

    #[test]
    fn mistakes_have_a_place_and_a_nearest_key() {
        for (text, start, place, nearest) in [
            (
                &b"[mirror]\ndebian = []\n"[..],
                "unknown field `mirror`",
                "1:2",
                Some("mirrors"),
            ),
            (
                b"[limits]\r\nmemry = 1\r\n",
                "unknown field `memry`",
                "2:1",
                Some("memory"),
            ),
            (b"[require]\nfoo = 1\n", "unknown field `foo`", "2:1", None),
            (
                "# ä\n[limits]\nmemory = \"ö\"\n".as_bytes(),
                "invalid type",
                "3:10",
                None,
            ),
            (
                b"[limits]\nmemory = 1\nmemory = 2\n",
                "duplicate key",
                "3:1",
                None,
            ),
            (b"[limits]\nmemory = 1e9\n", "invalid type", "2:10", None),
            (b"[limits]\nmemory = -1\n", "invalid value", "2:10", None),
            (b"a = \n", "", "1:5", None),
            ("\"ä\" = 'ü".as_bytes(), "", "1:9", None),
            (b"# \xff", "expected UTF-8 text", "1:3", None),
        ] {
            let error = Config::parse(text).unwrap_err();
            let shown = String::from_utf8_lossy(text);
            assert!(error.reason.starts_with(start), "{shown}: {error}");
            assert_eq!(error.place.to_string(), place, "{shown}: {error}");
            assert_eq!(error.nearest.as_deref(), nearest, "{shown}: {error}");
        }
        let large = Config::parse(&vec![b'\n'; MAX_BYTES + 1]).unwrap_err();
        assert_eq!(large.reason, "expected at most 1048576 bytes, got 1048577");
    }
}
