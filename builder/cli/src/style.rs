//! Lines with colours, and whether colours are wanted.
//!
//! The text of a span is made harmless when it is put in, so that the only terminal commands in a
//! rendered line are kiln's own.

use clap::ValueEnum;

use crate::text::{clean, cut, width};

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR, CLICOLOR or TERM says otherwise
    Auto,
    /// Even when the output is no terminal
    Always,
    /// Not at all
    Never,
}

/// What the environment says of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// `NO_COLOR` is set to something.
    pub no_color: bool,
    /// `CLICOLOR_FORCE` is set to something other than 0.
    pub is_forced: bool,
    /// `CLICOLOR` is 0.
    pub is_declined: bool,
    /// `TERM` is `dumb`.
    pub is_dumb: bool,
}

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// Yes.
    On,
    /// No.
    Off,
}

impl Colours {
    /// Decides for one stream. The command line comes first, then `NO_COLOR`, then `CLICOLOR_FORCE`.
    pub const fn choose(when: When, wishes: Wishes, is_terminal: bool) -> Self {
        let is_on = match when {
            When::Always => true,
            When::Never => false,
            When::Auto if wishes.no_color => false,
            When::Auto if wishes.is_forced => true,
            When::Auto => is_terminal && !wishes.is_dumb && !wishes.is_declined,
        };
        if is_on { Self::On } else { Self::Off }
    }
}

/// How a piece of a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    /// What is done.
    Good,
    /// What went wrong.
    Bad,
    /// What was left out.
    Odd,
    /// What matters less.
    Dim,
    /// What is going on.
    Active,
}

impl Style {
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("\u{1b}[32m"),
            Self::Bad => Some("\u{1b}[1;31m"),
            Self::Odd => Some("\u{1b}[33m"),
            Self::Dim => Some("\u{1b}[2m"),
            Self::Active => Some("\u{1b}[1m"),
        }
    }
}

/// One line, piece by piece.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line(Vec<(Style, String)>);

impl Line {
    /// Returns an empty line.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns a line of one style.
    pub fn plain(text: &str) -> Self {
        Self::new().with(Style::Plain, text)
    }

    /// Adds a piece of text, made harmless.
    #[must_use]
    pub fn with(mut self, style: Style, text: &str) -> Self {
        self.0.push((style, clean(text)));
        self
    }

    /// Returns the columns that it takes.
    pub fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| width(text)).sum()
    }

    /// Shortens it at its end to so many columns.
    #[must_use]
    pub fn cut(self, columns: usize) -> Self {
        let mut room = columns;
        let mut pieces = Vec::new();
        for (style, text) in self.0 {
            if width(&text) > room {
                pieces.push((style, cut(&text, room)));
                break;
            }
            room -= width(&text);
            pieces.push((style, text));
        }
        Self(pieces)
    }

    /// Returns what is written, without blanks at the end.
    pub fn render(&self, colours: Colours) -> String {
        let mut rendered = String::new();
        for (style, text) in &self.0 {
            match style.code().filter(|_| colours == Colours::On) {
                Some(code) => rendered.extend([code, text, "\u{1b}[0m"]),
                None => rendered.push_str(text),
            }
        }
        rendered.truncate(rendered.trim_end_matches(' ').len());
        rendered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_usual_rules() {
        let none = Wishes::default();
        let no_color = Wishes {
            no_color: true,
            is_forced: true,
            ..none
        };
        let forced = Wishes {
            is_forced: true,
            is_dumb: true,
            ..none
        };
        let dumb = Wishes {
            is_dumb: true,
            ..none
        };
        let declined = Wishes {
            is_declined: true,
            ..none
        };
        for (when, wishes, on_terminal, piped) in [
            (When::Auto, none, true, false),
            (When::Auto, no_color, false, false),
            (When::Auto, forced, true, true),
            (When::Auto, dumb, false, false),
            (When::Auto, declined, false, false),
            (When::Always, no_color, true, true),
            (When::Never, forced, false, false),
        ] {
            for (is_terminal, expected) in [(true, on_terminal), (false, piped)] {
                let chosen = Colours::choose(when, wishes, is_terminal);
                let expected = if expected { Colours::On } else { Colours::Off };
                assert_eq!(chosen, expected, "{when:?} {wishes:?} {is_terminal}");
            }
        }
    }

    #[test]
    fn a_line_has_only_its_own_colours_and_fits() {
        let line = Line::new()
            .with(Style::Bad, "failed ")
            .with(Style::Plain, "na\u{1b}[2Jme  ");
        assert_eq!(line.width(), 17);
        assert_eq!(line.render(Colours::Off), "failed na\u{fffd}[2Jme");
        assert_eq!(
            line.clone().cut(9).render(Colours::On),
            "\u{1b}[1;31mfailed \u{1b}[0mn…"
        );
        assert_eq!(line.cut(0).render(Colours::Off), "");
    }
}
