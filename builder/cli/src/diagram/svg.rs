//! A picture that stands alone: no script, no font and no address but the format's own.

use std::fmt::Write as _;

use super::layout::{Area, Layout, TITLE, lay_out, width};
use super::{Diagram, LinkStyle, Node, NodeKey, NodeKind};

/// White space around everything.
const MARGIN: f64 = 24.0;
/// Room between the picture and its legend.
const GAP: f64 = 26.0;
/// Height of each of the legend's two rows.
const LEGEND: f64 = 46.0;

const STYLE: &str = "\
text{font-family:system-ui,'DejaVu Sans',Arial,sans-serif;fill:#0f172a}\
.name{font-size:14px;font-weight:600;text-anchor:middle}\
.detail{font-size:12px;fill:#475569;text-anchor:middle}\
.title{font-size:13px;font-weight:600;fill:#475569}\
.word{font-size:12px;fill:#475569}\
.frame{fill:#f1f5f9;stroke:#cbd5e1}\
.product{fill:#dbeafe;stroke:#1e40af;stroke-width:2}\
.library{fill:#ffffff;stroke:#475569;stroke-width:1.2}\
.package{fill:#fef3c7;stroke:#92400e;stroke-width:1.2}\
.line{fill:none;stroke:#334155;stroke-width:1.5}\
.system{stroke:#92400e}\
.static{stroke-dasharray:7 4}\
.header-only{stroke-dasharray:1.5 4;stroke-linecap:round}\
.head{fill:#334155}\
.system-head{fill:#ffffff;stroke:#92400e;stroke-width:1.2}";

const HEADS: &str = "\
<marker id=\"head\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"8\" markerHeight=\"8\" \
orient=\"auto\"><path class=\"head\" d=\"M0 0 10 5 0 10z\"/></marker>\
<marker id=\"system-head\" viewBox=\"-1 -1 12 12\" refX=\"9\" refY=\"5\" markerWidth=\"9\" \
markerHeight=\"9\" orient=\"auto\"><path class=\"system-head\" d=\"M0 0 10 5 0 10z\"/></marker>";

/// Draws a diagram.
pub fn svg(diagram: &Diagram) -> String {
    let layout = lay_out(diagram);
    let mut picture = Picture {
        text: String::new(),
        layout: &layout,
        shift: (0.0, 0.0),
    };
    picture.shift = picture.origin();
    for (name, frame) in &diagram.frames {
        let title = format!("base image {name}: {}", frame.origin);
        picture.frame(name.as_str(), &title);
    }
    for (used, points) in &layout.lines {
        picture.line(used.link, matches!(used.of, NodeKey::Package(..)), points);
    }
    for node in diagram.frames.values().flat_map(|frame| &frame.nodes) {
        picture.node(node.0, node.1);
    }
    let (right, bottom) = picture.end();
    let legend_width = picture.legend(MARGIN, bottom + GAP);
    let size = (
        right.max(legend_width) + MARGIN,
        bottom + GAP + 2.0 * LEGEND + MARGIN,
    );
    document(diagram, size, &picture.text)
}

fn document(diagram: &Diagram, (width, height): (f64, f64), body: &str) -> String {
    let (width, height) = (number(width.ceil()), number(height.ceil()));
    let recipes: Vec<&str> = diagram
        .frames
        .values()
        .flat_map(|frame| frame.nodes.values())
        .filter(|node| node.kind != NodeKind::Package)
        .map(|node| node.name.as_str())
        .collect();
    let description = escaped(&format!(
        "Recipes, the libraries that they bundle or take from the operating system, and their base \
         images: {}. Arrows lead from a recipe to what it uses.",
        recipes.join(", ")
    ));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"title description\">\n\
         <title id=\"title\">Recipes and their libraries</title>\n\
         <desc id=\"description\">{description}</desc>\n\
         <style>{STYLE}</style>\n<defs>{HEADS}</defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

/// What is drawn so far.
struct Picture<'a> {
    text: String,
    layout: &'a Layout,
    /// From the layout's place to the picture's.
    shift: (f64, f64),
}

