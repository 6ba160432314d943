//! Which recipes have to be built, for which prefix, and in which order.
//!
//! A library is built for the prefix of the product that carries it, so one recipe can stand in the
//! graph several times: a node is a recipe and where its files go.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kiln_model::{BaseName, LibraryName, Recipe, RecipeName, SandboxPath};

use crate::project::Project;

mod versions;

pub use versions::BundledVersion;
use versions::two_versions;

/// Where a node's files go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prefix {
    /// `/usr`, with libraries in `/usr/lib64`: a product.
    System,
    /// A product's bundle prefix, with libraries in its `lib`: a library for that product alone.
    Bundle(SandboxPath),
}

impl Prefix {
    /// Returns the prefix as configure scripts take it.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::System => "/usr",
            Self::Bundle(path) => path.as_str(),
        }
    }

    /// Returns the folder of shared libraries.
    #[must_use]
    pub fn libdir(&self) -> String {
        match self {
            Self::System => "/usr/lib64".to_owned(),
            Self::Bundle(path) => format!("{path}/lib"),
        }
    }
}

/// One thing to build.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId {
    /// The recipe.
    pub recipe: RecipeName,
    /// Where its files go.
    pub prefix: Prefix,
}

impl NodeId {
    /// Returns the node of a recipe that is built for itself: a product goes to `/usr`, a library to its
    /// own bundle prefix.
    #[must_use]
    pub fn alone(recipe: &Recipe) -> Self {
        let prefix = match recipe.packages.is_empty() {
            true => Prefix::Bundle(recipe.bundle_prefix.clone()),
            false => Prefix::System,
        };
        Self {
            recipe: recipe.name.clone(),
            prefix,
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.prefix {
            Prefix::System => write!(f, "{}", self.recipe),
            Prefix::Bundle(path) => write!(f, "{} for {path}", self.recipe),
        }
    }
}

/// A library that a node is built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The library's canonical name.
    pub library: LibraryName,
    /// The node that builds it.
    pub node: NodeId,
}

/// All nodes in an order in which each comes after what it needs, with what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// Nodes in build order.
    pub order: Vec<NodeId>,
    /// What each node is built with, by library name.
    pub edges: BTreeMap<NodeId, Vec<Edge>>,
    /// The place of each node in `order`.
    places: BTreeMap<NodeId, usize>,
}

/// Says why there is no graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// A recipe was asked for that the project does not have.
    #[error("no recipe `{name}`")]
    UnknownRecipe {
        /// The name asked for.
        name: RecipeName,
        /// Recipes that there are.
        known: Vec<RecipeName>,
    },
    /// A recipe bundles a library whose recipe the project does not have.
    #[error("recipe `{recipe}` bundles `{library}` from recipe `{missing}`, which does not exist")]
    UnknownLibrary {
        /// The consumer.
        recipe: RecipeName,
        /// The library.
        library: LibraryName,
        /// The recipe that is missing.
        missing: RecipeName,
        /// Recipes that there are.
        known: Vec<RecipeName>,
    },
    /// The recipe that builds a library says that it builds another one.
    #[error("recipe `{recipe}` bundles `{library}` from recipe `{from}`, which builds `{actual}`")]
    OtherLibrary {
        /// The consumer.
        recipe: RecipeName,
        /// The library that the consumer names.
        library: LibraryName,
        /// The recipe that it names.
        from: RecipeName,
        /// The library that this recipe builds.
        actual: LibraryName,
    },
    /// Libraries bundle each other.
    #[error("recipes bundle each other: {}", .path.iter().map(RecipeName::as_str).collect::<Vec<_>>().join(" -> "))]
    Cycle {
        /// The way round, first and last the same.
        path: Vec<RecipeName>,
        /// The library by which each recipe bundles the next.
        libraries: Vec<LibraryName>,
    },
    /// A recipe bundles two versions of one library, itself or by way of another library.
    #[error("recipe `{recipe}` bundles `{library}` twice: {first}, and {second}")]
    TwoVersions {
        /// The recipe.
        recipe: RecipeName,
        /// The library.
        library: LibraryName,
        /// One of the two.
        first: Box<BundledVersion>,
        /// The other.
        second: Box<BundledVersion>,
    },
    /// A recipe names a base image that the project does not have.
    #[error("recipe `{recipe}` is built in base image `{base}`, which does not exist")]
    UnknownBase {
        /// The recipe.
        recipe: RecipeName,
        /// The base image.
        base: BaseName,
        /// Base images that there are.
        known: Vec<BaseName>,
    },
}

