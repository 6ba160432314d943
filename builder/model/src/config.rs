//! `kiln.toml`: who we are and where our mirrors stand. Everything has a working default.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::RecipeName;
use crate::openpgp::Fingerprint;
use crate::recipe::{Place, nearest};
use crate::repository::{RepositoryAddress, RepositoryId};

/// Settings of a project: who builds, where files come from, what a step may use up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[schemars(title = "kiln.toml")]
pub struct Config {
    /// Who builds: author and supplier in SBOMs, vendor and packager in RPMs.
    pub organization: Organization,
    /// What is built when no recipe is named.
    pub build: ConfigBuild,
    /// Where files are fetched from.
    pub mirrors: Mirrors,
    /// The way to the network.
    pub network: ConfigNetwork,
    /// What a step may use up.
    pub limits: ConfigLimits,
    /// What the host must offer beyond the isolation that is always required.
    pub require: Require,
    /// Who signs packages and the repository.
    pub signing: Signing,
    /// What the repository in `out/rpms` says of itself.
    pub repository: Repository,
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

/// What is built when no recipe is named.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ConfigBuild {
    /// Recipes that `kiln build`, and all that goes with it, take when none is named; `--all` takes the
    /// others too; default: all.
    #[schemars(with = "Vec<String>")]
    pub default: Vec<RecipeName>,
}

/// Where files are fetched from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Mirrors {
    /// Base addresses of Debian archives, tried in order; a user name and password in one are never
    /// shown; default: those of the host's apt.
    pub debian: Vec<String>,
    /// Mirrors of sources, by the start of their address; tried before the address itself.
    pub sources: Vec<SourceMirror>,
    /// Never ask a source's own address: what no mirror has can not be fetched.
    pub only: bool,
}

/// Mirrors of all addresses that start alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SourceMirror {
    /// How the addresses start: `https://github.com/`.
    pub prefix: AddressPrefix,
    /// What is put in its place, tried in order: `https://mirror.example/github/`.
    pub to: Vec<AddressPrefix>,
}

/// The way to the network. Environment variables and options come before it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ConfigNetwork {
    /// The proxy for http and https: `http://proxy.example:3128`.
    pub proxy: Option<String>,
    /// What is reached without the proxy: hosts, domains, addresses, networks such as `10.0.0.0/8`.
    pub no_proxy: Vec<String>,
    /// PEM file, from this file's folder, of authorities that are trusted besides the host's.
    pub ca: Option<String>,
}

impl fmt::Debug for ConfigNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigNetwork")
            .field("proxy", &self.proxy.as_deref().map(mask_credentials))
            .field("no_proxy", &self.no_proxy)
            .field("ca", &self.ca)
            .finish()
    }
}

/// How addresses start: scheme, host and maybe a path, up to and with a `/`.
///
/// ```
/// use kiln_model::AddressPrefix;
/// let prefix: AddressPrefix = "https://github.com/libevent/".parse().unwrap();
/// assert_eq!(prefix.as_str(), "https://github.com/libevent/");
/// assert!("https://github.com".parse::<AddressPrefix>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(
    description = "How addresses start: scheme, host and maybe a path, up to and with a `/`.",
    extend("pattern" = "^https?://[^/]+/([^?#]*/)?$")
)]
pub struct AddressPrefix(String);

impl AddressPrefix {
    /// Returns the text; it may carry credentials, which must not be shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AddressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_credentials(&self.0))
    }
}

/// Says why a text is not the start of addresses. It never repeats the text, which may hold a
/// password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressPrefixError {
    /// The scheme is neither `https:` nor `http:`.
    #[error("expected an address that starts with `https://` or `http://`")]
    Scheme,
    /// There is no host.
    #[error("expected a host after `//`")]
    Host,
    /// It does not end in `/`, so that other hosts or folders could start like it.
    #[error("expected an address that ends in `/`")]
    End,
    /// A character is not allowed.
    #[error("character {0:?} is not allowed in the start of an address")]
    Character(char),
}

impl FromStr for AddressPrefix {
    type Err = AddressPrefixError;

