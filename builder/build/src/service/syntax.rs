//! Lets the base image's own shell read every scriptlet before rpmbuild packs it: `sh -n`, sealed.
//!
//! The recipe's own text is read by itself, so that the shell's line is the recipe's; the whole
//! scriptlet is read as well, since a text may be complete only by itself.

use kiln_model::recipe::Scriptlet as When;
use kiln_model::{Mount, MountAccess, PackageName, Recipe, SealedStep, StepEnd, StepUser};

use super::finding::ServiceFinding;
use super::scriptlets::body;
use crate::error::BuildError;
use crate::lint::RecipeFinding;
use crate::rootfs::Rootfs;
use crate::script::{BUILD_ROOT, fixed_environment};
use crate::workshop::Workshop;

/// One text, and the scriptlet that it belongs to.
struct Text<'a> {
    package: &'a PackageName,
    when: When,
    text: String,
    kind: TextKind,
}

/// Whose lines a text has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextKind {
    /// The recipe's.
    Own,
    /// The recipe's among others.
    Whole,
}

/// Prints the name of each file that is no shell script, then what the shell says, then an empty line.
const READ_ALL: &str = r#"
for file in /build/*; do
  message=$(/bin/sh -n "$file" 2>&1) || printf '%s\n%s\n\n' "$file" "$message"
done
"#;

/// Refuses scriptlets that the base's shell can not read.
///
/// # Errors
/// `Finding` or `Several` of them; `Cancelled`; what the engine says.
pub(crate) fn check_syntax(
    shop: &Workshop<'_>,
    recipe: &Recipe,
    rootfs: &Rootfs,
) -> Result<(), BuildError> {
    let texts = texts(recipe);
    if texts.is_empty() {
        return Ok(());
    }
    let output = read_all(shop, recipe, rootfs, &texts)?;
    let mut errors: Vec<BuildError> = findings(recipe, &texts, &output)
        .into_iter()
        .map(|finding| BuildError::Finding(Box::new(RecipeFinding::Service(Box::new(finding)))))
        .collect();
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => Err(BuildError::Several(errors)),
    }
}

fn texts(recipe: &Recipe) -> Vec<Text<'_>> {
    let mut texts = Vec::new();
    for package in &recipe.packages {
        for (when, own) in &package.scripts {
            let whole = body(package, *when).unwrap_or_default();
            for (text, kind) in [(own.clone(), TextKind::Own), (whole, TextKind::Whole)] {
                texts.push(Text {
                    package: &package.name,
                    when: *when,
                    text,
                    kind,
                });
            }
        }
    }
    texts
}

fn file_name(index: usize) -> String {
    format!("scriptlet-{index}")
}

fn read_all(
    shop: &Workshop<'_>,
    recipe: &Recipe,
    rootfs: &Rootfs,
    texts: &[Text<'_>],
) -> Result<String, BuildError> {
    let scratch = shop.store.scratch()?;
    let folder = scratch.path().join("build");
    fs_err::create_dir(&folder)?;
    for (index, text) in texts.iter().enumerate() {
        fs_err::write(folder.join(file_name(index)), &text.text)?;
    }
    let step = SealedStep {
        label: format!("{}: scriptlets", recipe.name),
        rootfs: rootfs.base_only(shop)?,
        mounts: vec![Mount {
            source: folder,
            target: BUILD_ROOT.parse().expect("a constant path"),
            access: MountAccess::ReadOnly,
        }],
        command: ["/bin/sh", "-c", READ_ALL].map(str::to_owned).to_vec(),
        environment: fixed_environment(recipe.planned().source_date, "/build"),
        working_directory: BUILD_ROOT.parse().expect("a constant path"),
        user: StepUser::Build,
        limits: shop.limits(),
    };
    let mut output = Vec::new();
    let outcome = shop.engine.run(&step, &mut output, shop.cancel)?;
    match outcome.end {
        StepEnd::Exited(0) => Ok(String::from_utf8_lossy(&output).into_owned()),
        StepEnd::Cancelled => Err(BuildError::Cancelled),
        end => Err(BuildError::Spec {
            recipe: recipe.name.clone(),
            reason: format!("the base image's shell could not read the scriptlets: {end:?}"),
        }),
    }
}

/// Reads what the shell said. Of the whole scriptlet only what the own text did not show is told.
fn findings(recipe: &Recipe, texts: &[Text<'_>], output: &str) -> Vec<ServiceFinding> {
    let mut found: Vec<ServiceFinding> = Vec::new();
    let mut told = Vec::new();
    for message in output.split("\n\n") {
        let Some((file, message)) = message.trim_start().split_once('\n') else {
            continue;
        };
        let index = |(index, _): &(usize, &Text<'_>)| {
            file.strip_prefix("/build/") == Some(file_name(*index).as_str())
        };
        let Some((_, text)) = texts.iter().enumerate().find(index) else {
            continue;
        };
        let key = (text.package, text.when);
        if told.contains(&key) {
            continue;
        }
        told.push(key);
        let (line, reason) = line_and_reason(file, message);
        let lines = text.text.lines().count() as u64;
        found.push(ServiceFinding::ScriptSyntax {
            recipe: recipe.name.clone(),
            package: text.package.clone(),
            when: text.when,
            line: match text.kind {
                TextKind::Own => line.clamp(1, lines.max(1)),
                TextKind::Whole => 1,
            },
            reason,
        });
    }
    found
}

/// Reads `FILE: 3: Syntax error: …` (dash) and `FILE: line 3: syntax error …` (bash).
fn line_and_reason(file: &str, message: &str) -> (u64, String) {
    let first = message.lines().next().unwrap_or_default();
    let rest = first
        .strip_prefix(file)
        .and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(first);
    let numbered = rest.strip_prefix("line ").unwrap_or(rest);
    if let Some((number, reason)) = numbered.split_once(": ")
        && let Ok(line) = number.parse()
    {
        return (line, reason.to_owned());
    }
    (1, rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read_from_what_shells_say() {
        let check = |message: &str, line: u64, reason: &str| {
            let read = line_and_reason("/build/scriptlet-0", message);
            assert_eq!(read, (line, reason.to_owned()), "{message}");
        };
        check(
            "/build/scriptlet-0: 3: Syntax error: \"fi\" unexpected",
            3,
            "Syntax error: \"fi\" unexpected",
        );
        check(
            "/build/scriptlet-0: line 12: syntax error near unexpected token `fi'\n/build/scriptlet-0: line 12: `fi'",
            12,
            "syntax error near unexpected token `fi'",
        );
        check("what is this", 1, "what is this");
        check("", 1, "");
    }
}