impl Picture<'_> {
    /// Returns the shift that brings the topmost and leftmost things to the margin.
    fn origin(&self) -> (f64, f64) {
        let frames = self.layout.frames.values();
        let left = frames.clone().map(|area| area.x - area.width / 2.0);
        let top = frames.map(|area| area.y - area.height / 2.0);
        let least = |numbers: &mut dyn Iterator<Item = f64>| numbers.reduce(f64::min);
        (
            MARGIN - least(&mut { left }).unwrap_or(0.0),
            MARGIN - least(&mut { top }).unwrap_or(0.0),
        )
    }

    /// Returns the rightmost and lowest place that is used.
    fn end(&self) -> (f64, f64) {
        let ends = self.layout.frames.values().map(|area| {
            let shifted = self.shifted(*area);
            (
                shifted.x + shifted.width / 2.0,
                shifted.y + shifted.height / 2.0,
            )
        });
        ends.fold((MARGIN, MARGIN), |so_far, end| {
            (so_far.0.max(end.0), so_far.1.max(end.1))
        })
    }

    fn shifted(&self, area: Area) -> Area {
        Area {
            x: area.x + self.shift.0,
            y: area.y + self.shift.1,
            ..area
        }
    }

    fn frame(&mut self, name: &str, title: &str) {
        let Some(area) = self.layout.frames.get(name) else {
            return;
        };
        let area = self.shifted(*area);
        let (left, top) = (area.x - area.width / 2.0, area.y - area.height / 2.0);
        let _ = writeln!(
            self.text,
            "<rect class=\"frame\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"12\"/>\
             <text class=\"title\" x=\"{}\" y=\"{}\">{}</text>",
            number(left),
            number(top),
            number(area.width),
            number(area.height),
            number(left + 16.0),
            number(top + TITLE - 11.0),
            escaped(title)
        );
    }

    fn node(&mut self, key: &NodeKey, node: &Node) {
        if let Some(area) = self.layout.nodes.get(&key.identifier()) {
            let area = self.shifted(*area);
            self.draw_node(area, node);
        }
    }

    fn draw_node(&mut self, area: Area, node: &Node) {
        let (class, radius) = match node.kind {
            NodeKind::Product => ("product", 5.0),
            NodeKind::Library => ("library", 5.0),
            NodeKind::Package => ("package", area.height / 2.0),
        };
        let (left, top) = (area.x - area.width / 2.0, area.y - area.height / 2.0);
        let _ = writeln!(
            self.text,
            "<g><rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\"/>\
             <text class=\"name\" x=\"{x}\" y=\"{}\">{}</text>\
             <text class=\"detail\" x=\"{x}\" y=\"{}\">{}</text></g>",
            number(left),
            number(top),
            number(area.width),
            number(area.height),
            number(radius),
            number(area.y - 3.0),
            escaped(&node.name),
            number(area.y + 14.0),
            escaped(&node.detail),
            x = number(area.x),
        );
    }

    fn line(&mut self, link: LinkStyle, is_system: bool, points: &[(f64, f64)]) {
        let points = points.iter();
        let points: Vec<(f64, f64)> = points
            .map(|(x, y)| (x + self.shift.0, y + self.shift.1))
            .collect();
        let class = match link {
            LinkStyle::Shared => "",
            LinkStyle::Static => " static",
            LinkStyle::HeaderOnly => " header-only",
        };
        let (system, head) = if is_system {
            (" system", "system-head")
        } else {
            ("", "head")
        };
        let _ = writeln!(
            self.text,
            "<path class=\"line{class}{system}\" marker-end=\"url(#{head})\" d=\"{}\"/>",
            curve(&points)
        );
    }

    /// Draws the legend and returns where it ends.
    fn legend(&mut self, left: f64, top: f64) -> f64 {
        let middle = top + LEGEND / 2.0;
        let mut x = left;
        for (kind, name, detail) in [
            (NodeKind::Product, "recipe", "that yields packages"),
            (NodeKind::Library, "recipe", "that others bundle"),
            (NodeKind::Package, "package", "of the distribution"),
        ] {
            let (name, detail) = (name.to_owned(), detail.to_owned());
            let width = width(&name, &detail);
            let area = Area {
                x: x + width / 2.0,
                y: middle,
                width,
                height: LEGEND,
            };
            self.draw_node(area, &Node { kind, name, detail });
            x += width + 16.0;
        }
        let (boxes_end, middle) = (x, middle + LEGEND);
        x = left;
        let shift = std::mem::take(&mut self.shift);
        for (link, is_system, words) in [
            (LinkStyle::Shared, false, "shared"),
            (LinkStyle::Static, false, "static"),
            (LinkStyle::HeaderOnly, false, "header-only"),
            (LinkStyle::Shared, true, "the system's"),
        ] {
            self.line(link, is_system, &[(x, middle), (x + 46.0, middle)]);
            let _ = writeln!(
                self.text,
                "<text class=\"word\" x=\"{}\" y=\"{}\">{words}</text>",
                number(x + 54.0),
                number(middle + 4.0)
            );
            let letters = u8::try_from(words.len()).unwrap_or(u8::MAX);
            x += 54.0 + f64::from(letters) * 7.2 + 16.0;
        }
        self.shift = shift;
        x.max(boxes_end)
    }
}

/// A smooth way through points, level at each: lines leave and reach boxes at their sides.
fn curve(points: &[(f64, f64)]) -> String {
    let Some((x, y)) = points.first() else {
        return String::new();
    };
    let mut text = format!("M{} {}", number(*x), number(*y));
    for pair in points.windows(2) {
        let [(x, y), (next_x, next_y)] = pair else {
            continue;
        };
        let middle = number((x + next_x) / 2.0);
        let (y, next_x, next_y) = (number(*y), number(*next_x), number(*next_y));
        let _ = write!(text, "C{middle} {y} {middle} {next_y} {next_x} {next_y}");
    }
    text
}

/// Returns a number with at most one digit after the point: finer is not seen.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0" } else { text }.to_owned()
}

fn escaped(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\'' => "&#39;".to_owned(),
            _ => character.to_string(),
        })
        .collect()
}
