//! Names of systemd units, and lines of tmpfiles.d files.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::ServiceError;
use crate::recipe::nearest;

/// Where packages put systemd units.
pub const UNIT_FOLDER: &str = "/usr/lib/systemd/system";

/// The name of a systemd unit: `memcached.service`, `worker@.service`, `worker@1.service`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UnitName(String);

/// What kind of unit it is, by its name's ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitKind {
    /// Runs a program.
    Service,
    /// Listens, and starts a service on demand.
    Socket,
    /// Starts another unit at times.
    Timer,
    /// Starts another unit when a file changes.
    Path,
    /// Groups units.
    Target,
    /// Mounts a file system.
    Mount,
    /// Mounts one on demand.
    Automount,
    /// Groups processes.
    Slice,
}

const KINDS: &[(&str, UnitKind)] = &[
    ("service", UnitKind::Service),
    ("socket", UnitKind::Socket),
    ("timer", UnitKind::Timer),
    ("path", UnitKind::Path),
    ("target", UnitKind::Target),
    ("mount", UnitKind::Mount),
    ("automount", UnitKind::Automount),
    ("slice", UnitKind::Slice),
];

impl UnitKind {
    /// Returns the section that is the kind's own: `Service`. Targets and slices need none.
    #[must_use]
    pub const fn section(self) -> Option<&'static str> {
        match self {
            Self::Service => Some("Service"),
            Self::Socket => Some("Socket"),
            Self::Timer => Some("Timer"),
            Self::Path => Some("Path"),
            Self::Mount => Some("Mount"),
            Self::Automount => Some("Automount"),
            Self::Target | Self::Slice => None,
        }
    }
}

impl UnitName {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns its kind.
    ///
    /// # Panics
    /// Never: a name has one of the endings.
    #[must_use]
    pub fn kind(&self) -> UnitKind {
        let (_, ending) = self.0.rsplit_once('.').expect("a unit name has an ending");
        let mut kinds = KINDS.iter().filter(|(word, _)| *word == ending);
        kinds.next().expect("the ending is a kind's").1
    }

    /// Returns the name of the file that describes it: an instance's template, else itself.
    #[must_use]
    pub fn file(&self) -> String {
        match self.0.split_once('@') {
            Some((template, rest)) => {
                let ending = rest.rsplit('.').next().unwrap_or_default();
                format!("{template}@.{ending}")
            }
            None => self.0.clone(),
        }
    }

    /// Returns whether it is a template, of which only instances run.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.0.contains("@.")
    }

    /// Returns a pattern, as `systemctl` takes it, of what runs of it.
    #[must_use]
    pub fn running(&self) -> String {
        self.0.replacen("@.", "@*.", 1)
    }
}

