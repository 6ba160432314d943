//! `scale`: planning, and runs with nothing to do, of 1,000 and of 10,000 recipes.
//!
//! The recipes are made up: each has a source of its own and writes one file, in groups of ten of which
//! one bundles two libraries and one of these a third, so that there are layers and prefixes. They are
//! really built once, sealed, by the kiln that is measured; their results and records are what any build
//! leaves. They are libraries, as in `trivial`: an image of busybox has no rpmbuild.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_model::Digest;
use kiln_store::Store;

use crate::command::{Used, need, run, run_watched};
use crate::error::BenchError;
use crate::figure::{Figure, Goal};
use crate::rows::trivial::image;
use crate::setting::{Setting, memory, seconds};

/// How many recipes, and how long a run with nothing to do may take, in seconds.
const SCALES: [(usize, f64); 2] = [(1_000, 0.15), (10_000, 1.0)];
/// The most that kiln may have in memory, in mebibytes.
const MEMORY: f64 = 150.0;
/// Recipes of one group.
const GROUP: usize = 10;
/// What was just written is not trusted by its looks.
const SETTLING: Duration = Duration::from_secs(4);

/// Builds them once and measures what comes after.
pub fn measure(setting: &Setting) -> Result<Vec<Figure>, BenchError> {
    let busybox = need("busybox", "busybox-static")?;
    let mut figures = Vec::new();
    for (recipes, most) in SCALES {
        let folder = setting.folder(&format!("scale-{recipes}"))?;
        let scene = Scene {
            setting,
            folder,
            recipes,
        };
        scene.prepare(&busybox)?;
        figures.extend(scene.measure(most)?);
    }
    Ok(figures)
}

/// A project of so many recipes.
struct Scene<'a> {
    setting: &'a Setting,
    folder: PathBuf,
    recipes: usize,
}

impl Scene<'_> {
    fn prepare(&self, busybox: &Path) -> Result<(), BenchError> {
        let project = self.folder.join("project");
        fs_err::create_dir_all(project.join("base-images"))?;
        let manifest = image::write_layout(&project.join("layout"), busybox)?;
        let base = format!("schema: 1\nname: tiny\nlayout: layout@{manifest}\n");
        fs_err::write(project.join("base-images/tiny.yaml"), base)?;
        let failed = BenchError::kiln("new store");
        let store = Store::open(&self.folder.join("store")).map_err(|error| failed(&error))?;
        for number in 0..self.recipes {
            let name = name(number);
            let text = format!("{name}\n");
            let source = image::tar(&[(&format!("{name}-1/file"), 0o644, text.as_bytes(), None)])?;
            let folder = project.join(format!("recipes/{name}"));
            fs_err::create_dir_all(&folder)?;
            let recipe = recipe_text(number, &Digest::of(&source));
            fs_err::write(folder.join("recipe.yaml"), recipe)?;
            store.write_blob(&source).map_err(|error| failed(&error))?;
        }
        drop(store);
        run(self.kiln().arg("lock"))?;
        Ok(())
    }

    fn kiln(&self) -> std::process::Command {
        let below = |name: &str| self.folder.join(name);
        self.setting
            .kiln(&below("project"), &below("store"), &below("out"))
    }

    fn measure(&self, most: f64) -> Result<Vec<Figure>, BenchError> {
        let recipes = self.recipes;
        let cold = run_watched(self.kiln().arg("build"))?;
        let what = format!("{recipes} trivial sealed builds, once");
        let mut figures = vec![
            seconds("scale", &what, cold.elapsed, 1, Goal::None),
            memory(
                "scale",
                "peak memory of kiln in that",
                cold.memory,
                1,
                MEMORY,
            ),
        ];
        std::thread::sleep(SETTLING);
        // Takes note that there is nothing to do.
        run(self.kiln().arg("build"))?;
        let cases: [(&str, &[&str], Goal); 3] = [
            (
                "`kiln build` with nothing to do",
                &["build"],
                Goal::Seconds(most),
            ),
            (
                "the same with `--format json`, which reads every file",
                &["build", "--format", "json"],
                Goal::None,
            ),
            ("`kiln plan`, which does too", &["plan"], Goal::None),
        ];
        for (what, arguments, goal) in cases {
            let what = format!("{what}, {recipes} recipes");
            let used = self.least(arguments)?;
            figures.push(seconds(
                "scale",
                &what,
                used.elapsed,
                self.setting.runs,
                goal,
            ));
            let what = "peak memory of kiln in that";
            figures.push(memory(
                "scale",
                what,
                used.memory,
                self.setting.runs,
                MEMORY,
            ));
        }
        Ok(figures)
    }

    /// Runs kiln several times; returns the smallest time and the greatest memory.
    fn least(&self, arguments: &[&str]) -> Result<Used, BenchError> {
        let mut least = Used {
            elapsed: Duration::MAX,
            memory: 0,
        };
        for _ in 0..self.setting.runs {
            // Whoever is watched may wait for it.
            let used = run(self.kiln().args(arguments))?;
            let watched = run_watched(self.kiln().args(arguments))?;
            least.elapsed = least.elapsed.min(used.elapsed);
            least.memory = least.memory.max(watched.memory);
        }
        Ok(least)
    }
}

fn name(number: usize) -> String {
    format!("r{number:05}")
}

/// Returns what a recipe bundles: of each group the first bundles the next two, and the second the fourth.
fn bundles(number: usize) -> Vec<usize> {
    match number % GROUP {
        0 => vec![number + 1, number + 2],
        1 => vec![number + 2],
        _ => Vec::new(),
    }
}

fn recipe_text(number: usize, source: &Digest) -> String {
    let name = name(number);
    let library = |number: usize| {
        format!(
            "  {}: {{choice: bundle, link: shared, reason: a bench, decided-by: testers, \
             decided-on: 2024-03-01, review-by: 2034-03-01}}\n",
            self::name(number)
        )
    };
    let libraries: String = bundles(number).into_iter().map(library).collect();
    let libraries = match libraries.as_str() {
        "" => libraries,
        lines => format!("libraries:\n{lines}"),
    };
    format!(
        "schema: 1\nname: {name}\nversion: \"1\"\nrelease: 1\nsummary: One file\nlicense: MIT\n\
         homepage: https://example.org/\nidentity: {{supplier: A bench}}\nbase: tiny\nsources:\n  \
         - url: https://example.org/{name}-1.tar\n    sha256: \"{}\"\n    released: 2024-01-01\n\
         {libraries}steps:\n  use: none\n  install: mkdir -p \"$DESTDIR$KILN_PREFIX\" && echo {number} > \
         \"$DESTDIR$KILN_PREFIX/{name}\"\n  skip-check: there is nothing to check\n",
        source.to_hex()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipes_are_recipes_and_bundle_only_what_there_is() {
        for number in 0..100 {
            let text = recipe_text(number, &Digest::of(b"source"));
            let recipe = kiln_model::Recipe::parse(text.as_bytes(), &name(number)).unwrap();
            let bundled: Vec<String> = recipe
                .bundled()
                .map(|(_, from, _)| from.to_string())
                .collect();
            let expected: Vec<String> = bundles(number).into_iter().map(name).collect();
            assert_eq!(bundled, expected);
            assert!(bundles(number).iter().all(|library| *library < 100));
        }
    }
}
