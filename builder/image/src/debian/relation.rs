//! Relations between packages (Debian policy 7.1): `libc6 (>= 2.36), mawk | awk, python3:any`.
//!
//! ```text
//! clauses      = clause { "," clause }               all of them must hold
//! clause       = alternative { "|" alternative }     one of them is enough, the first is preferred
//! alternative  = name [ ":" qualifier ] [ "(" operator version ")" ] [ "[" archs "]" ] { "<" profiles ">" }
//! operator     = "<<" | "<=" | "=" | ">=" | ">>"
//! ```
//!
//! Restrictions to architectures are decided while reading, for the one architecture that is built
//! for. Build profiles stand in source packages only and are ignored.

use std::cmp::Ordering;
use std::fmt;

use kiln_model::Architecture;

use super::version::{DebianVersion, VersionError};

/// Says why a relation can not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelationError {
    /// The text does not follow the grammar.
    #[error("expected {expected} in the relation `{text}`")]
    Syntax {
        /// What is missing.
        expected: &'static str,
        /// The alternative as it was given.
        text: String,
    },
    /// The version in it is none.
    #[error("in the relation `{text}`")]
    Version {
        /// The alternative as it was given.
        text: String,
        /// What is wrong with the version.
        #[source]
        source: VersionError,
    },
}

/// How a version must compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Earlier,
    EarlierOrEqual,
    Equal,
    LaterOrEqual,
    Later,
}

/// A demand on a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Constraint {
    pub operator: Operator,
    pub version: DebianVersion,
}

impl Constraint {
    /// Tells whether `version` meets the demand.
    pub fn holds(&self, version: &DebianVersion) -> bool {
        let order = version.cmp(&self.version);
        match self.operator {
            Operator::Earlier => order == Ordering::Less,
            Operator::EarlierOrEqual => order != Ordering::Greater,
            Operator::Equal => order == Ordering::Equal,
            Operator::LaterOrEqual => order != Ordering::Less,
            Operator::Later => order == Ordering::Greater,
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.operator {
            Operator::Earlier => "<<",
            Operator::EarlierOrEqual => "<=",
            Operator::Equal => "=",
            Operator::LaterOrEqual => ">=",
            Operator::Later => ">>",
        };
        write!(f, "({operator} {})", self.version)
    }
}

/// Which architectures' packages count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Qualifier {
    /// None, `:native` or the own architecture: packages of the own architecture and `all`.
    Own,
    /// `:any`: only packages that say `Multi-Arch: allowed`.
    Any,
    /// Another architecture: nothing that is in the index.
    Foreign,
}

/// One alternative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub name: Box<str>,
    pub qualifier: Qualifier,
    pub constraint: Option<Constraint>,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.qualifier {
            Qualifier::Own => {}
            Qualifier::Any => f.write_str(":any")?,
            Qualifier::Foreign => f.write_str(" of another architecture")?,
        }
        match &self.constraint {
            Some(constraint) => write!(f, " {constraint}"),
            None => Ok(()),
        }
    }
}

/// Alternatives of which one is enough, the preferred one first; never empty.
pub(super) type Clause = Vec<Relation>;

/// Reads a `Depends`-like value. Clauses that are for other architectures only are left out.
pub(super) fn parse_clauses(
    text: &str,
    architecture: Architecture,
) -> Result<Vec<Clause>, RelationError> {
    let mut clauses = Vec::new();
    if text.trim_ascii().is_empty() {
        return Ok(clauses);
    }
    for clause_text in text.split(',') {
        let mut clause = Vec::new();
        for alternative in clause_text.split('|') {
            clause.extend(parse_relation(alternative.trim_ascii(), architecture)?);
        }
        if !clause.is_empty() {
            clauses.push(clause);
        }
    }
    Ok(clauses)
}

/// Reads a value without alternatives: `Conflicts`, `Breaks`, `Provides`.
pub(super) fn parse_relations(
    text: &str,
    architecture: Architecture,
) -> Result<Vec<Relation>, RelationError> {
    let mut relations = Vec::new();
    if text.trim_ascii().is_empty() {
        return Ok(relations);
    }
    for relation in text.split(',') {
        relations.extend(parse_relation(relation.trim_ascii(), architecture)?);
    }
    Ok(relations)
}

/// Tells whether a text is a package name, as wide as the model's `DistributionPackage` is.
pub(super) fn is_package_name(text: &str) -> bool {
    text.len() <= 128
        && text
            .as_bytes()
            .first()
            .is_some_and(u8::is_ascii_alphanumeric)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.+_".contains(&byte))
}

/// Reads one alternative; `None` if it is restricted to other architectures.
fn parse_relation(
    text: &str,
    architecture: Architecture,
) -> Result<Option<Relation>, RelationError> {
    let syntax = |expected| RelationError::Syntax {
        expected,
        text: text.to_owned(),
    };
    let name_end = text
        .bytes()
        .position(|byte| byte.is_ascii_whitespace() || b"([<".contains(&byte))
        .unwrap_or(text.len());
    let (name, mut rest) = text.split_at(name_end);
    let (name, qualifier) = match name.split_once(':') {
        None => (name, Qualifier::Own),
        Some((name, qualifier)) => {
            let qualifier = parse_qualifier(qualifier, architecture)
                .ok_or_else(|| syntax("an architecture after `:`"))?;
            (name, qualifier)
        }
    };
    if !is_package_name(name) {
        return Err(syntax("a package name"));
    }
    rest = rest.trim_ascii_start();
    let mut constraint = None;
    if let Some(inner) = rest.strip_prefix('(') {
        let (inner, after) = inner.split_once(')').ok_or_else(|| syntax("`)`"))?;
        constraint = Some(parse_constraint(inner, text)?);
        rest = after.trim_ascii_start();
    }
    let mut applies = true;
    if let Some(inner) = rest.strip_prefix('[') {
        let (inner, after) = inner.split_once(']').ok_or_else(|| syntax("`]`"))?;
        applies = applies_to(inner, architecture);
        rest = after.trim_ascii_start();
    }
    while let Some(inner) = rest.strip_prefix('<') {
        let (_, after) = inner.split_once('>').ok_or_else(|| syntax("`>`"))?;
        rest = after.trim_ascii_start();
    }
    if !rest.is_empty() {
        return Err(syntax("nothing more"));
    }
    Ok(applies.then(|| Relation {
        name: name.into(),
        qualifier,
        constraint,
    }))
}

