//! Users that contradict each other: one number twice, or one name with other values.

use std::collections::BTreeMap;

use kiln_model::recipe::SystemUser;
use kiln_model::{PackageName, Recipe, RecipeName};

/// Two declarations of users that no host can satisfy both.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{recipe}: user id clash: `{user}` of package `{package}` {}", .clash.describe())]
pub struct UserClash {
    /// The recipe.
    pub recipe: RecipeName,
    /// The package.
    pub package: PackageName,
    /// The user.
    pub user: String,
    /// The declaration that it contradicts.
    pub other: (RecipeName, PackageName, String),
    /// In what.
    pub clash: Clash,
}

/// What two declarations contradict each other in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clash {
    /// Two users have one number.
    Id(u32),
    /// One user has two descriptions.
    Values,
}

impl Clash {
    fn describe(self) -> String {
        match self {
            Self::Id(id) => format!("has the id {id} of another user"),
            Self::Values => "is described differently elsewhere".to_owned(),
        }
    }
}

/// Where a user is declared.
struct Declared<'a> {
    recipe: &'a RecipeName,
    package: &'a PackageName,
    user: &'a SystemUser,
}

/// Returns every contradiction among the users of a project's recipes; each is told at the later one.
pub(crate) fn user_clashes<'a>(recipes: impl Iterator<Item = &'a Recipe>) -> Vec<UserClash> {
    let mut by_name: BTreeMap<&str, Declared<'a>> = BTreeMap::new();
    let mut by_id: BTreeMap<u32, Declared<'a>> = BTreeMap::new();
    let mut clashes = Vec::new();
    for recipe in recipes {
        for package in &recipe.packages {
            for user in &package.services.users {
                let declared = || Declared {
                    recipe: &recipe.name,
                    package: &package.name,
                    user,
                };
                let mut clash = |other: &Declared<'a>, clash| {
                    clashes.push(UserClash {
                        recipe: recipe.name.clone(),
                        package: package.name.clone(),
                        user: user.name.to_string(),
                        other: (
                            other.recipe.clone(),
                            other.package.clone(),
                            other.user.name.to_string(),
                        ),
                        clash,
                    });
                };
                match by_name.get(user.name.as_str()) {
                    Some(other) if other.user != user => clash(other, Clash::Values),
                    Some(_) => {}
                    None => drop(by_name.insert(user.name.as_str(), declared())),
                }
                let Some(id) = user.id else { continue };
                match by_id.get(&id) {
                    Some(other) if other.user.name != user.name => clash(other, Clash::Id(id)),
                    Some(_) => {}
                    None => drop(by_id.insert(id, declared())),
                }
            }
        }
    }
    clashes
}
