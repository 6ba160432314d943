//! Graphviz DOT: a cluster per base image, and a legend.

use std::fmt::Write as _;

use super::{Diagram, LinkStyle, Node, NodeKey, NodeKind, identifier};

/// Writes a diagram as a DOT graph.
pub fn dot(diagram: &Diagram) -> String {
    let mut text = String::from(
        "digraph kiln {\n  rankdir=LR;\n  graph [fontname=\"sans-serif\"];\n  node [fontname=\"sans-serif\"];\n  \
         edge [fontname=\"sans-serif\"];\n",
    );
    for (name, frame) in &diagram.frames {
        let cluster = identifier('b', name.as_str());
        let label = quoted(&[&format!("base image {name}"), &frame.origin]);
        let _ = writeln!(
            text,
            "  subgraph cluster_{cluster} {{\n    label={label}; style=rounded; color=\"#9aa5b1\";"
        );
        for (key, node) in &frame.nodes {
            let _ = writeln!(text, "    {};", node_line(&key.identifier(), node));
        }
        text.push_str("  }\n");
    }
    for used in &diagram.uses {
        let (by, of) = (used.by.identifier(), used.of.identifier());
        let attributes = edge(used.link, matches!(used.of, NodeKey::Package(..)));
        let _ = writeln!(text, "  {by} -> {of} [{attributes}];");
    }
    text.push_str(&legend());
    text.push_str("}\n");
    text
}

fn node_line(id: &str, node: &Node) -> String {
    let shape = match node.kind {
        NodeKind::Product => "shape=box, style=\"filled,bold\", fillcolor=\"#dbeafe\"",
        NodeKind::Library => "shape=box, style=filled, fillcolor=\"#f8fafc\"",
        NodeKind::Package => "shape=ellipse, style=filled, fillcolor=\"#fef3c7\"",
    };
    format!(
        "{id} [label={}, {shape}]",
        quoted(&[&node.name, &node.detail])
    )
}

fn edge(link: LinkStyle, is_system: bool) -> String {
    let style = match link {
        LinkStyle::Shared => "solid",
        LinkStyle::Static => "dashed",
        LinkStyle::HeaderOnly => "dotted",
    };
    let head = if is_system { ", arrowhead=empty" } else { "" };
    format!("style={style}{head}")
}

fn legend() -> String {
    let mut text = String::from(
        "  subgraph cluster_legend {\n    label=\"legend\"; style=dashed; color=\"#9aa5b1\";\n",
    );
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
        let _ = writeln!(text, "    {};", node_line(&format!("legend_{id}"), &node));
    }
    let links = LinkStyle::ALL.map(|link| (link, false, link.word()));
    let links = links
        .into_iter()
        .chain([(LinkStyle::Shared, true, "the system's")]);
    for (index, (link, is_system, words)) in links.enumerate() {
        let attributes = edge(link, is_system);
        let label = quoted(&[&format!("{words} library")]);
        let _ = writeln!(
            text,
            "    legend_{index} [shape=point]; legend_{index}_end [shape=point];\n    \
             legend_{index} -> legend_{index}_end [{attributes}, label={label}];"
        );
    }
    text.push_str("  }\n");
    text
}

/// Returns lines as one quoted label. A backslash would be an escape of DOT's own.
fn quoted(lines: &[&str]) -> String {
    let lines = lines.iter().filter(|line| !line.is_empty());
    let lines: Vec<String> = lines
        .map(|line| line.replace('\\', "\\\\").replace('"', "\\\""))
        .collect();
    format!("\"{}\"", lines.join("\\n"))
}
