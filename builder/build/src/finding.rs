//! What the installed files show to be wrong with a package, beyond who owns them.

use kiln_model::recipe::NodePath;
use kiln_model::{PackageName, RecipeName};

use crate::claim::Rule;
use crate::site::Site;

/// Something that is wrong with what a package holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageFinding {
    /// One file is two things to rpm.
    #[error("{recipe}: `{file}` is claimed as two things: by {first}, and by {second}")]
    Classes {
        /// The recipe.
        recipe: RecipeName,
        /// The first such file.
        file: String,
        /// One rule.
        first: Rule,
        /// The other.
        second: Rule,
    },
    /// A ghost is installed as something else.
    #[error("{recipe}: the ghost `{}` of `{}` is {actual} in what was installed", .rule.text, .rule.package)]
    Ghost {
        /// The recipe.
        recipe: RecipeName,
        /// The ghost.
        rule: Rule,
        /// What is there: `a directory with files in it`.
        actual: &'static str,
    },
    /// A package wants to own what every system has.
    #[error("{recipe}: package `{}` names the directory `{directory}`, which every system has", .rule.package)]
    SystemDirectory {
        /// The recipe.
        recipe: RecipeName,
        /// The pattern that matches nothing else.
        rule: Rule,
        /// The directory.
        directory: String,
    },
    /// What differs between machines is in a package that does not.
    #[error("{recipe}: `{file}` {reason}, but its package `{package}` is `noarch`")]
    Noarch {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The first such file.
        file: String,
        /// Why it is for one architecture: `is an ELF file`.
        reason: &'static str,
        /// The rule that claims it.
        rule: Option<Rule>,
    },
    /// Attributes that are given to nothing.
    #[error("{recipe}: the attributes for {what}")]
    IdleAttributes {
        /// The recipe.
        recipe: RecipeName,
        /// Their pattern.
        rule: Rule,
        /// What is missing, in words.
        what: String,
    },
    /// A directory of two packages has other attributes in one than in the other.
    #[error(
        "{recipe}: `{directory}` is {first_attributes} in `{first}` and {second_attributes} in `{second}`"
    )]
    DirectoryAttributes {
        /// The recipe.
        recipe: RecipeName,
        /// The directory.
        directory: String,
        /// One package.
        first: PackageName,
        /// Its attributes: `0755 root:root`.
        first_attributes: String,
        /// The other.
        second: PackageName,
        /// Its attributes.
        second_attributes: String,
        /// The rules that give them.
        rules: Vec<Rule>,
    },
    /// A link leads nowhere.
    #[error("{recipe}: the link `{link}` leads to `{target}`, which no package here has")]
    DanglingLink {
        /// The recipe.
        recipe: RecipeName,
        /// The link.
        link: String,
        /// Where it leads, resolved.
        target: String,
        /// The rule that claims the link.
        rule: Option<Rule>,
    },
    /// A link leads into the build.
    #[error("{recipe}: the link `{link}` leads to `{target}`, a folder of the build")]
    BuildLink {
        /// The recipe.
        recipe: RecipeName,
        /// The link.
        link: String,
        /// Its target, as it is.
        target: String,
        /// The rule that claims the link.
        rule: Option<Rule>,
    },
    /// A link leads into a package that need not be there.
    #[error(
        "{recipe}: the link `{link}` of `{package}` leads to `{target}` of `{owner}`, which `{package}` \
         does not require"
    )]
    UnrequiredLink {
        /// The recipe.
        recipe: RecipeName,
        /// The package of the link.
        package: PackageName,
        /// The link.
        link: String,
        /// Where it leads, resolved.
        target: String,
        /// The package of the target.
        owner: PackageName,
        /// The rule that claims the link.
        rule: Option<Rule>,
    },
    /// A file for those who build against the package names a folder that is not there.
    #[error("{recipe}: line {number} of `{file}` has the prefix twice: `{line}`")]
    JoinedTwice {
        /// The recipe.
        recipe: RecipeName,
        /// The file.
        file: String,
        /// The line's number.
        number: usize,
        /// The line, without white space around it.
        line: String,
        /// The rule that claims the file.
        rule: Option<Rule>,
    },
}

impl PackageFinding {
    /// Returns the values of the recipe that it is about, the first one first.
    #[must_use]
    pub fn sites(&self) -> Vec<Site> {
        let package =
            |name: &PackageName| NodePath::top().key("packages").with("name", name.as_str());
        let claimed = |recipe: &RecipeName, rule: &Option<Rule>| {
            let site = rule.as_ref().map(|rule| rule.site(recipe));
            site.unwrap_or_else(|| Site::recipe(recipe, NodePath::top().key("packages")))
        };
        match self {
            Self::Classes {
                recipe,
                first,
                second,
                ..
            } => vec![first.site(recipe), second.site(recipe)],
            Self::Ghost { recipe, rule, .. }
            | Self::SystemDirectory { recipe, rule, .. }
            | Self::IdleAttributes { recipe, rule, .. } => vec![rule.site(recipe)],
            Self::Noarch {
                recipe,
                package: name,
                rule,
                ..
            } => {
                let noarch = Site::recipe(recipe, package(name).key("noarch"));
                let claimed = rule.iter().map(|rule| rule.site(recipe));
                std::iter::once(noarch).chain(claimed).collect()
            }
            Self::DirectoryAttributes {
                recipe,
                first,
                second,
                rules,
                ..
            } => {
                if rules.is_empty() {
                    let site = |name| Site::recipe(recipe, package(name));
                    return vec![site(first), site(second)];
                }
                rules.iter().map(|rule| rule.site(recipe)).collect()
            }
            Self::DanglingLink { recipe, rule, .. }
            | Self::BuildLink { recipe, rule, .. }
            | Self::JoinedTwice { recipe, rule, .. } => vec![claimed(recipe, rule)],
            Self::UnrequiredLink {
                recipe,
                package: name,
                rule,
                ..
            } => {
                let requires = Site::recipe(recipe, package(name).key("requires"));
                vec![claimed(recipe, rule), requires]
            }
        }
    }
}