impl Graph {
    /// Finds everything that `wanted` needs.
    ///
    /// # Errors
    /// A recipe, library or base image that is not there, two versions of one library in one product, or a
    /// cycle, shown as a path.
    pub fn new(project: &Project, wanted: &[RecipeName]) -> Result<Self, GraphError> {
        let mut search = Search {
            project,
            path: Vec::new(),
            graph: Self {
                order: Vec::new(),
                edges: BTreeMap::new(),
                places: BTreeMap::new(),
            },
        };
        for name in wanted {
            let Some(loaded) = project.recipes.get(name) else {
                let known = project.recipes.keys().cloned().collect();
                return Err(GraphError::UnknownRecipe {
                    name: name.clone(),
                    known,
                });
            };
            search.visit(NodeId::alone(&loaded.recipe))?;
        }
        let recipes: BTreeSet<&RecipeName> =
            search.graph.order.iter().map(|node| &node.recipe).collect();
        let mut doubled = recipes.iter().flat_map(|name| two_versions(project, name));
        match doubled.next() {
            Some(error) => Err(error),
            None => Ok(search.graph),
        }
    }

    /// Returns everything that keeps the project's recipes from making a graph, not only the first.
    #[must_use]
    pub fn problems(project: &Project) -> Vec<GraphError> {
        let mut problems = Vec::new();
        for loaded in project.recipes.values() {
            let recipe = &loaded.recipe;
            problems.extend(check_base(project, recipe).err());
            let bundled = recipe.bundled();
            problems.extend(bundled.filter_map(|(library, from, _)| {
                check_library(project, &recipe.name, library, from).err()
            }));
        }
        let mut search = CycleSearch {
            project,
            path: Vec::new(),
            done: BTreeSet::new(),
            cycles: Vec::new(),
        };
        for name in project.recipes.keys() {
            search.visit(name);
        }
        problems.extend(search.cycles);
        let names = project.recipes.keys();
        problems.extend(names.flat_map(|name| two_versions(project, name)));
        problems
    }

    /// Returns every node that `node` needs, directly or not, in build order, without itself.
    #[must_use]
    pub fn closure(&self, node: &NodeId) -> Vec<NodeId> {
        let mut places = BTreeSet::new();
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            let edges = self.edges[node].iter().map(|edge| &edge.node);
            open.extend(edges.filter(|needed| places.insert(self.places[*needed])));
        }
        let nodes = places.into_iter().map(|place| self.order[place].clone());
        nodes.collect()
    }
}

/// The recipes on the way to the present one, each with the library by which it leads on.
type Path = Vec<(RecipeName, LibraryName)>;

/// Returns the cycle that going on to `next` closes, if any.
fn cycle(path: &Path, next: &RecipeName) -> Option<GraphError> {
    let start = path.iter().position(|(name, _)| name == next)?;
    let (mut path, libraries): (Vec<_>, Vec<_>) = path[start..].iter().cloned().unzip();
    path.push(next.clone());
    Some(GraphError::Cycle { path, libraries })
}

fn check_base(project: &Project, recipe: &Recipe) -> Result<(), GraphError> {
    if project.bases.contains_key(&recipe.base) {
        return Ok(());
    }
    Err(GraphError::UnknownBase {
        recipe: recipe.name.clone(),
        base: recipe.base.clone(),
        known: project.bases.keys().cloned().collect(),
    })
}

fn check_library(
    project: &Project,
    recipe: &RecipeName,
    library: &LibraryName,
    from: &RecipeName,
) -> Result<(), GraphError> {
    let Some(loaded) = project.recipes.get(from) else {
        return Err(GraphError::UnknownLibrary {
            recipe: recipe.clone(),
            library: library.clone(),
            missing: from.clone(),
            known: project.recipes.keys().cloned().collect(),
        });
    };
    let actual = &loaded.recipe.identity.library;
    if actual == library {
        return Ok(());
    }
    Err(GraphError::OtherLibrary {
        recipe: recipe.clone(),
        library: library.clone(),
        from: from.clone(),
        actual: actual.clone(),
    })
}

struct Search<'a> {
    project: &'a Project,
    path: Path,
    graph: Graph,
}

