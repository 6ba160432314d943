//! The `.repo` file that dnf reads: where the repository is, and whose signatures count.

use kiln_model::Config;

/// Where nobody serves anything: to be replaced by whoever serves the folder.
const NOWHERE: &str = "https://localhost.invalid/rpms/";

/// Returns the text of the `.repo` file; `key` is the name of the file with public keys.
pub(crate) fn repo_file(config: &Config, key: &str) -> String {
    let repository = &config.repository;
    let name = repository
        .name
        .as_ref()
        .unwrap_or(&config.organization.name);
    let name = name.replace(char::is_control, " ");
    let (id, note, base) = match &repository.baseurl {
        Some(base) => (&repository.id, "", base.as_str()),
        None => (
            &repository.id,
            "# Say where this folder is served: `[repository] baseurl` in kiln.toml.\n",
            NOWHERE,
        ),
    };
    format!(
        "{note}[{id}]\nname={name}\nbaseurl={base}\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\n\
         gpgkey={base}{key}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_the_place_and_the_key() {
        let text = "[organization]\nname = \"A\\n[evil]\"\n[repository]\nid = \"x\"\n\
                    baseurl = \"https://a.example/rpms/\"\n";
        let config = Config::parse(text.as_bytes()).unwrap();
        assert_eq!(
            repo_file(&config, "RPM-GPG-KEY-x"),
            "[x]\nname=A [evil]\nbaseurl=https://a.example/rpms/\nenabled=1\ngpgcheck=1\n\
             repo_gpgcheck=1\ngpgkey=https://a.example/rpms/RPM-GPG-KEY-x\n"
        );
        let nowhere = repo_file(&Config::default(), "RPM-GPG-KEY-kiln");
        assert!(nowhere.starts_with("# Say where"), "{nowhere}");
        assert!(
            nowhere.contains("\n[kiln]\nname=Unnamed kiln user\n"),
            "{nowhere}"
        );
    }
}
