//! Every format of one small diagram, with names that mean something to a format.

use super::*;

fn node(kind: NodeKind, name: &str, detail: &str) -> Node {
    Node {
        kind,
        name: name.to_owned(),
        detail: detail.to_owned(),
    }
}

fn recipe(name: &str) -> NodeKey {
    NodeKey::Recipe(name.parse().unwrap())
}

fn diagram() -> Diagram {
    let base: BaseName = "box".parse().unwrap();
    let hostile = "a\"\\<b>&'#;\u{e9}";
    let package = NodeKey::Package(base.clone(), hostile.to_owned());
    let frame = Frame {
        origin: "OCI layout".to_owned(),
        nodes: [
            (recipe("end"), node(NodeKind::Product, "end", "1.0")),
            (
                recipe("c-ares"),
                node(NodeKind::Library, "c-ares", "1.18.1"),
            ),
            (package.clone(), node(NodeKind::Package, hostile, "zlib")),
        ]
        .into(),
    };
    let used = |by: &str, of: NodeKey, link| Use {
        by: recipe(by),
        of,
        link,
    };
    Diagram {
        frames: [(base, frame)].into(),
        uses: [
            used("end", recipe("c-ares"), LinkStyle::Static),
            used("end", package.clone(), LinkStyle::Shared),
            used("c-ares", package, LinkStyle::HeaderOnly),
        ]
        .into(),
    }
}

#[test]
fn dot_quotes_what_it_would_read_otherwise() {
    let text = dot(&diagram());
    for part in [
        "  subgraph cluster_b_box {\n    label=\"base image box\\nOCI layout\";",
        "    r_end [label=\"end\\n1.0\", shape=box, style=\"filled,bold\"",
        "[label=\"a\\\"\\\\<b>&'#;\u{e9}\\nzlib\", shape=ellipse",
        "  r_end -> r_c_2dares [style=dashed];\n",
        "[style=dotted, arrowhead=empty];\n",
        "label=\"header-only library\"",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(text.matches('{').count(), text.matches('}').count());
}

#[test]
fn mermaid_writes_marks_as_entities_and_never_uses_a_name_as_a_word() {
    let text = mermaid(&diagram());
    for part in [
        "flowchart LR\n  subgraph b_box[\"base image box<br>OCI layout\"]\n",
        "    r_end[\"end<br>1.0\"]:::product\n",
        "([\"a#34;#92;#60;b#62;#38;#39;#35;#59;\u{e9}<br>zlib\"]):::package\n",
        "  r_end ==> r_c_2dares\n",
        "  r_c_2dares -.-o p_box_3aa_22",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn svg_stands_alone_and_shows_everything_within_its_edges() {
    let text = svg(&diagram());
    assert!(
        text.contains(">a&quot;\\&lt;b&gt;&amp;&#39;#;\u{e9}</text>"),
        "{text}"
    );
    assert!(text.contains("<title id=\"title\">") && text.contains("<desc id=\"description\">"));
    assert_eq!(text.matches("<path class=\"line").count(), 3 + 4, "{text}");
    for foreign in [
        "<script",
        "href",
        "@import",
        "url(h",
        "foreignObject",
        "<image",
    ] {
        assert!(!text.contains(foreign), "{foreign} is in {text}");
    }
    let attribute = |tag: &str, name: &str| -> f64 {
        let from = tag.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
        let end = tag[from..].find('"').unwrap();
        tag[from..from + end].parse().unwrap()
    };
    let (width, height) = (attribute(&text, "width"), attribute(&text, "height"));
    let boxes: Vec<&str> = text
        .split('<')
        .filter(|tag| tag.starts_with("rect class"))
        .collect();
    assert_eq!(boxes.len(), 1 + 3 + 3, "a frame, nodes and the legend");
    for tag in boxes {
        let (left, top) = (attribute(tag, "x"), attribute(tag, "y"));
        assert!(
            left >= 0.0 && left + attribute(tag, "width") <= width,
            "{tag}"
        );
        assert!(
            top >= 0.0 && top + attribute(tag, "height") <= height,
            "{tag}"
        );
    }
}

#[test]
fn every_format_is_the_same_each_time_and_takes_nothing_at_all() {
    for format in [dot, mermaid, svg] {
        assert_eq!(format(&diagram()), format(&diagram()));
        assert!(format(&Diagram::default()).contains("that yields packages"));
    }
}

#[test]
fn two_names_never_become_one() {
    let names = ["a-b", "a_b", "ab", "a--b", "a.b", "a_2db"];
    let identifiers: BTreeSet<String> = names.iter().map(|name| identifier('r', name)).collect();
    assert_eq!(identifiers.len(), names.len());
}
