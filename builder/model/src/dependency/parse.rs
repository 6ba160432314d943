//! Reads the text of a dependency.
//!
//! ```text
//! dependency = plain | "=" NAME | rich
//! plain      = NAME [SIGN VERSION]              spaces around the sign
//! rich       = "(" operand { OPERATOR operand } ")"
//! operand    = plain | "=" NAME | rich
//! ```
//!
//! As in rpm, a `)` belongs to a name when a `(` of the name is open: `libz.so.1()(64bit)`. In one pair of
//! parentheses `and`, `or` and `with` can be repeated, but not mixed; `if` and `unless` can be followed by
//! one `else`.

use super::{DependencyError, Expression, RichOperator, Sign};
use crate::recipe::nearest;

/// Most parentheses within each other.
const MAX_DEPTH: usize = 16;

/// Characters of names that rpm, a shell or a spec file would take for something else.
const REFUSED_IN_NAMES: &str = ",%\"'\\`$<>=;&|";

/// Reads a whole text.
pub(super) fn expression(text: &str) -> Result<Expression, DependencyError> {
    if text.is_empty() {
        return Err(DependencyError::Empty);
    }
    let mut reader = Reader { rest: text };
    let expression = if let Some(own) = text.strip_prefix('=') {
        reader.rest = "";
        own_package(own.trim())?
    } else if text.starts_with('(') {
        reader.rich(1)?
    } else {
        reader.plain()?
    };
    match reader.rest.trim() {
        "" => Ok(expression),
        rest => Err(DependencyError::More {
            rest: rest.to_owned(),
        }),
    }
}

fn own_package(text: &str) -> Result<Expression, DependencyError> {
    let name = text.parse().map_err(|_| DependencyError::OwnName {
        text: text.to_owned(),
    })?;
    Ok(Expression::Own(name))
}

/// What of the text was not read yet.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes what stands before the next space or the `)` that closes a rich dependency.
    fn word(&mut self) -> &'a str {
        self.skip_spaces();
        let mut open = 0_usize;
        let is_end = |character: char| {
            match character {
                '(' => open += 1,
                ')' if open == 0 => return true,
                ')' => open -= 1,
                _ => {}
            }
            character.is_whitespace()
        };
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Returns the next word without taking it.
    fn peek(&self) -> &'a str {
        Reader { rest: self.rest }.word()
    }

    fn plain(&mut self) -> Result<Expression, DependencyError> {
        let name = self.word();
        check_name(name)?;
        let sign = self.peek();
        let version = if sign.starts_with(['<', '>', '=', '!', '~']) {
            self.word();
            Some(self.version(name, sign)?)
        } else {
            None
        };
        Ok(Expression::Plain {
            name: name.to_owned(),
            version,
        })
    }

    fn version(&mut self, name: &str, text: &str) -> Result<(Sign, String), DependencyError> {
        let known = Sign::ALL.iter().find(|(_, known)| *known == text);
        let (sign, text) = known.ok_or_else(|| DependencyError::Sign {
            text: text.to_owned(),
        })?;
        if name.starts_with('/') {
            return Err(DependencyError::VersionedPath {
                path: name.to_owned(),
            });
        }
        let version = self.word();
        if version.is_empty() {
            return Err(DependencyError::NoVersion {
                name: name.to_owned(),
                sign: text,
            });
        }
        if !is_evr(version) {
            return Err(DependencyError::Version {
                version: version.to_owned(),
            });
        }
        Ok((*sign, version.to_owned()))
    }

    fn rich(&mut self, depth: usize) -> Result<Expression, DependencyError> {
        if depth > MAX_DEPTH {
            return Err(DependencyError::TooDeep { limit: MAX_DEPTH });
        }
        self.rest = self.rest.strip_prefix('(').unwrap_or(self.rest);
        self.skip_spaces();
        if self.rest.starts_with(')') {
            return Err(DependencyError::EmptyRich);
        }
        let first = self.operand(depth)?;
        let mut rest: Vec<(RichOperator, Expression)> = Vec::new();
        loop {
            self.skip_spaces();
            if let Some(after) = self.rest.strip_prefix(')') {
                self.rest = after;
                return Ok(Expression::Rich(Box::new(first), rest));
            }
            if self.rest.is_empty() {
                return Err(DependencyError::Unclosed);
            }
            let operator = self.operator(rest.last().map(|(operator, _)| *operator))?;
            self.skip_spaces();
            if self.rest.is_empty() || self.rest.starts_with(')') {
                return Err(DependencyError::NoOperand { operator });
            }
            rest.push((operator, self.operand(depth)?));
        }
    }

    fn operand(&mut self, depth: usize) -> Result<Expression, DependencyError> {
        if self.rest.starts_with('(') {
            return self.rich(depth + 1);
        }
        match self.peek().strip_prefix('=') {
            Some(own) => {
                self.word();
                own_package(own)
            }
            None => self.plain(),
        }
    }

    /// Takes an operator that may follow `earlier` in the same parentheses.
    fn operator(&mut self, earlier: Option<RichOperator>) -> Result<RichOperator, DependencyError> {
        let word = self.word();
        let known = RichOperator::ALL.iter().find(|(_, known)| *known == word);
        let (operator, _) = known.ok_or_else(|| DependencyError::Operator {
            word: word.to_owned(),
            nearest: nearest(word, RichOperator::ALL.iter().map(|(_, name)| *name)),
        })?;
        use RichOperator::{And, Else, If, Or, Unless, With};
        match (earlier, *operator) {
            (None, Else) => Err(DependencyError::LoneElse),
            (None, _) | (Some(If | Unless), Else) => Ok(*operator),
            (Some(first), second) if first != second => {
                Err(DependencyError::Mixed { first, second })
            }
            (Some(And | Or | With), _) => Ok(*operator),
            (Some(_), operator) => Err(DependencyError::Repeated { operator }),
        }
    }
}

fn check_name(name: &str) -> Result<(), DependencyError> {
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric() || "/_".contains(c)) {
        return Err(DependencyError::NameStart {
            text: name.to_owned(),
        });
    }
    let is_refused = |c: &char| !c.is_ascii_graphic() || REFUSED_IN_NAMES.contains(*c);
    match name.chars().find(is_refused) {
        Some(character) => Err(DependencyError::NameCharacter {
            name: name.to_owned(),
            character,
        }),
        None if is_balanced(name) => Ok(()),
        None => Err(DependencyError::Unclosed),
    }
}

fn is_balanced(name: &str) -> bool {
    let count = |wanted: char| name.chars().filter(|c| *c == wanted).count();
    count('(') == count(')')
}

/// `[EPOCH:]VERSION[-RELEASE]`.
fn is_evr(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".+~^_".contains(c))
    };
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) => (epoch, rest),
        None => ("0", text),
    };
    let is_number = epoch.bytes().all(|b| b.is_ascii_digit()) && epoch.parse::<u32>().is_ok();
    is_number
        && rest.starts_with(|c: char| c.is_ascii_alphanumeric())
        && rest.splitn(2, '-').all(is_part)
}