impl Search<'_> {
    fn visit(&mut self, node: NodeId) -> Result<(), GraphError> {
        if self.graph.edges.contains_key(&node) {
            return Ok(());
        }
        let project = self.project;
        let recipe = &project.recipes[&node.recipe].recipe;
        check_base(project, recipe)?;
        let prefix = match &node.prefix {
            Prefix::System => Prefix::Bundle(recipe.bundle_prefix.clone()),
            bundle @ Prefix::Bundle(_) => bundle.clone(),
        };
        let mut edges = Vec::new();
        for (library, from, _) in recipe.bundled() {
            check_library(project, &node.recipe, library, from)?;
            self.path.push((node.recipe.clone(), library.clone()));
            if let Some(error) = cycle(&self.path, from) {
                return Err(error);
            }
            let needed = NodeId {
                recipe: from.clone(),
                prefix: prefix.clone(),
            };
            self.visit(needed.clone())?;
            self.path.pop();
            edges.push(Edge {
                library: library.clone(),
                node: needed,
            });
        }
        let place = self.graph.order.len();
        self.graph.order.push(node.clone());
        self.graph.places.insert(node.clone(), place);
        self.graph.edges.insert(node, edges);
        Ok(())
    }
}

/// Finds cycles, one for each reference that closes one, whatever else is wrong.
struct CycleSearch<'a> {
    project: &'a Project,
    path: Path,
    done: BTreeSet<RecipeName>,
    cycles: Vec<GraphError>,
}

