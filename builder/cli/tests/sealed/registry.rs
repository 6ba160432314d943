//! The store as other tools see it: skopeo and podman read it, and a registry gives back the same digests.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::bases::Base;
use crate::project::{DEMO, Project, wait_until};
use crate::server::Server;

/// A registry on loopback that keeps its things in a folder.
struct Registry {
    process: Child,
    address: String,
}

impl Registry {
    #[expect(clippy::disallowed_methods, reason = "a peer is started")]
    fn start(folder: &Path) -> Option<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let settings = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n",
            folder.join("registry").display()
        );
        let file = folder.join("registry.yml");
        fs_err::write(&file, settings).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(file).stdin(Stdio::null());
        let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(process) = spawned else {
            eprintln!("skipped: there is no docker-registry");
            return None;
        };
        wait_until("the registry listens", || {
            std::net::TcpStream::connect(&address).is_ok()
        });
        Some(Self { process, address })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a peer is started")]
fn tool(program: &str, folder: &Path, arguments: &[&str]) -> Option<(bool, String)> {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .args(arguments);
    let ended = match command.stdin(Stdio::null()).output() {
        Ok(ended) => ended,
        Err(_) => {
            eprintln!("skipped: there is no {program}");
            return None;
        }
    };
    let text = [ended.stdout, ended.stderr].concat();
    Some((
        ended.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

/// Returns the digests in an image layout's index by name.
fn digests(layout: &Path) -> std::collections::BTreeMap<String, String> {
    let index = fs_err::read(layout.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let manifests = index["manifests"].as_array().unwrap().iter();
    let named = manifests.filter_map(|manifest| {
        let name = manifest["annotations"]["org.opencontainers.image.ref.name"].as_str()?;
        Some((name.to_owned(), manifest["digest"].as_str()?.to_owned()))
    });
    named.collect()
}

#[test]
fn slow_other_tools_read_the_store_and_registries_give_it_back_unchanged() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    project.done(&["build"]);
    let (folder, store) = (project.root.join("apart"), project.store());
    fs_err::create_dir(&folder).unwrap();
    let Some(registry) = Registry::start(&folder) else {
        return;
    };
    let there = digests(&store);
    for kind in ["sources", "destdir", "packages", "documents"] {
        assert!(there.contains_key(&format!("{kind}/demo")), "{there:?}");
    }
    let back = folder.join("back");
    for name in there.keys() {
        let remote = format!(
            "docker://{}/kiln/{}:x",
            registry.address,
            name.replace(['/', '@'], "-")
        );
        let ours = format!("oci:{}:{name}", store.display());
        let theirs = format!("oci:{}:{name}", back.display());
        for (from, to, option) in [
            (&ours, &remote, "--dest-tls-verify=false"),
            (&remote, &theirs, "--src-tls-verify=false"),
        ] {
            let copy = [
                "copy",
                "--quiet",
                "--insecure-policy",
                "--preserve-digests",
                option,
                from,
                to,
            ];
            let Some((is_done, text)) = tool("skopeo", &folder, &copy) else {
                return;
            };
            assert!(is_done, "{name}: {text}");
        }
    }
    assert_eq!(digests(&back), there);
    // podman makes a name of the path, which must be in lower case.
    fs_err::os::unix::fs::symlink(&store, folder.join("store")).unwrap();
    let image = "oci:store:debian-12";
    let root = folder.join("containers");
    let (kept, running) = (root.join("root"), root.join("run"));
    let policy = policy(&folder);
    let run = [
        "--root",
        kept.to_str().unwrap(),
        "--runroot",
        running.to_str().unwrap(),
        "--storage-driver=vfs",
        "pull",
        "--quiet",
        "--signature-policy",
        &policy,
        image,
    ];
    if let Some((is_done, text)) = tool("podman", &folder, &run) {
        assert!(is_done, "{text}");
    }
    project.check_store();
}

/// Writes a policy that takes images without signatures: what vouches for them is their digest.
fn policy(folder: &Path) -> String {
    let file = folder.join("policy.json");
    fs_err::write(
        &file,
        "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}",
    )
    .unwrap();
    file.to_string_lossy().into_owned()
}
