//! `null`: `kiln build` when everything is done already.

use crate::command::run;
use crate::error::BenchError;
use crate::figure::{Figure, Goal};
use crate::setting::{Setting, seconds};

/// Measures the project's own recipes in the store and `out/` that `make rpms` left.
pub fn measure(setting: &Setting) -> Result<Vec<Figure>, BenchError> {
    let root = &setting.project.root;
    let recipes = setting.project.recipes.len();
    // Builds what is missing, and reads `out/` once: files that were just written are not trusted.
    for _ in 0..2 {
        run(setting
            .kiln(root, &setting.store, &root.join("out"))
            .arg("build"))?;
        std::thread::sleep(std::time::Duration::from_secs(4));
    }
    run(setting
        .kiln(root, &setting.store, &root.join("out"))
        .arg("build"))?;
    let runs = setting.runs * 5;
    let mut least = std::time::Duration::MAX;
    for _ in 0..runs {
        let mut kiln = setting.kiln(root, &setting.store, &root.join("out"));
        least = least.min(run(kiln.arg("build"))?.elapsed);
    }
    let what = format!("`kiln build` with nothing to do, {recipes} recipes");
    Ok(vec![seconds(
        "null",
        &what,
        least,
        runs,
        Goal::Seconds(0.1),
    )])
}