impl CycleSearch<'_> {
    fn visit(&mut self, name: &RecipeName) {
        let Some(loaded) = self.project.recipes.get(name) else {
            return;
        };
        if self.done.contains(name) {
            return;
        }
        for (library, from, _) in loaded.recipe.bundled() {
            self.path.push((name.clone(), library.clone()));
            match cycle(&self.path, from) {
                Some(found) => self.cycles.push(found),
                None => self.visit(from),
            }
            self.path.pop();
        }
        self.done.insert(name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::LoadedRecipe;
    use kiln_model::{BaseImage, Config, Digest, Recipe};

    /// Makes a project from `name: libraries it bundles` lines.
    fn project(lines: &[(&str, &[&str])]) -> Project {
        let recipes = lines.iter().map(|(name, libraries)| {
            let libraries: String =
                libraries.iter().map(|l| format!("  {l}: {{choice: bundle}}\n")).collect();
            let libraries =
                if libraries.is_empty() { String::new() } else { format!("libraries:\n{libraries}") };
            let text = format!(
                "schema: 1\nname: {name}\nversion: \"1\"\nrelease: 1\nsummary: x\nlicense: MIT\n\
                 homepage: https://example.org\nidentity: {{supplier: x}}\nbase: b\nsources:\n  \
                 - {{url: \"https://example.org/{name}.tar\", sha256: \"{}\", released: 2020-01-01}}\n\
                 steps: {{use: make}}\n{libraries}",
                "0".repeat(64)
            );
            let recipe = Recipe::parse(text.as_bytes(), name).unwrap();
            let loaded =
                LoadedRecipe { recipe, folder: "recipes".into(), digest: Digest::of(b""), installed: BTreeMap::new() };
            (name.parse().unwrap(), loaded)
        });
        let layout = format!("schema: 1\nname: b\nlayout: x@{}\n", Digest::of(b""));
        let base = BaseImage::parse(layout.as_bytes(), "b").unwrap();
        Project {
            root: "/project".into(),
            config: Config::default(),
            recipes: recipes.collect(),
            bases: [(base.name.clone(), base)].into(),
            chosen_base: None,
            moved: BTreeSet::new(),
            texts: BTreeMap::new(),
        }
    }

    /// Says that a recipe of the project builds another version of a library than the recipe of its name.
    fn other_version(project: &mut Project, name: &str, library: &str) {
        let name: RecipeName = name.parse().unwrap();
        let recipe = &mut project.recipes.get_mut(&name).unwrap().recipe;
        recipe.identity.library = library.parse().unwrap();
        recipe.version = "0.9".parse().unwrap();
        let old: LibraryName = name.as_str().parse().unwrap();
        for loaded in project.recipes.values_mut() {
            let libraries = &mut loaded.recipe.libraries;
            if let Some(bundled) = libraries.remove(&old) {
                libraries.insert(library.parse().unwrap(), bundled);
            }
        }
    }

    fn names(graph: &Graph) -> Vec<&str> {
        graph
            .order
            .iter()
            .map(|node| node.recipe.as_str())
            .collect()
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let project = project(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d"]), ("d", &[])]);
        let graph = Graph::new(&project, &["a".parse().unwrap()]).unwrap();
        assert_eq!(names(&graph), ["d", "b", "c", "a"]);
        let closure = graph.closure(&graph.order[1]);
        assert_eq!(closure.len(), 1);
        assert_eq!(closure[0].recipe.as_str(), "d");
    }

    #[test]
    fn a_cycle_is_shown_as_a_path() {
        let project = project(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]);
        let path = ["b", "c", "b"].map(|name| name.parse().unwrap()).to_vec();
        let libraries = ["c", "b"].map(|name| name.parse().unwrap()).to_vec();
        let error = Graph::new(&project, &["a".parse().unwrap()]).unwrap_err();
        assert_eq!(error, GraphError::Cycle { path, libraries });
        assert_eq!(error.to_string(), "recipes bundle each other: b -> c -> b");
    }

    #[test]
    fn what_is_missing_is_named() {
        let project = project(&[("a", &["b"])]);
        let error = Graph::new(&project, &["a".parse().unwrap()]).unwrap_err();
        let name = |text: &str| text.parse().unwrap();
        let expected = GraphError::UnknownLibrary {
            recipe: name("a"),
            library: "b".parse().unwrap(),
            missing: name("b"),
            known: vec![name("a")],
        };
        assert_eq!(error, expected);
        let error = Graph::new(&project, &[name("x")]).unwrap_err();
        assert_eq!(
            error,
            GraphError::UnknownRecipe {
                name: name("x"),
                known: vec![name("a")]
            }
        );
    }

    #[test]
    fn two_versions_of_a_library_do_not_go_into_one_product() {
        // `top` bundles `shop`, which is the first to have both; `other` has one alone.
        let mut project = project(&[
            ("top", &["shop"]),
            ("shop", &["tls", "http"]),
            ("http", &["old-tls"]),
            ("other", &["http"]),
            ("tls", &[]),
            ("old-tls", &[]),
        ]);
        other_version(&mut project, "old-tls", "tls");
        let shown: Vec<String> = Graph::problems(&project)
            .iter()
            .map(GraphError::to_string)
            .collect();
        let expected = "recipe `shop` bundles `tls` twice: 0.9 of recipe `old-tls` (shop -> http -> old-tls), \
                        and 1 of recipe `tls` (shop -> tls)";
        assert_eq!(shown, [expected]);
        let error = Graph::new(&project, &["top".parse().unwrap()]).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.sites().len(), 2, "one line for each way");
        assert!(Graph::new(&project, &["other".parse().unwrap()]).is_ok());
    }

    #[test]
    fn one_recipe_by_two_ways_is_one_version() {
        let project = project(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]);
        assert_eq!(Graph::problems(&project), []);
    }

    #[test]
    fn what_is_bundled_by_a_billion_ways_is_looked_at_once() {
        // Each of thirty layers bundles both recipes of the next.
        let layer = |depth: usize| [format!("l{depth}"), format!("r{depth}")];
        let layers: Vec<_> = (0..31).map(layer).collect();
        let both: Vec<Vec<&str>> = layers
            .iter()
            .map(|both| both.iter().map(String::as_str).collect())
            .collect();
        let none: &[&str] = &[];
        let lines: Vec<(&str, &[&str])> = (0..31)
            .flat_map(|depth| {
                let below = both.get(depth + 1).map_or(none, Vec::as_slice);
                [(both[depth][0], below), (both[depth][1], below)]
            })
            .collect();
        let project = project(&lines);
        let top = "l0".parse().unwrap();
        assert_eq!(project.unpinned(&top), None);
        let graph = Graph::new(&project, &[top]).unwrap();
        assert_eq!(graph.order.len(), 61);
        assert_eq!(Graph::problems(&project), []);
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let lines: [(&str, &[&str]); 6] = [
            ("a", &["a"]),
            ("b", &["c", "missing"]),
            ("c", &["d"]),
            ("d", &["b", "c"]),
            ("e", &["f"]),
            ("f", &[]),
        ];
        let mut project = project(&lines);
        let f = project
            .recipes
            .get_mut("f".parse::<RecipeName>().as_ref().unwrap());
        f.unwrap().recipe.base = "x".parse().unwrap();
        let problems = Graph::problems(&project);
        let shown: Vec<String> = problems.iter().map(GraphError::to_string).collect();
        assert_eq!(
            shown,
            [
                "recipe `b` bundles `missing` from recipe `missing`, which does not exist",
                "recipe `f` is built in base image `x`, which does not exist",
                "recipes bundle each other: a -> a",
                "recipes bundle each other: b -> c -> d -> b",
                "recipes bundle each other: c -> d -> c",
            ]
        );
        assert_eq!(
            Graph::problems(&self::project(&[("a", &["b"]), ("b", &[])])),
            []
        );
    }
}
