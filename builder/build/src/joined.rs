//! Files for those who build against a package (pkg-config's, CMake's) that name a folder with the
//! prefix in it twice: `libdir=${prefix}//usr/lib64`. Whoever uses them looks where nothing is.

use kiln_image::TreeEntryKind;
use kiln_model::Recipe;
use kiln_model::recipe::Package;

use crate::claim::claim;
use crate::error::BuildError;
use crate::finding::PackageFinding;
use crate::stage::{Content, Stage};

/// Reports the first such line of each file of a package.
pub(crate) fn joined_twice(
    recipe: &Recipe,
    package: &Package,
    stage: &Stage,
) -> Result<Vec<PackageFinding>, BuildError> {
    let mut found = Vec::new();
    for file in &stage.owned[&package.name].files {
        if !file.ends_with(".pc") && !file.ends_with(".cmake") {
            continue;
        }
        let staged = stage.files.get(file);
        let Some((TreeEntryKind::File { .. }, Content::Tree(source))) =
            staged.map(|staged| (&staged.kind, &staged.content))
        else {
            continue;
        };
        let text = fs_err::read(source)?;
        if let Some((number, line)) = line_that_joins(&String::from_utf8_lossy(&text)) {
            found.push(PackageFinding::JoinedTwice {
                recipe: recipe.name.clone(),
                file: file.clone(),
                number,
                line,
                rule: claim(package, file),
            });
        }
    }
    Ok(found)
}

/// Returns the number and text of the first line that joins `/usr` to `/usr`, spelled out or behind a
/// variable for the prefix. `${pc_sysrootdir}/usr` is right: that is no prefix.
fn line_that_joins(text: &str) -> Option<(usize, String)> {
    let joins = |line: &str| {
        let mut line = line.to_ascii_lowercase();
        while line.contains("//") {
            line = line.replace("//", "/");
        }
        line.contains("/usr/usr/") || line.contains("prefix}/usr/")
    };
    let mut lines = text.lines().enumerate();
    let (index, line) = lines.find(|(_, line)| joins(line))?;
    Some((index + 1, line.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_before_a_prefix_is_seen_and_nothing_else() {
        for (text, expected) in [
            ("prefix=/usr\nlibdir=${prefix}//usr/lib64\n", Some(2)),
            ("libdir=${exec_prefix}/usr/lib64", Some(1)),
            ("set_and_check(DIR \"/usr//usr/lib64/cmake\")", Some(1)),
            ("set(X \"${_IMPORT_PREFIX}/usr/include\")", Some(1)),
            ("libdir=${prefix}/lib64\nLibs: -L/usr/lib64", None),
            ("Libs: -L${pc_sysrootdir}/usr/lib64", None),
            ("url: https://example.org/usr/", None),
            ("", None),
        ] {
            let found = line_that_joins(text).map(|(number, _)| number);
            assert_eq!(found, expected, "{text}");
        }
    }
}
