//! Arguments of `kiln store` and `kiln bundle`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueHint};

use kiln_model::Digest;

use super::Names;

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Verify every byte that the store holds
    ///
    /// Reads all blobs and records, and unpacks every layer once more to compare its tree. What is
    /// damaged is set aside as evidence, and fetched or built again when it is needed. Exits with 1 if
    /// something was damaged.
    Check,
    /// Remove what nobody needs any more
    ///
    /// Keeps what the recipes and lockfiles of every project that uses the store name, the last results
    /// of each recipe, everything that was signed, whatever another kiln uses just now, and what is
    /// younger than a day. May run beside builds.
    Gc(Gc),
    /// Show what takes up the store's room, by recipe
    Du,
}

/// What is kept.
#[derive(Debug, Args)]
pub struct Gc {
    /// Remove nothing, and say what would be removed
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// How many results to keep of each recipe, those used last
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        allow_negative_numbers = true
    )]
    pub keep: usize,
    /// Leave alone what is younger: `90m`, `24h`, `7d`, or `0`
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub grace: Span,
    /// Remove what failed steps left, and damaged things that were set aside, too
    #[arg(long)]
    pub evidence: bool,
}

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its length.
    pub seconds: i64,
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || "expected a number with `s`, `m`, `h` or `d`, such as `24h`".to_owned();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let unit = match &text[digits.len()..] {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            "" if digits == "0" => 1,
            _ => return Err(refused()),
        };
        let number: u32 = digits.parse().map_err(|_| refused())?;
        Ok(Self {
            seconds: i64::from(number) * unit,
        })
    }
}

/// What to do with a bundle.
#[derive(Debug, Subcommand)]
pub enum BundleVerb {
    /// Write everything that recipes need into one file
    ///
    /// Sources, patches, base images, lockfiles, recipes, keys, licence texts and kiln itself, as one
    /// OCI archive. Fetches what the store lacks. The same project and kiln give the same bytes. An
    /// export that was interrupted goes on where it ended.
    Export(BundleExport),
    /// Prove that a bundle is whole and that nothing is missing
    ///
    /// Verifies every byte, and then does all that a build does short of running steps, from the bundle
    /// alone and without network, in a store of its own that is removed afterwards. Exits with 1 if
    /// something is wrong or missing.
    Check(BundleCheck),
    /// Verify a bundle and put what is in it into the store
    ///
    /// Refuses whatever is not, byte for byte, as `kiln bundle export` writes it. With --into, puts the
    /// project and kiln itself into a new folder: `make rpms` there needs neither network nor compiler.
    Import(BundleImport),
}

/// What to export.
#[derive(Debug, Args)]
pub struct BundleExport {
    /// The file to write
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: OsString,
    /// Which recipes; all that they are built with comes along.
    #[command(flatten)]
    pub names: Names,
}

/// What to check.
#[derive(Debug, Args)]
pub struct BundleCheck {
    /// The bundle
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: OsString,
}

/// What to import.
#[derive(Debug, Args)]
pub struct BundleImport {
    /// The bundle
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: OsString,
    /// A new or empty folder for the project; its store is in `.kiln/store` there unless --store says
    /// otherwise
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub into: Option<PathBuf>,
    /// Refuse any other bundle than this one: what the export printed
    #[arg(long, value_name = "DIGEST")]
    pub expect: Option<Digest>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("90m", 5400),
            ("24h", 86_400),
            ("7d", 604_800),
        ];
        for (text, seconds) in cases {
            assert_eq!(text.parse(), Ok(Span { seconds }), "{text}");
        }
        for text in ["", "h", "7", "-1h", "1.5h", "1w", "99999999999s", "1 h"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
