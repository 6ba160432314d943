//! What a package says about others, in rpm's grammar: `zlib >= 1.2`, `(nginx or httpd)`, and `=NAME` for
//! a package of the same recipe in exactly this version and release.
//!
//! What is accepted here, rpm 4.18 accepts (a test of `kiln-rpm` asks it); what it accepts and nobody can
//! have meant is refused: `a>=1` is one name to it, `a b` are two dependencies, `a == 1` is `a = 1`.

mod error;
mod parse;

use std::fmt;

use serde::{Serialize, Serializer};

use crate::name::PackageName;

pub use error::DependencyError;

/// What kind of saying a dependency is: a key of a recipe's package, and rpm's tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DependencyKind {
    /// What must be there.
    Requires,
    /// What others may require.
    Provides,
    /// What must not be there.
    Conflicts,
    /// What it replaces.
    Obsoletes,
    /// What is installed along where possible.
    Recommends,
    /// What might be of use beside it.
    Suggests,
    /// Beside what it is installed where possible.
    Supplements,
    /// Beside what it might be of use.
    Enhances,
}

impl DependencyKind {
    /// Returns the key in recipes: `requires`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Requires => "requires",
            Self::Provides => "provides",
            Self::Conflicts => "conflicts",
            Self::Obsoletes => "obsoletes",
            Self::Recommends => "recommends",
            Self::Suggests => "suggests",
            Self::Supplements => "supplements",
            Self::Enhances => "enhances",
        }
    }

    /// Returns where the dependency stands, as rpm looks at it: `if` is true where its condition is not, so
    /// it makes no sense as a choice; `unless` is the reverse.
    const fn context(self) -> Context {
        match self {
            Self::Requires | Self::Recommends | Self::Suggests => Context::All,
            Self::Conflicts | Self::Supplements | Self::Enhances => Context::Any,
            Self::Provides | Self::Obsoletes => Context::Free,
        }
    }
}

/// Whether all operands around a rich dependency must hold, or one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    /// As in `and`.
    All,
    /// As in `or`.
    Any,
    /// Neither: the condition of `if` and `unless`.
    Free,
}

/// How the version in a dependency compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Sign {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl Sign {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Less, "<"),
        (Self::LessOrEqual, "<="),
        (Self::Equal, "="),
        (Self::GreaterOrEqual, ">="),
        (Self::Greater, ">"),
    ];

    fn text(self) -> &'static str {
        let found = Self::ALL.iter().find(|(sign, _)| *sign == self);
        found.map_or("=", |(_, text)| text)
    }
}

/// How a rich dependency joins two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RichOperator {
    /// Both.
    And,
    /// One of them.
    Or,
    /// The first one, where the second one is there.
    If,
    /// The first one, where the second one is not there.
    Unless,
    /// What holds where the condition does not.
    Else,
    /// One package that is both.
    With,
    /// One package that is the first and not the second.
    Without,
}

impl RichOperator {
    const ALL: [(Self, &'static str); 7] = [
        (Self::And, "and"),
        (Self::Or, "or"),
        (Self::If, "if"),
        (Self::Unless, "unless"),
        (Self::Else, "else"),
        (Self::With, "with"),
        (Self::Without, "without"),
    ];
}

impl fmt::Display for RichOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.iter().find(|(operator, _)| operator == self);
        f.write_str(found.map_or("", |(_, text)| text))
    }
}

/// The parts of a dependency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Expression {
    /// `NAME`, `NAME >= 1.0`.
    Plain {
        name: String,
        version: Option<(Sign, String)>,
    },
    /// `=NAME`: a package of this recipe.
    Own(PackageName),
    /// Operands in parentheses, the first one without an operator.
    Rich(Box<Self>, Vec<(RichOperator, Self)>),
}

/// One dependency of a package of a recipe.
///
/// ```
/// use kiln_model::{Dependency, DependencyKind};
/// let text = "(=lantern-data or lanterns-extra >= 2)";
/// let dependency = Dependency::parse(text, DependencyKind::Requires).unwrap();
/// let rpm = dependency.resolve(|own| format!("{own} = 2.10-3"));
/// assert_eq!(rpm, "(lantern-data = 2.10-3 or lanterns-extra >= 2)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dependency {
    text: String,
    expression: Expression,
}

impl Dependency {
    /// Reads what stands under a key of a recipe's package.
    ///
    /// # Errors
    /// Every variant of [`DependencyError`].
    pub fn parse(text: &str, kind: DependencyKind) -> Result<Self, DependencyError> {
        let expression = parse::expression(text.trim())?;
        check_kind(&expression, kind)?;
        check_context(&expression, kind.context())?;
        Ok(Self {
            text: text.to_owned(),
            expression,
        })
    }

    /// Returns the text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the packages of the same recipe that it names by `=NAME`.
    #[must_use]
    pub fn own(&self) -> Vec<&PackageName> {
        let mut found = Vec::new();
        self.expression.collect_own(&mut found);
        found
    }