impl FromStr for UnitName {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let ending = text.rsplit_once('.').map_or("", |(_, ending)| ending);
        let stem = text.strip_suffix(ending).unwrap_or(text);
        let is_known = KINDS.iter().any(|(word, _)| *word == ending);
        let is_name = text.len() <= 255
            && stem.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            && stem.matches('@').count() <= 1
            && !stem.contains("..")
            && stem
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.@-".contains(c));
        if is_known && is_name {
            return Ok(Self(text.to_owned()));
        }
        let meant = nearest(ending, KINDS.iter().map(|(word, _)| *word));
        Err(ServiceError::Unit {
            nearest: meant
                .filter(|_| is_name && !is_known)
                .map(|word| format!("{stem}{word}")),
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One line of a tmpfiles.d file (tmpfiles.d(5)): fields that white space parts, without quotes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TmpfilesLine(String);

impl TmpfilesLine {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the user and the group that own what it makes, where it names them.
    pub fn owners(&self) -> impl Iterator<Item = &str> {
        let fields = self.0.split_whitespace().skip(3).take(2);
        fields
            .map(|field| field.trim_start_matches(':'))
            .filter(|field| *field != "-")
    }
}

impl FromStr for TmpfilesLine {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let line = text.trim();
        match tmpfiles_mistake(line) {
            None => Ok(Self(line.to_owned())),
            Some(reason) => Err(ServiceError::Tmpfiles {
                line: line.to_owned(),
                reason,
            }),
        }
    }
}

fn tmpfiles_mistake(line: &str) -> Option<&'static str> {
    if line.chars().any(char::is_control) {
        return Some("it holds a control character");
    }
    let mut fields = line.split_whitespace();
    let kind = fields.next().unwrap_or_default();
    let is_kind = kind.starts_with(|c: char| "fFwdDevqQpLcbCxXrRzZtThHaA".contains(c))
        && kind[1..].chars().all(|c| "+!-=~^$?".contains(c));
    if !is_kind {
        return Some("its type is none that systemd knows");
    }
    let path = fields.next().unwrap_or_default();
    if path.contains(['"', '\'']) {
        return Some("it has quotes in its path");
    }
    let is_path =
        path.starts_with('/') && !path.split('/').any(|part| part == "..") || path.starts_with('%');
    if !is_path {
        return Some("its path is not absolute");
    }
    let mode = fields.next().unwrap_or("-");
    let digits = mode.trim_start_matches(['~', ':']);
    let is_mode = mode == "-"
        || (3..=4).contains(&digits.len()) && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    if !is_mode {
        return Some("its mode is neither `-` nor three or four octal digits");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_described_by_a_file_and_runs_by_its_name() {
        for (name, file, running, kind) in [
            ("x.service", "x.service", "x.service", UnitKind::Service),
            ("x@.service", "x@.service", "x@*.service", UnitKind::Service),
            ("x@a.b.timer", "x@.timer", "x@a.b.timer", UnitKind::Timer),
            ("a.b.socket", "a.b.socket", "a.b.socket", UnitKind::Socket),
        ] {
            let unit: UnitName = name.parse().unwrap();
            assert_eq!(
                (unit.file().as_str(), unit.running().as_str(), unit.kind()),
                (file, running, kind)
            );
        }
    }

    #[test]
    fn what_systemd_would_not_load_is_no_unit_name() {
        for (text, nearest) in [
            ("x", None),
            ("x.servce", Some("x.service")),
            ("x.conf", None),
            (".service", None),
            ("@.service", None),
            ("a/b.service", None),
            ("a b.service", None),
            ("x@y@z.service", None),
            ("x..service", None),
            ("x\n.service", None),
        ] {
            let expected = ServiceError::Unit {
                text: text.to_owned(),
                nearest: nearest.map(str::to_owned),
            };
            assert_eq!(text.parse::<UnitName>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_tmpfiles_line_has_a_type_a_path_and_a_mode() {
        let owners = |text: &str| -> Vec<String> {
            let line = text.parse::<TmpfilesLine>().unwrap();
            line.owners().map(str::to_owned).collect()
        };
        assert_eq!(owners("d /run/x 0755 x y -"), ["x", "y"]);
        assert_eq!(owners("d /run/x 0755 - :y 10d"), ["y"]);
        assert_eq!(owners("L+ /etc/x - - - - ../y"), [""; 0]);
        assert_eq!(owners("r! /run/x/*.pid"), [""; 0]);
        for (line, reason) in [
            ("", "its type is none that systemd knows"),
            ("y /run/x", "its type is none that systemd knows"),
            ("d", "its path is not absolute"),
            ("d run/x", "its path is not absolute"),
            ("d /run/../etc", "its path is not absolute"),
            ("d \"/run/x y\"", "it has quotes in its path"),
            (
                "d /run/x rwx",
                "its mode is neither `-` nor three or four octal digits",
            ),
            ("d /run/x 0755\nr /", "it holds a control character"),
        ] {
            let expected = ServiceError::Tmpfiles {
                line: line.to_owned(),
                reason,
            };
            assert_eq!(line.parse::<TmpfilesLine>(), Err(expected), "{line}");
        }
    }
}
