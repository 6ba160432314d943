//! `trivial`: 20 sealed builds that write one file each, cold and with nothing to do, beside Nix and
//! BuildStream.
//!
//! Every builder gets the same static busybox as the only program. Kiln builds libraries: recipes
//! without packages, since an image of busybox has no rpmbuild, and the others make no packages either.
//! Cold means a new store or cache each time; fetching is not part of it: sources (one tiny tar each)
//! are in kiln's new store, the others have none. Evaluating recipes, importing the image, hashing and
//! storing results is part of it for all three. All three isolate each build, run two at a time, and
//! are told to use no network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_model::Digest;
use kiln_store::Store;

use crate::command::{command, find, first_line, need, run};
use crate::error::BenchError;
use crate::figure::{Figure, in_turn};
use crate::rows::trivial::image::write_layout;
use crate::seed::set_aside;
use crate::setting::{Setting, ratio};

pub(super) mod image;

/// Builds.
const BUILDS: usize = 20;

/// Makes a peer ready, or says why it can not be had.
type Prepare<'a> = &'a dyn Fn() -> Result<Box<dyn Peer>, BenchError>;

/// Measures beside whichever of the two is there.
pub fn measure(setting: &Setting) -> Result<Vec<Figure>, BenchError> {
    let busybox = need("busybox", "busybox-static")?;
    let folder = setting.folder("trivial")?;
    let ours = Ours::prepare(setting, &folder.join("kiln"), &busybox)?;
    let mut figures = Vec::new();
    let mut skipped = Vec::new();
    let peers: [Prepare<'_>; 2] = [
        &|| Ok(Box::new(Nix::prepare(&folder.join("nix"), &busybox)?)),
        &|| Ok(Box::new(BuildStream::prepare(setting, &folder, &busybox)?)),
    ];
    for prepare in peers {
        match prepare().and_then(|peer| compare(setting, &ours, &*peer)) {
            Ok(found) => figures.extend(found),
            Err(BenchError::Skipped { reason }) => skipped.push(reason),
            Err(error) => return Err(error),
        }
    }
    if figures.is_empty() {
        return Err(BenchError::skipped(skipped.join("; ")));
    }
    Ok(figures)
}

fn compare(setting: &Setting, ours: &Ours<'_>, peer: &dyn Peer) -> Result<Vec<Figure>, BenchError> {
    let name = peer.name();
    let runs = setting.runs;
    let cold = in_turn(
        runs,
        || {
            ours.clear()?;
            ours.build()
        },
        || {
            peer.clear()?;
            peer.build()
        },
    )?;
    let null = in_turn(runs * 2, || ours.build(), || peer.build())?;
    let cold_what = format!("{BUILDS} trivial sealed builds, cold");
    let null_what = format!("{BUILDS} trivial sealed builds, nothing to do");
    Ok(vec![
        ratio("trivial", &cold_what, &name, cold, runs, peer.cold_goal()),
        ratio("trivial", &null_what, &name, null, runs * 2, NULL_GOAL),
    ])
}

/// What a run with nothing to do may take of the peer's.
const NULL_GOAL: f64 = 0.5;

/// A builder that is compared with kiln.
trait Peer {
    fn name(&self) -> String;
    /// What building everything may take of what it takes.
    fn cold_goal(&self) -> f64;
    /// Makes its store or cache as new.
    fn clear(&self) -> Result<(), BenchError>;
    fn build(&self) -> Result<Duration, BenchError>;
}

/// Kiln's project of trivial recipes.
struct Ours<'a> {
    setting: &'a Setting,
    folder: PathBuf,
    sources: Vec<Vec<u8>>,
}

impl<'a> Ours<'a> {
    fn prepare(setting: &'a Setting, folder: &Path, busybox: &Path) -> Result<Self, BenchError> {
        let project = folder.join("project");
        fs_err::create_dir_all(project.join("base-images"))?;
        let manifest = write_layout(&project.join("layout"), busybox)?;
        let base = format!("schema: 1\nname: tiny\nlayout: layout@{manifest}\n");
        fs_err::write(project.join("base-images/tiny.yaml"), base)?;
        let mut sources = Vec::new();
        for number in 0..BUILDS {
            let source = image::tar(&[(&format!("t{number}-1/file"), 0o644, b"x\n", None)])?;
            let recipe = project.join(format!("recipes/t{number}"));
            fs_err::create_dir_all(&recipe)?;
            let text = recipe_text(number, &Digest::of(&source));
            fs_err::write(recipe.join("recipe.yaml"), text)?;
            sources.push(source);
        }
        let ours = Self {
            setting,
            folder: folder.to_owned(),
            sources,
        };
        ours.clear()?;
        run(ours.kiln().arg("lock"))?;
        Ok(ours)
    }

    fn kiln(&self) -> std::process::Command {
        let below = |name: &str| self.folder.join(name);
        self.setting
            .kiln(&below("project"), &below("store"), &below("out"))
    }