    fn from_str(text: &str) -> Result<Self, AddressPrefixError> {
        let refused = |c: &char| !c.is_ascii_graphic() || "\"'<>\\^`{|}?#".contains(*c);
        if let Some(character) = text.chars().find(refused) {
            return Err(AddressPrefixError::Character(character));
        }
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let rest = rest.ok_or(AddressPrefixError::Scheme)?;
        let host = rest.split('/').next().unwrap_or_default();
        if host.rsplit('@').next().unwrap_or_default().is_empty() {
            return Err(AddressPrefixError::Host);
        }
        if !text.ends_with('/') {
            return Err(AddressPrefixError::End);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for AddressPrefix {
    type Error = AddressPrefixError;

    fn try_from(text: String) -> Result<Self, AddressPrefixError> {
        text.parse()
    }
}

impl From<AddressPrefix> for String {
    fn from(prefix: AddressPrefix) -> Self {
        prefix.0
    }
}

/// Returns a text with a `*` for every character of the credentials in its addresses, to show it:
/// `http://me:secret@host/` becomes `http://*********@host/`.
#[must_use]
pub fn mask_credentials(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find("://") {
        let (before, after) = rest.split_at(place + 3);
        masked.push_str(before);
        let end = after.find(['/', '?', '#', '"', '\'', '\\', ' ', '\t', '\n', ',', '`']);
        let authority = &after[..end.unwrap_or(after.len())];
        let secret = authority.rfind('@').unwrap_or(0);
        masked.extend(authority[..secret].chars().map(|_| '*'));
        rest = &after[secret..];
    }
    masked.push_str(rest);
    masked
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
    /// Disk that `/build` may take, in MiB: sources, object files and destdir together. A step that
    /// takes more is stopped.
    pub build: u64,
    /// Disk that stays free where the store is, in MiB: a step that runs is stopped before the disk is
    /// full, whoever fills it.
    pub free: u64,
}

impl Default for ConfigLimits {
    fn default() -> Self {
        Self {
            memory: 8192,
            processes: 4096,
            time: 120,
            log: 64,
            scratch: 4096,
            build: 32 * 1024,
            free: 512,
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

/// Who signs packages and the repository. Nothing is signed without a fingerprint here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Signing {
    /// Fingerprint of the primary key that signs: 40 hexadecimal digits, spaces allowed.
    pub fingerprint: Option<Fingerprint>,
    /// File with the OpenPGP secret key, from this file's folder; without it, `kiln sign` is given
    /// one, or signs by request and response.
    pub key: Option<String>,
    /// Files with public keys, from this file's folder, that are exported beside the key that signs:
    /// those of a rotation, and the key that signs when its secret half is elsewhere.
    pub public_keys: Vec<String>,
}

/// What the repository in `out/rpms` says of itself in its `.repo` file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Repository {
    /// Its short name, a word: the section of the `.repo` file, and the end of
    /// `RPM-GPG-KEY-<id>`.
    pub id: RepositoryId,
    /// What dnf shows; default: the organisation's name.
    #[serde(deserialize_with = "one_line")]
    pub name: Option<String>,
    /// Where `out/rpms` is served: `https://packages.example/rpms/`; without it, the `.repo` file has a
    /// place that nobody serves, to be filled in.
    pub baseurl: Option<RepositoryAddress>,
}

/// Reads a text that stands on one line of a file.
fn one_line<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(reader)?;
    let is_line = !text.trim().is_empty() && !text.chars().any(char::is_control);
    let error = || serde::de::Error::custom("expected one line of text");
    is_line.then_some(Some(text)).ok_or_else(error)
}

impl Default for Repository {
    fn default() -> Self {
        Self {
            id: RepositoryId::default_id(),
            name: None,
            baseurl: None,
        }
    }
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
            // The parser repeats what it did not expect, which may be an address with a password.
            let reason = mask_credentials(error.message());
            ConfigError {
                nearest: nearest_key(&reason),
                reason,
                place: Place::after(text.get(..start).unwrap_or_default()),
            }
        })
    }

    /// Returns a mistake for each default recipe that `known` does not have, with its place in `text`,
    /// which is what was parsed.
    #[must_use]
    pub fn unknown_defaults(&self, text: &str, known: &[&str]) -> Vec<ConfigError> {
        let is_known = |name: &RecipeName| known.contains(&name.as_str());
        if self.build.default.iter().all(is_known) {
            return Vec::new();
        }
        let spans = toml::from_str(text).unwrap_or_else(|_| DefaultSpans::default());
        let names = spans.build.default.into_iter();
        let unknown = names.filter(|name| !known.contains(&name.get_ref().as_str()));
        unknown
            .map(|name| ConfigError {
                reason: format!("there is no recipe `{}`", name.get_ref()),
                place: Place::after(text.get(..name.span().start).unwrap_or_default()),
                nearest: nearest(name.get_ref(), known.iter().copied()),
            })
            .collect()
    }

    /// Returns the JSON Schema (2020-12) of `kiln.toml`.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}

/// Where the default recipes stand.
#[derive(Default, Deserialize)]
struct DefaultSpans {
    build: NameSpans,
}

#[derive(Default, Deserialize)]
struct NameSpans {
    default: Vec<toml::Spanned<String>>,
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

