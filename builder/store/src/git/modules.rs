//! `.gitmodules`: which submodule lies where. The file is git's configuration format (git-config(1)); only
//! sections `[submodule "NAME"]` and their keys `path` and `url` are looked at, and no command in it means
//! anything here.

/// One section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Module {
    pub(super) path: Option<String>,
    pub(super) url: Option<String>,
}

/// Reads the file.
///
/// # Errors
/// The number of the first line that is not of the format.
pub(super) fn parse(text: &str) -> Result<Vec<Module>, usize> {
    let mut modules: Vec<(String, Module)> = Vec::new();
    // The section that lines belong to, if it is a submodule's.
    let mut current: Option<usize> = None;
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let wrong = number + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            current = match section(rest).ok_or(wrong)? {
                Some(name) => {
                    let known = modules.iter().position(|(known, _)| *known == name);
                    Some(known.unwrap_or_else(|| {
                        modules.push((name, Module::default()));
                        modules.len() - 1
                    }))
                }
                None => None,
            };
            continue;
        }
        let (key, mut rest) = match line.split_once('=') {
            Some((key, value)) => (key.trim(), value.trim().to_owned()),
            None => (line, String::new()),
        };
        let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic())
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !is_key {
            return Err(wrong);
        }
        while rest.ends_with('\\') && !rest.ends_with("\\\\") {
            rest.pop();
            rest.push_str(lines.next().ok_or(wrong)?.1.trim());
        }
        let value = value(&rest).ok_or(wrong)?;
        let Some((_, module)) = current.and_then(|index| modules.get_mut(index)) else {
            continue;
        };
        // As in git, the last one of several counts.
        match key.to_ascii_lowercase().as_str() {
            "path" => module.path = Some(value),
            "url" => module.url = Some(value),
            _ => {}
        }
    }
    Ok(modules.into_iter().map(|(_, module)| module).collect())
}

/// Reads what follows `[`: the name of a submodule, `None` for a section of another kind.
fn section(rest: &str) -> Option<Option<String>> {
    let (head, quoted) = match rest.split_once('"') {
        None => {
            let (_, after) = rest.split_once(']')?;
            return is_comment(after).then_some(None);
        }
        Some(parts) => parts,
    };
    let mut name = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => break,
            '\\' => name.push(characters.next()?),
            other => name.push(other),
        }
    }
    let after = characters.as_str().trim_start().strip_prefix(']')?;
    let is_submodule = head.trim().eq_ignore_ascii_case("submodule");
    is_comment(after).then_some(is_submodule.then_some(name))
}

fn is_comment(text: &str) -> bool {
    let text = text.trim_start();
    text.is_empty() || text.starts_with(['#', ';'])
}

/// Reads a value: quotes and escapes resolved, comments and spaces around it left out.
fn value(text: &str) -> Option<String> {
    let mut value = String::new();
    // Bytes of the value up to which spaces count.
    let mut kept = 0;
    let mut is_quoted = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => is_quoted = !is_quoted,
            '#' | ';' if !is_quoted => break,
            '\\' => value.push(match characters.next()? {
                'n' => '\n',
                't' => '\t',
                'b' => '\u{8}',
                other @ ('"' | '\\') => other,
                _ => return None,
            }),
            other => value.push(other),
        }
        if is_quoted || !character.is_whitespace() {
            kept = value.len();
        }
    }
    value.truncate(kept);
    (!is_quoted).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(path: &str, url: &str) -> Module {
        Module {
            path: Some(path.to_owned()),
            url: Some(url.to_owned()),
        }
    }

    #[test]
    fn submodules_are_read_as_git_reads_them() {
        let text = "# of ours\n[core]\n\tpath = no\n[submodule \"a \\\"b\\\"\"] ; x\n\tpath = modules/a\n\
                    \turl = \"https://example.org/a#b.git\" # home\n\tupdate = !rm -rf /\n\
                    [submodule \"c\"]\n path=c\\\n/d\n  URL = ../c.git ; y\n\tshallow\n\
                    [submodule \"c\"]\nurl = ../e.git\n";
        assert_eq!(
            parse(text).unwrap(),
            [
                module("modules/a", "https://example.org/a#b.git"),
                module("c/d", "../e.git")
            ]
        );
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(parse("[submodule \"x\"]\n").unwrap(), [Module::default()]);
    }

    #[test]
    fn no_text_makes_it_panic_or_go_on_for_ever() {
        let text =
            "[submodule \"a \\\"b\"] # x\n\tpath = \"m\\n\" ; y\n url = a\\\n b\n[core]\nx\n";
        for (at, _) in text.char_indices() {
            let _ = parse(&text[..at]);
            for other in ["", "\"", "\\", "\n", "[", "]", "=", "#", "\u{fffd}"] {
                let rest = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
                let _ = parse(&format!("{}{other}{}", &text[..at], &text[rest..]));
            }
        }
    }

    #[test]
    fn lines_that_are_not_of_the_format_are_named() {
        for (text, line) in [
            ("[submodule \"x\n", 1),
            ("[submodule \"x\"\npath = y\n", 1),
            ("\n-u = x\n", 2),
            ("[submodule \"x\"]\npath = \"y\n", 2),
            ("[submodule \"x\"]\npath = \\x\n", 2),
            ("[submodule \"x\"]\npath = y\\", 2),
            ("<html>\n", 1),
        ] {
            assert_eq!(parse(text), Err(line), "{text:?}");
        }
    }
}
