//! A Mermaid flowchart: what Markdown pages of code hosts draw.

use std::fmt::Write as _;

use super::{Diagram, LinkStyle, Node, NodeKey, NodeKind, identifier};

/// Writes a diagram as a Mermaid flowchart.
pub fn mermaid(diagram: &Diagram) -> String {
    let mut text = String::from("flowchart LR\n");
    for (name, frame) in &diagram.frames {
        let id = identifier('b', name.as_str());
        let label = escaped(&[&format!("base image {name}"), &frame.origin]);
        let _ = writeln!(text, "  subgraph {id}[\"{label}\"]");
        for (key, node) in &frame.nodes {
            let _ = writeln!(text, "    {}", node_line(&key.identifier(), node));
        }
        text.push_str("  end\n");
    }
    for used in &diagram.uses {
        let (by, of) = (used.by.identifier(), used.of.identifier());
        let is_system = matches!(used.of, NodeKey::Package(..));
        let _ = writeln!(text, "  {by} {} {of}", arrow(used.link, is_system));
    }
    text.push_str("  subgraph legend[\"legend\"]\n");
    for (id, kind, name, detail) in [
        (
            "product",
            NodeKind::Product,
            "recipe",
            "that yields packages",
        ),
        ("library", NodeKind::Library, "recipe", "that others bundle"),
        (
            "package",
            NodeKind::Package,
            "package",
            "of the distribution",
        ),
    ] {
        let (name, detail) = (name.to_owned(), detail.to_owned());
        let node = Node { kind, name, detail };
        let _ = writeln!(text, "    {}", node_line(&format!("legend_{id}"), &node));
    }
    for (from, to, link) in [
        ("product", "library", LinkStyle::Shared),
        ("library", "package", LinkStyle::Static),
        ("product", "package", LinkStyle::HeaderOnly),
    ] {
        let (arrow, word) = (arrow(link, to == "package"), link.word());
        let _ = writeln!(text, "    legend_{from} {arrow}|{word}| legend_{to}");
    }
    text.push_str(
        "  end\n  \
         classDef product fill:#dbeafe,stroke:#1e40af,stroke-width:2px,color:#0f172a\n  \
         classDef library fill:#f8fafc,stroke:#475569,color:#0f172a\n  \
         classDef package fill:#fef3c7,stroke:#92400e,color:#0f172a\n",
    );
    text
}

fn node_line(id: &str, node: &Node) -> String {
    let label = escaped(&[&node.name, &node.detail]);
    match node.kind {
        NodeKind::Product => format!("{id}[\"{label}\"]:::product"),
        NodeKind::Library => format!("{id}[\"{label}\"]:::library"),
        NodeKind::Package => format!("{id}([\"{label}\"]):::package"),
    }
}

/// Mermaid has no dashed line: a static library is a thick one. A circle instead of an arrow is the
/// operating system's.
const fn arrow(link: LinkStyle, is_system: bool) -> &'static str {
    match (link, is_system) {
        (LinkStyle::Shared, false) => "-->",
        (LinkStyle::Static, false) => "==>",
        (LinkStyle::HeaderOnly, false) => "-.->",
        (LinkStyle::Shared, true) => "--o",
        (LinkStyle::Static, true) => "==o",
        (LinkStyle::HeaderOnly, true) => "-.-o",
    }
}

/// Returns lines as one label: Mermaid's own entities, since a label is Markdown and HTML to it.
fn escaped(lines: &[&str]) -> String {
    let lines = lines.iter().filter(|line| !line.is_empty());
    let lines: Vec<String> = lines
        .map(|line| line.chars().map(entity).collect())
        .collect();
    lines.join("<br>")
}

fn entity(character: char) -> String {
    if character.is_alphanumeric() || " -.,:+/=@()".contains(character) {
        character.to_string()
    } else {
        format!("#{};", u32::from(character))
    }
}
