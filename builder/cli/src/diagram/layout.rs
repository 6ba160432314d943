//! Where everything is put: the one door to the layout library, which knows boxes and lines only.
//!
//! Libraries stand right of what uses them. Sizes are in pixels; texts are measured by a table of
//! generous average widths, since what font a viewer has is not known.

use std::collections::BTreeMap;

use dagre::graph::{Graph, GraphOptions};
use dagre::{EdgeLabel, LayoutOptions, NodeLabel, RankDir};

use super::{Diagram, Node, Use};

/// Widest character of a common sans-serif font at 14 px, on average of lower-case names.
const NAME_WIDTH: f64 = 8.6;
/// The same at 12 px.
const DETAIL_WIDTH: f64 = 7.2;
/// Space between a text and its box's ends.
const PADDING: f64 = 18.0;
/// A box's height: two lines of text.
const HEIGHT: f64 = 46.0;
/// Narrowest box.
const LEAST_WIDTH: f64 = 84.0;

/// Room of a frame's title, above what is in the frame.
pub(super) const TITLE: f64 = 34.0;
/// Room between a frame and what is above it.
const FRAME_GAP: f64 = 20.0;

/// A box by its middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Where everything is.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Nodes by identifier.
    pub(super) nodes: BTreeMap<String, Area>,
    /// Frames by base image.
    pub(super) frames: BTreeMap<String, Area>,
    /// The way of each line, at least two points.
    pub(super) lines: Vec<(Use, Vec<(f64, f64)>)>,
}

/// Lays a diagram out.
pub(super) fn lay_out(diagram: &Diagram) -> Layout {
    let mut graph: Graph<NodeLabel, EdgeLabel> = Graph::with_options(GraphOptions {
        directed: true,
        multigraph: true,
        compound: true,
    });
    for (name, frame) in &diagram.frames {
        let frame_id = format!("frame {name}");
        graph.set_node(frame_id.as_str(), Some(NodeLabel::default()));
        for (key, node) in &frame.nodes {
            let id = key.identifier();
            graph.set_node(id.as_str(), Some(sized(node)));
            graph.set_parent(&id, Some(&frame_id));
        }
    }
    for used in &diagram.uses {
        graph.set_edge(
            used.by.identifier(),
            used.of.identifier(),
            Some(EdgeLabel::default()),
            Some(used.link.word()),
        );
    }
    dagre::layout(
        &mut graph,
        Some(LayoutOptions {
            rankdir: RankDir::LR,
            nodesep: 18.0,
            ranksep: 90.0,
            edgesep: 14.0,
            ..LayoutOptions::default()
        }),
    );
    let mut layout = places(diagram, &graph);
    make_room_for_titles(&mut layout);
    layout
}

/// Moves everything that is not above a frame down, and lets the frame begin in the room that this
/// makes: the layout library knows of no titles.
fn make_room_for_titles(layout: &mut Layout) {
    let tops = layout
        .frames
        .values()
        .map(|area| area.y - area.height / 2.0);
    let tops: Vec<f64> = tops.collect();
    let moved = |y: f64| {
        let above = tops.iter().filter(|top| **top <= y);
        above.fold(y, |y, _| y + TITLE + FRAME_GAP)
    };
    for area in layout.frames.values_mut() {
        let top = moved(area.y - area.height / 2.0) - TITLE;
        let bottom = moved(area.y + area.height / 2.0);
        area.y = (top + bottom) / 2.0;
        area.height = bottom - top;
    }
    for area in layout.nodes.values_mut() {
        area.y = moved(area.y);
    }
    for (_, points) in &mut layout.lines {
        for (_, y) in points {
            *y = moved(*y);
        }
    }
}

fn places(diagram: &Diagram, graph: &Graph<NodeLabel, EdgeLabel>) -> Layout {
    let area = |id: &str| {
        let label = graph.node(id)?;
        Some(Area {
            x: label.x?,
            y: label.y?,
            width: label.width,
            height: label.height,
        })
    };
    let mut layout = Layout::default();
    for (name, frame) in &diagram.frames {
        if let Some(area) = area(&format!("frame {name}")) {
            layout.frames.insert(name.to_string(), area);
        }
        for key in frame.nodes.keys() {
            if let Some(area) = area(&key.identifier()) {
                layout.nodes.insert(key.identifier(), area);
            }
        }
    }
    for used in &diagram.uses {
        let (by, of) = (used.by.identifier(), used.of.identifier());
        if let Some(label) = graph.edge(&by, &of, Some(used.link.word())) {
            let points: Vec<(f64, f64)> = label.points.iter().map(|p| (p.x, p.y)).collect();
            let ends = (layout.nodes.get(&by), layout.nodes.get(&of));
            layout
                .lines
                .push((used.clone(), from_side_to_side(points, ends)));
        }
    }
    layout
}

/// Lets a line start and end in the middle of a box's side; what it goes around on the way stays.
fn from_side_to_side(
    mut points: Vec<(f64, f64)>,
    ends: (Option<&Area>, Option<&Area>),
) -> Vec<(f64, f64)> {
    /// Start, middle and end of a line between neighbours: the middle is no corner.
    const STRAIGHT: usize = 3;
    if points.len() == STRAIGHT {
        points.remove(1);
    }
    let (Some(from), Some(to)) = ends else {
        return points;
    };
    if let [first, .., last] = points.as_mut_slice() {
        *first = (from.x + from.width / 2.0, from.y);
        *last = (to.x - to.width / 2.0, to.y);
    }
    points
}

fn sized(node: &Node) -> NodeLabel {
    NodeLabel {
        width: width(&node.name, &node.detail),
        height: HEIGHT,
        ..NodeLabel::default()
    }
}

/// Returns the width of a box with these two lines of text.
pub(super) fn width(name: &str, detail: &str) -> f64 {
    let of = |text: &str, each: f64| {
        u16::try_from(text.chars().count()).map_or(f64::from(u16::MAX), f64::from) * each
    };
    let text = of(name, NAME_WIDTH).max(of(detail, DETAIL_WIDTH));
    (text + 2.0 * PADDING).max(LEAST_WIDTH).ceil()
}
