//! What can be wrong with the services of a recipe, and where.

use kiln_model::recipe::{NodePath, Place, Scriptlet, TmpfilesLine, UnitName};
use kiln_model::{PackageName, RecipeName, SandboxPath};

use super::unit::UnitMistake;
use crate::site::Site;

/// The text of a unit that something is wrong with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitText {
    /// A file of the recipe's folder.
    Installed(String),
    /// A file that the install step left.
    Built,
}

/// Something that is certainly wrong with a package's services.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceFinding {
    /// A unit that the package does not hold.
    #[error("{recipe}: package `{package}` does not ship the unit `{unit}`")]
    UnitNotShipped {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The unit.
        unit: UnitName,
        /// Units that the recipe ships.
        known: Vec<String>,
    },
    /// A unit that systemd would not load, or could not start.
    #[error("{recipe}: unit `{unit}`, line {line}: {mistake}")]
    Unit {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The unit.
        unit: UnitName,
        /// Its text.
        text: UnitText,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        mistake: UnitMistake,
    },
    /// A file is installed where every system has a link.
    #[error("{recipe}: `{to}` lies below `{folder}`, which is a link to `/usr{folder}`")]
    Unmerged {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The path.
        to: SandboxPath,
        /// `/bin`, `/lib`, `/lib64` or `/sbin`.
        folder: &'static str,
    },
    /// A file is installed where another one is.
    #[error("{recipe}: package `{package}` installs `{to}`, where another file is installed")]
    InstalledTwice {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The path.
        to: SandboxPath,
    },
    /// A folder of a user's is no folder.
    #[error(
        "{recipe}: `{path}` is to be a folder of the user `{user}`, but a file is installed there"
    )]
    NoFolder {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The user.
        user: String,
        /// The path.
        path: SandboxPath,
    },
    /// A scriptlet's line that rpm would take for its own syntax.
    #[error("{recipe}: the `{}` script of package `{package}` has a line that begins with `%`, which rpm would take for its own syntax", .when.key())]
    ScriptLine {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The scriptlet.
        when: Scriptlet,
        /// The line, from 1.
        line: u64,
    },
    /// A scriptlet that the base's shell can not read.
    #[error("{recipe}: the `{}` script of package `{package}` is no shell script: {reason}", .when.key())]
    ScriptSyntax {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The scriptlet.
        when: Scriptlet,
        /// The line, from 1.
        line: u64,
        /// What the shell says.
        reason: String,
    },
    /// A line of tmpfiles.d names an account that nobody creates.
    #[error(
        "{recipe}: `{account}` in `tmpfiles` is neither declared in `users` nor an account of every system"
    )]
    TmpfilesAccount {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The line.
        line: TmpfilesLine,
        /// The account.
        account: String,
    },
    /// A limit is set for an account that nobody creates.
    #[error(
        "{recipe}: `{account}` in `limits` is neither declared in `users` nor an account of every system"
    )]
    LimitAccount {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The account, as it is written.
        account: String,
    },
    /// What is offered for a link is not in the package.
    #[error("{recipe}: package `{package}` offers `{path}` for `{link}`, but does not ship it")]
    AlternativeNotShipped {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The link.
        link: SandboxPath,
        /// What is offered.
        path: SandboxPath,
    },
    /// A link that `update-alternatives` makes is a file of the recipe's.
    #[error("{recipe}: `{link}` is made by update-alternatives, but a file is installed there")]
    AlternativeTaken {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The link.
        link: SandboxPath,
    },
}

impl ServiceFinding {
    /// Returns the values that it is about, the first one first.
    #[must_use]
    pub fn sites(&self) -> Vec<Site> {
        let (recipe, package) = self.subject();
        let top = NodePath::top()
            .key("packages")
            .with("name", package.as_str());
        let path = match self {
            Self::UnitNotShipped { unit, .. } => top.key("systemd").with("unit", unit.as_str()),
            Self::Unit {
                unit, text, line, ..
            } => {
                let entry = top.key("systemd").with("unit", unit.as_str());
                let entry = Site::recipe(recipe, entry);
                let UnitText::Installed(file) = text else {
                    return vec![entry];
                };
                let place = Place {
                    line: *line,
                    column: 1,
                };
                return vec![Site::installed(recipe, file, place), entry];
            }
            Self::Unmerged { to, .. } | Self::InstalledTwice { to, .. } => {
                top.key("install").with("to", to.as_str())
            }
            Self::NoFolder { user, .. } => top.key("users").with("name", user.as_str()),
            Self::ScriptLine { when, line, .. } | Self::ScriptSyntax { when, line, .. } => {
                top.key("scripts").key(when.key()).line(*line)
            }
            Self::TmpfilesAccount { line, .. } => top.key("tmpfiles").item(line.as_str()),
            Self::LimitAccount { account, .. } => top.key("limits").with("user", account.as_str()),
            Self::AlternativeNotShipped { link, .. } | Self::AlternativeTaken { link, .. } => {
                top.key("alternatives").with("link", link.as_str())
            }
        };
        vec![Site::recipe(recipe, path)]
    }

    const fn subject(&self) -> (&RecipeName, &PackageName) {
        match self {
            Self::UnitNotShipped {
                recipe, package, ..
            }
            | Self::Unit {
                recipe, package, ..
            }
            | Self::Unmerged {
                recipe, package, ..
            }
            | Self::InstalledTwice {
                recipe, package, ..
            }
            | Self::NoFolder {
                recipe, package, ..
            }
            | Self::ScriptLine {
                recipe, package, ..
            }
            | Self::ScriptSyntax {
                recipe, package, ..
            }
            | Self::TmpfilesAccount {
                recipe, package, ..
            }
            | Self::LimitAccount {
                recipe, package, ..
            }
            | Self::AlternativeNotShipped {
                recipe, package, ..
            }
            | Self::AlternativeTaken {
                recipe, package, ..
            } => (recipe, package),
        }
    }
}
