//! Another clock for every root file system of a rebuild, made by the compiler that is in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_build::{BuildError, SealedProbe, Workshop, base_trees, run_probe};
use kiln_model::{Level, RecipeName};
use kiln_sandbox::{CLOCK_SOURCE, ClockFiles, clock_offset};

/// Compiles; the offset is its first and only variable.
const SCRIPT: &str = r#"
for compiler in cc gcc clang; do
  if command -v "$compiler" >/dev/null; then
    exec "$compiler" -O2 -fPIC -shared "-DOFFSET=@OFFSET@L" -o clock.so clock.c -ldl 2>&1
  fi
done
echo "there is no C compiler in it"
"#;

/// The clocks of a rebuild by base tree, or why there are none.
pub type Clocks = Result<BTreeMap<PathBuf, ClockFiles>, String>;

/// Makes the libraries, one for each base image, in a folder.
///
/// # Errors
/// As building fails. That there is no clock is none.
pub fn make(
    shop: &Workshop<'_>,
    recipes: &[RecipeName],
    (level, folder): (Level, &Path),
) -> Result<Clocks, BuildError> {
    let offset = clock_offset(level, crate::host::seconds());
    let mut clocks = BTreeMap::new();
    if offset == 0 {
        return Ok(Ok(clocks));
    }
    let script = SCRIPT.replace("@OFFSET@", &offset.to_string());
    for (number, (tree, recipe)) in base_trees(shop, recipes)?.into_iter().enumerate() {
        let probed = run_probe(
            shop,
            SealedProbe {
                recipe: &recipe,
                script: &script,
                given: Some(("clock.c", CLOCK_SOURCE)),
                wanted: Some("clock.so"),
            },
        )?;
        let Some(library) = probed.file else {
            let base = &shop.project.recipes[&recipe].recipe.base;
            let said = probed
                .said
                .lines()
                .next()
                .unwrap_or_default()
                .escape_debug();
            return Ok(Err(format!(
                "no library for another clock could be compiled in base image `{base}`: {said}"
            )));
        };
        let files = ClockFiles::write(&folder.join(number.to_string()), &library, offset)?;
        clocks.insert(tree, files);
    }
    Ok(Ok(clocks))
}
