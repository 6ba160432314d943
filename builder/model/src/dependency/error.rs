//! Why a text is not a dependency, and what its writer can do about it.

use super::RichOperator;

/// Says why a text is not a dependency, or not one for its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DependencyError {
    /// There is no text.
    #[error("expected a dependency, got nothing")]
    Empty,
    /// A name begins with something that none does.
    #[error(
        "expected a name that begins with a letter, a digit, `_` or `/`, got `{text}` in a dependency"
    )]
    NameStart {
        /// The name.
        text: String,
    },
    /// A name holds something that none does.
    #[error("character {character:?} is not allowed in the name `{name}` of a dependency")]
    NameCharacter {
        /// The name.
        name: String,
        /// The first character that does not fit.
        character: char,
    },
    /// The package after `=` can have no such name.
    #[error("expected the name of a package of this recipe after `=`, got `{text}`")]
    OwnName {
        /// The text.
        text: String,
    },
    /// More follows the dependency.
    #[error("expected one dependency, got `{rest}` after it")]
    More {
        /// What follows.
        rest: String,
    },
    /// What stands between name and version compares nothing.
    #[error("expected one of < <= = >= > between name and version, got `{text}`")]
    Sign {
        /// The text.
        text: String,
    },
    /// A comparison has no version.
    #[error("expected a version after `{name} {sign}`")]
    NoVersion {
        /// The name.
        name: String,
        /// The comparison.
        sign: &'static str,
    },
    /// A version does not follow its grammar.
    #[error("expected [EPOCH:]VERSION[-RELEASE] in a dependency, got `{version}`")]
    Version {
        /// The version.
        version: String,
    },
    /// Files have no version.
    #[error("the path `{path}` can not have a version in a dependency")]
    VersionedPath {
        /// The path.
        path: String,
    },
    /// Parentheses with nothing in them.
    #[error("expected a dependency between `(` and `)`")]
    EmptyRich,
    /// The parentheses do not close.
    #[error("a `(` of the rich dependency is never closed")]
    Unclosed,
    /// Where an operator belongs, something else stands.
    #[error(
        "expected one of and, or, if, unless, else, with, without in the rich dependency, got `{word}`"
    )]
    Operator {
        /// The word.
        word: String,
        /// The operator that was probably meant.
        nearest: Option<String>,
    },
    /// An operator at the end.
    #[error("expected a dependency after `{operator}`")]
    NoOperand {
        /// The operator.
        operator: RichOperator,
    },
    /// Different operators in one pair of parentheses.
    #[error("`{first}` and `{second}` stand in the same parentheses of the rich dependency")]
    Mixed {
        /// The first operator.
        first: RichOperator,
        /// The one that follows it.
        second: RichOperator,
    },
    /// An operator that joins two operands and not more.
    #[error("`{operator}` stands twice in the same parentheses of the rich dependency")]
    Repeated {
        /// The operator.
        operator: RichOperator,
    },
    /// `else` without a condition.
    #[error("`else` needs `if` or `unless` before it in the rich dependency")]
    LoneElse,
    /// A condition that would be true whenever it does not apply.
    #[error("`{operator}` would make this rich dependency true where nothing is installed")]
    Context {
        /// The operator.
        operator: RichOperator,
        /// What is probably meant.
        instead: RichOperator,
    },
    /// `with` and `without` speak of one package.
    #[error("`{operator}` is not possible within `with` or `without`, which are about one package")]
    NotOnePackage {
        /// The operator.
        operator: RichOperator,
    },
    /// More parentheses within each other than anybody reads.
    #[error("expected at most {limit} parentheses within each other in a rich dependency")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// rpm has no rich dependencies under this key.
    #[error("a rich dependency is not possible in `{key}`")]
    RichNotHere {
        /// The key.
        key: &'static str,
    },
    /// A package of this recipe makes no sense under this key.
    #[error("`=NAME` is not possible in `{key}`")]
    OwnNotHere {
        /// The key.
        key: &'static str,
    },
    /// What is provided has one version.
    #[error("expected `NAME` or `NAME = VERSION` in `provides`, got a comparison with `{sign}`")]
    ProvidesRange {
        /// The comparison.
        sign: &'static str,
    },
    /// Only packages can be replaced.
    #[error("expected the name of a package in `obsoletes`, got `{name}`")]
    ObsoletesName {
        /// The name.
        name: String,
    },
    /// A package that could never come back.
    #[error(
        "expected `{name} < VERSION` in `obsoletes`: without it no later `{name}` can ever be installed"
    )]
    ObsoletesRange {
        /// The name.
        name: String,
    },
}

impl DependencyError {
    /// Returns what the writer of the recipe can do about it, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NameCharacter {
                character: '<' | '>' | '=',
                ..
            } => "write spaces around the comparison: `NAME >= VERSION`".to_owned(),
            Self::NameCharacter { character: ',', .. } | Self::More { .. } => {
                "one dependency per item of the list; alternatives are `(A or B)`".to_owned()
            }
            Self::NameCharacter { character: '%', .. } => {
                "recipes have no macros; `=NAME` is this recipe's package NAME in this version and \
                 release"
                    .to_owned()
            }
            Self::Sign { text } if text == "==" => "write `=`".to_owned(),
            Self::Sign { text } if text == "=>" => "write `>=`".to_owned(),
            Self::Sign { text } if text == "=<" => "write `<=`".to_owned(),
            Self::Sign { .. } | Self::NoVersion { .. } | Self::Empty => {
                "write NAME, or NAME, one of < <= = >= >, and a version".to_owned()
            }
            Self::VersionedPath { .. } => {
                "require the package that has the file instead".to_owned()
            }
            Self::Operator {
                nearest: Some(name),
                ..
            } => format!("did you mean `{name}`?"),
            Self::Operator { .. } => "write `(A or B)`, `(A if B)`, `(A if B else C)`".to_owned(),
            Self::Unclosed => {
                "add `)`; each operand with an operator of its own has its own pair".to_owned()
            }
            Self::Mixed { .. } | Self::Repeated { .. } => {
                "put one of them into parentheses of its own: `(A or (B and C))`".to_owned()
            }
            Self::LoneElse => "write `(A if B else C)`".to_owned(),
            Self::Context { operator, instead } => {
                format!("`{operator}` is probably not what is meant here; `{instead}` may be")
            }
            Self::RichNotHere { .. } => "write one item of the list for each".to_owned(),
            Self::OwnNotHere { key } => format!(
                "every package provides its own name; write `NAME = VERSION` for another one in `{key}`"
            ),
            Self::ProvidesRange { .. } => "write `NAME = VERSION`".to_owned(),
            Self::ObsoletesRange { name } => {
                format!("write `{name} < VERSION` with the first version that is not replaced")
            }
            _ => return None,
        })
    }
}