fn parse_qualifier(text: &str, architecture: Architecture) -> Option<Qualifier> {
    match text {
        "any" => Some(Qualifier::Any),
        "native" => Some(Qualifier::Own),
        text if text == architecture.debian() => Some(Qualifier::Own),
        text if !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') =>
        {
            Some(Qualifier::Foreign)
        }
        _ => None,
    }
}

fn parse_constraint(inner: &str, text: &str) -> Result<Constraint, RelationError> {
    let inner = inner.trim_ascii();
    let end = inner
        .bytes()
        .position(|byte| !b"<=>".contains(&byte))
        .unwrap_or(inner.len());
    let (operator, version) = inner.split_at(end);
    let operator = match operator {
        "<<" => Operator::Earlier,
        // The single signs are what dpkg long ago took for "or equal", and still does.
        "<=" | "<" => Operator::EarlierOrEqual,
        "=" => Operator::Equal,
        ">=" | ">" => Operator::LaterOrEqual,
        ">>" => Operator::Later,
        _ => {
            return Err(RelationError::Syntax {
                expected: "one of `<<`, `<=`, `=`, `>=`, `>>`",
                text: text.to_owned(),
            });
        }
    };
    let version = version
        .trim_ascii()
        .parse()
        .map_err(|source| RelationError::Version {
            text: text.to_owned(),
            source,
        })?;
    Ok(Constraint { operator, version })
}

/// Tells whether `[amd64 i386]` or `[!amd64]` lets the architecture in.
fn applies_to(list: &str, architecture: Architecture) -> bool {
    let own = architecture.debian();
    let is_own = |name: &str| {
        name == "any"
            || name == "linux-any"
            || name == own
            || name.strip_prefix("linux-").is_some_and(|cpu| cpu == own)
            || name.strip_prefix("any-").is_some_and(|cpu| cpu == own)
    };
    let mut names = list.split_ascii_whitespace().peekable();
    if names.peek().is_some_and(|name| name.starts_with('!')) {
        !names.any(|name| is_own(name.trim_start_matches('!')))
    } else {
        names.any(is_own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let clauses = parse_clauses(text, Architecture::X86_64).unwrap();
        let clause = |clause: &Clause| {
            let alternatives: Vec<_> = clause.iter().map(Relation::to_string).collect();
            alternatives.join(" | ")
        };
        clauses.iter().map(clause).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn relations_are_read() {
        for (text, expected) in [
            ("", ""),
            ("libc6 (>= 2.36), mawk|awk", "libc6 (>= 2.36), mawk | awk"),
            ("a(<<1:2-3)", "a (<< 1:2-3)"),
            (
                "a (= 1),\n b (<= 2),\n c (>> 3)",
                "a (= 1), b (<= 2), c (>> 3)",
            ),
            ("a (< 1), b (> 1)", "a (<= 1), b (>= 1)"),
            ("python3:any (>= 3.5~)", "python3:any (>= 3.5~)"),
            ("gcc:native, g++:amd64", "gcc, g++"),
            ("libc6:i386", "libc6 of another architecture"),
            ("a [amd64], b [i386], c [!amd64], d [!i386]", "a, d"),
            ("a [any-amd64] | b [linux-any] | c [arm64]", "a | b"),
            ("a [i386] | b [arm64], c", "c"),
            (
                "a <!nocheck> <stage1 !cross>, b (>= 1) [amd64] <!x>",
                "a, b (>= 1)",
            ),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn damaged_relations_are_refused_with_what_is_missing() {
        for (text, expected, at) in [
            (",", "a package name", ""),
            ("a, , b", "a package name", ""),
            ("a |", "a package name", ""),
            ("../x", "a package name", "../x"),
            ("a (>= 1", "`)`", "a (>= 1"),
            ("a (~ 1)", "one of `<<`, `<=`, `=`, `>=`, `>>`", "a (~ 1)"),
            ("a (=> 1)", "one of `<<`, `<=`, `=`, `>=`, `>>`", "a (=> 1)"),
            ("a [amd64", "`]`", "a [amd64"),
            ("a <x", "`>`", "a <x"),
            ("a b", "nothing more", "a b"),
            ("a: (>= 1)", "an architecture after `:`", "a: (>= 1)"),
        ] {
            assert_eq!(
                parse_clauses(text, Architecture::X86_64),
                Err(RelationError::Syntax {
                    expected,
                    text: at.to_owned()
                }),
                "{text:?}"
            );
        }
        assert_eq!(
            parse_clauses("a (= _)", Architecture::X86_64),
            Err(RelationError::Version {
                text: "a (= _)".to_owned(),
                source: VersionError {
                    text: "_".to_owned()
                }
            })
        );
    }
}