    /// Makes a store with nothing but the sources.
    fn clear(&self) -> Result<(), BenchError> {
        set_aside(&self.folder.join("store"))?;
        set_aside(&self.folder.join("out"))?;
        let failed = BenchError::kiln("new store");
        let store = Store::open(&self.folder.join("store")).map_err(|error| failed(&error))?;
        for source in &self.sources {
            store.write_blob(source).map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    fn build(&self) -> Result<Duration, BenchError> {
        let mut kiln = self.kiln();
        kiln.arg("build");
        kiln.args((0..BUILDS).map(|number| format!("t{number}")));
        run(&mut kiln).map(|used| used.elapsed)
    }
}

fn recipe_text(number: usize, source: &Digest) -> String {
    format!(
        "schema: 1\nname: t{number}\nversion: \"1\"\nrelease: 1\nsummary: One file\nlicense: MIT\n\
         homepage: https://example.org/\nidentity: {{supplier: A bench}}\nbase: tiny\nsources:\n  \
         - url: https://example.org/t{number}-1.tar\n    sha256: \"{}\"\n    released: 2024-01-01\n\
         steps:\n  use: none\n  install: mkdir -p \"$DESTDIR$KILN_PREFIX\" && echo {number} > \
         \"$DESTDIR$KILN_PREFIX/f\"\n  skip-check: there is nothing to check\n",
        source.to_hex()
    )
}

/// Nix with a store of its own.
struct Nix {
    folder: PathBuf,
}

impl Nix {
    fn prepare(folder: &Path, busybox: &Path) -> Result<Self, BenchError> {
        need("nix-build", "nix-bin")?;
        let programs = folder.join("programs");
        fs_err::create_dir_all(&programs)?;
        fs_err::create_dir_all(folder.join("conf"))?;
        fs_err::copy(busybox, programs.join("busybox"))?;
        let conf = "build-users-group =\nsandbox = true\nsubstituters =\n";
        fs_err::write(folder.join("conf/nix.conf"), conf)?;
        let expression = format!(
            "let programs = builtins.path {{ path = {}; name = \"programs\"; }}; in\n\
             builtins.genList (n: derivation {{\n  name = \"t${{toString n}}\";\n  \
             system = \"x86_64-linux\";\n  builder = \"${{programs}}/busybox\";\n  \
             args = [ \"sh\" \"-c\" \"${{programs}}/busybox mkdir $out; echo ${{toString n}} > \
             $out/f\" ];\n}}) {BUILDS}\n",
            programs.display()
        );
        fs_err::write(folder.join("all.nix"), expression)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }
}

impl Peer for Nix {
    fn name(&self) -> String {
        first_line(command("nix-build").arg("--version"))
    }

    fn cold_goal(&self) -> f64 {
        0.5
    }

    fn clear(&self) -> Result<(), BenchError> {
        for name in ["store", "state", "log"] {
            set_aside(&self.folder.join(name))?;
        }
        Ok(())
    }

    fn build(&self) -> Result<Duration, BenchError> {
        let mut nix = command("nix-build");
        for (name, below) in [
            ("NIX_STORE_DIR", "store"),
            ("NIX_STATE_DIR", "state"),
            ("NIX_LOG_DIR", "log"),
            ("NIX_CONF_DIR", "conf"),
            ("HOME", "home"),
        ] {
            nix.env(name, self.folder.join(below));
        }
        nix.args(["--max-jobs", "2", "--no-out-link"]);
        run(nix.arg(self.folder.join("all.nix"))).map(|used| used.elapsed)
    }
}

/// BuildStream with a cache of its own.
struct BuildStream {
    program: PathBuf,
    folder: PathBuf,
}

impl BuildStream {
    fn prepare(setting: &Setting, folder: &Path, busybox: &Path) -> Result<Self, BenchError> {
        let installed = setting.project.root.join("target/bench-peers/bin/bst");
        let program = if installed.is_file() {
            installed
        } else {
            find("bst").ok_or_else(|| {
                BenchError::skipped(
                    "no `bst`: scripts/install-bench-peers could not install BuildStream",
                )
            })?
        };
        need("bwrap", "bubblewrap")?;
        let folder = folder.join("buildstream");
        let elements = folder.join("elements");
        let files = folder.join("files/bin");
        fs_err::create_dir_all(&elements)?;
        fs_err::create_dir_all(&files)?;
        fs_err::copy(busybox, files.join("busybox"))?;
        for applet in ["sh", "mkdir"] {
            fs_err::os::unix::fs::symlink("busybox", files.join(applet))?;
        }
        let write = |path: PathBuf, text: String| fs_err::write(path, text);
        write(
            folder.join("project.conf"),
            "name: bench\nmin-version: 2.0\nelement-path: elements\n".to_owned(),
        )?;
        write(
            elements.join("busybox.bst"),
            "kind: import\nsources:\n- kind: local\n  path: files\n".to_owned(),
        )?;
        let mut all = "kind: stack\ndepends:\n".to_owned();
        for number in 0..BUILDS {
            all.push_str(&format!("- t{number}.bst\n"));
            let text = format!(
                "kind: script\nbuild-depends:\n- busybox.bst\nconfig:\n  commands:\n  - mkdir -p \
                 %{{install-root}} && echo {number} > %{{install-root}}/f{number}\n"
            );
            write(elements.join(format!("t{number}.bst")), text)?;
        }
        write(elements.join("all.bst"), all)?;
        Ok(Self { program, folder })
    }
}

impl Peer for BuildStream {
    fn name(&self) -> String {
        let version = first_line(command(&self.program).arg("--version"));
        format!("BuildStream {version}")
    }

    fn cold_goal(&self) -> f64 {
        0.1
    }

    fn clear(&self) -> Result<(), BenchError> {
        for name in ["cache", "home", ".bst"] {
            set_aside(&self.folder.join(name))?;
        }
        Ok(())
    }

    fn build(&self) -> Result<Duration, BenchError> {
        let mut bst = command(&self.program);
        let folder = |name: &str| self.folder.join(name);
        fs_err::create_dir_all(folder("home"))?;
        bst.env("XDG_CACHE_HOME", folder("cache"));
        bst.env("XDG_CONFIG_HOME", folder("home"));
        bst.env("HOME", folder("home"));
        bst.current_dir(&self.folder);
        let arguments = ["--no-interactive", "--builders", "2", "build", "all.bst"];
        run(bst.args(arguments)).map(|used| used.elapsed)
    }
}
