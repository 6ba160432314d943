//! What is measured, row by row.

mod base;
mod bundle;
mod cold;
mod compare;
mod diff;
mod null;
mod package;
mod sandbox;
mod scale;
mod trivial;

use crate::error::BenchError;
use crate::figure::Figure;
use crate::setting::Setting;

/// One row: figures that are measured together.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its name on the command line.
    pub name: &'static str,
    /// What measures it.
    pub measure: fn(&Setting) -> Result<Vec<Figure>, BenchError>,
}

/// Every row, quick ones first.
pub const ROWS: [Row; 11] = [
    Row {
        name: "sandbox",
        measure: sandbox::measure,
    },
    Row {
        name: "null",
        measure: null::measure,
    },
    Row {
        name: "compare",
        measure: compare::measure,
    },
    Row {
        name: "diff",
        measure: diff::measure,
    },
    Row {
        name: "trivial",
        measure: trivial::measure,
    },
    Row {
        name: "scale",
        measure: scale::measure,
    },
    Row {
        name: "base",
        measure: base::measure,
    },
    Row {
        name: "bundle",
        measure: bundle::measure,
    },
    Row {
        name: "unpack",
        measure: bundle::measure_unpacking,
    },
    Row {
        name: "package",
        measure: package::measure,
    },
    Row {
        name: "cold",
        measure: cold::measure,
    },
];

/// Returns the rows that were asked for, all of them if none was.
///
/// # Errors
/// `UnknownRow`.
pub fn chosen(names: &[String]) -> Result<Vec<Row>, BenchError> {
    let unknown = names
        .iter()
        .find(|name| ROWS.iter().all(|row| row.name != **name));
    if let Some(name) = unknown {
        return Err(BenchError::UnknownRow {
            name: name.clone(),
            known: ROWS.map(|row| row.name.to_owned()).to_vec(),
        });
    }
    let is_chosen = |row: &Row| names.is_empty() || names.iter().any(|name| row.name == *name);
    Ok(ROWS.into_iter().filter(is_chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_name_in_their_own_order() {
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            chosen(&wanted).map(|rows| rows.iter().map(|row| row.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), ROWS.len());
        assert_eq!(names(&["null", "sandbox"]).unwrap(), ["sandbox", "null"]);
        let error = names(&["nul"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no row `nul`; there are sandbox, null, compare, diff, trivial, scale, base, bundle, unpack, package, cold"
        );
    }
}