    /// Returns the package of the same recipe that it needs whatever else is there: `=NAME` alone.
    #[must_use]
    pub const fn own_alone(&self) -> Option<&PackageName> {
        match &self.expression {
            Expression::Own(name) => Some(name),
            _ => None,
        }
    }

    /// Returns the path of a dependency that is nothing but a path.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match &self.expression {
            Expression::Plain { name, .. } if name.starts_with('/') => Some(name),
            _ => None,
        }
    }

    /// Returns it as rpm writes it, with what `own` says in place of every `=NAME`.
    #[must_use]
    pub fn resolve(&self, own: impl Fn(&PackageName) -> String) -> String {
        let mut text = String::new();
        self.expression.write(&own, &mut text);
        text
    }
}

impl Expression {
    fn collect_own<'a>(&'a self, found: &mut Vec<&'a PackageName>) {
        match self {
            Self::Plain { .. } => {}
            Self::Own(name) => found.push(name),
            Self::Rich(first, rest) => {
                first.collect_own(found);
                rest.iter()
                    .for_each(|(_, operand)| operand.collect_own(found));
            }
        }
    }

    fn write(&self, own: &impl Fn(&PackageName) -> String, text: &mut String) {
        match self {
            Self::Plain { name, version } => {
                text.push_str(name);
                if let Some((sign, version)) = version {
                    text.push_str(&format!(" {} {version}", sign.text()));
                }
            }
            Self::Own(name) => text.push_str(&own(name)),
            Self::Rich(first, rest) => {
                text.push('(');
                first.write(own, text);
                for (operator, operand) in rest {
                    text.push_str(&format!(" {operator} "));
                    operand.write(own, text);
                }
                text.push(')');
            }
        }
    }
}

/// What rpm, or sense, does not allow for some kinds.
fn check_kind(expression: &Expression, kind: DependencyKind) -> Result<(), DependencyError> {
    use DependencyKind::{Obsoletes, Provides};
    match (kind, expression) {
        (Provides | Obsoletes, Expression::Rich(..)) => {
            Err(DependencyError::RichNotHere { key: kind.key() })
        }
        (Provides | Obsoletes, Expression::Own(_)) => {
            Err(DependencyError::OwnNotHere { key: kind.key() })
        }
        (Provides, Expression::Plain { version, .. }) => match version {
            Some((sign, _)) if *sign != Sign::Equal => {
                Err(DependencyError::ProvidesRange { sign: sign.text() })
            }
            _ => Ok(()),
        },
        (Obsoletes, Expression::Plain { name, version }) => {
            if name.parse::<PackageName>().is_err() {
                return Err(DependencyError::ObsoletesName { name: name.clone() });
            }
            match version {
                Some((Sign::Less | Sign::LessOrEqual | Sign::Equal, _)) => Ok(()),
                _ => Err(DependencyError::ObsoletesRange { name: name.clone() }),
            }
        }
        _ => Ok(()),
    }
}

/// Refuses operators where they do not mean what they seem to (rpm: "illegal context").
fn check_context(expression: &Expression, context: Context) -> Result<(), DependencyError> {
    let Expression::Rich(first, rest) = expression else {
        return Ok(());
    };
    let refused = |operator, instead| DependencyError::Context { operator, instead };
    let (inner, condition) = match rest.first().map(|(operator, _)| *operator) {
        Some(RichOperator::If) if context == Context::Any => {
            return Err(refused(RichOperator::If, RichOperator::And));
        }
        Some(RichOperator::Unless) if context == Context::All => {
            return Err(refused(RichOperator::Unless, RichOperator::Or));
        }
        Some(RichOperator::If) => (Context::All, Context::Free),
        Some(RichOperator::Unless) => (Context::Any, Context::Free),
        Some(RichOperator::And) => (Context::All, Context::All),
        Some(RichOperator::Or) => (Context::Any, Context::Any),
        Some(RichOperator::With | RichOperator::Without) => {
            return check_one_package(expression);
        }
        Some(RichOperator::Else) | None => (context, context),
    };
    check_context(first, inner)?;
    for (operator, operand) in rest {
        let is_condition = matches!(operator, RichOperator::If | RichOperator::Unless);
        check_context(operand, if is_condition { condition } else { inner })?;
    }
    Ok(())
}

/// `with` and `without` are about one package: what is not about one has no meaning in them.
fn check_one_package(expression: &Expression) -> Result<(), DependencyError> {
    let Expression::Rich(first, rest) = expression else {
        return Ok(());
    };
    check_one_package(first)?;
    for (operator, operand) in rest {
        if !matches!(
            operator,
            RichOperator::With | RichOperator::Without | RichOperator::Or
        ) {
            return Err(DependencyError::NotOnePackage {
                operator: *operator,
            });
        }
        check_one_package(operand)?;
    }
    Ok(())
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Dependency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