    #[test]
    fn default_recipes_that_are_not_there_have_a_place() {
        let text = "# ö\n[build]\ndefault = [\"curl\",\n  \"zlip\", \"other\"]\n";
        let config = Config::parse(text.as_bytes()).unwrap();
        let found = config.unknown_defaults(text, &["curl", "zlib"]);
        let found: Vec<_> = found
            .iter()
            .map(|e| (e.to_string(), e.place.to_string(), e.nearest.as_deref()))
            .collect();
        let expected = [
            ("there is no recipe `zlip`", "4:3", Some("zlib")),
            ("there is no recipe `other`", "4:11", None),
        ]
        .map(|(reason, place, nearest)| (reason.to_owned(), place.to_owned(), nearest));
        assert_eq!(found, expected);
        assert_eq!(
            config.unknown_defaults(text, &["curl", "zlip", "other"]),
            []
        );
        let error = Config::parse(b"[build]\ndefault = [\"a b\"]\n").unwrap_err();
        assert!(error.reason.contains("recipe name"), "{error}");
        assert_eq!(error.place.to_string(), "2:11");
    }

    #[test]
    fn mirrors_and_proxies_are_read() {
        let text = "[mirrors]\nonly = true\n\
            sources = [{prefix = \"https://github.com/\", to = [\"http://m.example/gh/\"]}]\n\
            [network]\nproxy = \"http://me:s3cret@proxy:3128\"\nno-proxy = [\".lan\"]\n\
            ca = \"site.pem\"\n";
        let config = Config::parse(text.as_bytes()).unwrap();
        assert!(config.mirrors.only);
        let [mirror] = config.mirrors.sources.as_slice() else {
            panic!("expected one mirror, got {:?}", config.mirrors.sources);
        };
        assert_eq!(mirror.prefix.as_str(), "https://github.com/");
        assert_eq!(mirror.to[0].as_str(), "http://m.example/gh/");
        assert_eq!(config.network.no_proxy, [".lan"]);
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn signing_and_the_repository_are_read() {
        let text = "[signing]\nfingerprint = \"0123 4567 89ab cdef 0123  4567 89ab cdef 0123 4567\"\n\
            key = \"keys/release.asc\"\npublic-keys = [\"keys/old.asc\"]\n\
            [repository]\nid = \"clearwater\"\nbaseurl = \"https://a.example/rpms/\"\n";
        let config = Config::parse(text.as_bytes()).unwrap();
        let fingerprint = config.signing.fingerprint.unwrap();
        assert_eq!(
            fingerprint.as_str(),
            "0123456789ABCDEF0123456789ABCDEF01234567"
        );
        assert_eq!(config.signing.public_keys, ["keys/old.asc"]);
        assert_eq!(config.repository.id.as_str(), "clearwater");
        assert_eq!(config.repository.name, None);
        for (text, reason) in [
            (
                "[signing]\nfingerprint = \"01234567\"",
                "expected the 40 hexadecimal digits",
            ),
            ("[signing]\nkeys = \"a\"", "unknown field `keys`"),
            ("[repository]\nid = \"a b\"", "expected a word of letters"),
            (
                "[repository]\nname = \"a\\nb\"",
                "expected one line of text",
            ),
            (
                "[repository]\nbaseurl = \"https://me:s3cret@a/\"",
                "expected an address that starts",
            ),
        ] {
            let error = Config::parse(text.as_bytes()).unwrap_err();
            assert!(error.reason.starts_with(reason), "{text}: {error}");
            assert!(!error.reason.contains("s3cret"), "{error}");
            assert_eq!(error.place.line, 2, "{text}: {error}");
        }
    }

    #[test]
    fn the_start_of_addresses_is_a_whole_one() {
        let check = |text: &str, expected: AddressPrefixError| {
            assert_eq!(text.parse::<AddressPrefix>(), Err(expected), "{text}");
        };
        check("github.com/", AddressPrefixError::Scheme);
        check("ftp://github.com/", AddressPrefixError::Scheme);
        check("https:///x/", AddressPrefixError::Host);
        check("https://me:s3cret@/", AddressPrefixError::Host);
        check("https://github.com", AddressPrefixError::End);
        check("https://github.com/a", AddressPrefixError::End);
        check(
            "https://github.com/?q=/",
            AddressPrefixError::Character('?'),
        );
        check(
            "https://github.com/a b/",
            AddressPrefixError::Character(' '),
        );
    }

    #[test]
    fn what_is_wrong_is_told_without_passwords() {
        for (text, reason) in [
            (
                "[mirrors]\ndebian = \"http://me:s3cret@host/\"",
                "invalid type: string \"http://*********@host/\", expected a sequence",
            ),
            (
                "[mirrors]\nsources = [{prefix = \"http://a/\", to = [\"http://me:s3cret@b\"]}]",
                "expected an address that ends in `/`",
            ),
        ] {
            let error = Config::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.reason, reason);
        }
        for (text, masked) in [
            ("no address", "no address"),
            ("a://b@c@d/e@f", "a://***@d/e@f"),
            ("x http://a:b@c, http://d@e", "x http://***@c, http://*@e"),
            ("http://host/a@b", "http://host/a@b"),
        ] {
            assert_eq!(mask_credentials(text), masked);
        }
    }
}
