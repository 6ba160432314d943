//! The way to the network: the command line and environment first, then `kiln.toml`, then the host.

use std::path::PathBuf;

use kiln_build::Project;
use kiln_model::{BaseOrigin, ConfigNetwork};
use kiln_store::{
    FetchSettings, NetrcFile, Network, ProxyAddress, ProxySettings, TrustedRoots, Upstream,
};

use crate::arguments::{Common, path};
use crate::host::{self, Variable};

/// Returns what the fetcher is told.
pub fn settings(common: &Common, project: &Project, network: Network) -> FetchSettings {
    let config = &project.config;
    let (_, archives) = archives(common, Some(project));
    let mut settings = FetchSettings::new(archives, network);
    settings.mirrors.clone_from(&config.mirrors.sources);
    if config.mirrors.only {
        settings.upstream = Upstream::Never;
    }
    settings.proxies = proxies(&config.network, &host::variable);
    settings.netrc = netrc(&host::variable);
    settings.roots = trusted_roots(common);
    settings.more_roots = config.network.ca.as_ref().map(|ca| project.root.join(ca));
    settings
}

/// Returns whom to trust behind `https:`.
pub fn trusted_roots(common: &Common) -> TrustedRoots {
    path(common.trusted_roots.as_ref()).map_or(TrustedRoots::System, TrustedRoots::Bundle)
}

/// Returns the Debian archives to ask and where their addresses come from: the command line and
/// environment first, then `kiln.toml`, then the host's apt.
pub fn archives(common: &Common, project: Option<&Project>) -> (&'static str, Vec<String>) {
    let given = common
        .debian_archive
        .iter()
        .filter(|address| !address.is_empty());
    let given: Vec<String> = given.cloned().collect();
    if !given.is_empty() {
        return ("--debian-archive or KILN_DEBIAN_ARCHIVE", given);
    }
    let set = project.map(|project| project.config.mirrors.debian.clone());
    if let Some(set) = set.filter(|set| !set.is_empty()) {
        return ("kiln.toml", set);
    }
    let chosen = project.and_then(|project| project.bases.get(project.chosen_base.as_ref()?));
    let all = project.iter().flat_map(|project| project.bases.values());
    let mut bases = chosen.into_iter().chain(all);
    let suite = bases.find_map(|base| match &base.origin {
        BaseOrigin::Archive(archive) => Some(archive.suite.as_str()),
        BaseOrigin::Layout { .. } | BaseOrigin::Image { .. } => None,
    });
    let found = suite.map(host::apt_archives).unwrap_or_default();
    ("the host's apt configuration", found)
}

/// The environment's names for the same thing: the first that is set counts, as in curl.
fn first(read: &Variable<'_>, names: &[&str]) -> Option<ProxyAddress> {
    names.iter().find_map(|name| {
        Some(ProxyAddress {
            address: read(name)?,
            origin: (*name).to_owned(),
        })
    })
}

fn proxies(network: &ConfigNetwork, read: &Variable<'_>) -> ProxySettings {
    let configured = network.proxy.as_ref().map(|address| ProxyAddress {
        address: address.clone(),
        origin: "kiln.toml".to_owned(),
    });
    let all = first(read, &["all_proxy", "ALL_PROXY"]).or(configured);
    let except = read("no_proxy").or_else(|| read("NO_PROXY"));
    ProxySettings {
        http: first(read, &["http_proxy", "HTTP_PROXY"]).or_else(|| all.clone()),
        https: first(read, &["https_proxy", "HTTPS_PROXY"]).or(all),
        except: except.map_or_else(|| network.no_proxy.clone(), |list| vec![list]),
    }
}

fn netrc(read: &Variable<'_>) -> NetrcFile {
    match (read("NETRC"), read("HOME")) {
        (Some(file), _) => NetrcFile::At(PathBuf::from(file)),
        (None, Some(home)) => NetrcFile::IfThere(PathBuf::from(home).join(".netrc")),
        (None, None) => NetrcFile::None,
    }
}

#[cfg(test)]
mod tests {
    use kiln_model::Config;

    use super::*;

    #[test]
    fn the_environment_comes_before_kiln_toml() {
        let toml = "[network]\nproxy = \"toml:1\"\nno-proxy = [\"a\", \"b\"]\n";
        let check = |config: &str, variables: &[(&str, &str)], expected: [&str; 3]| {
            let read = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let found = proxies(&Config::parse(config.as_bytes()).unwrap().network, &read);
            let shown = |proxy: Option<ProxyAddress>| {
                proxy.map_or_else(String::new, |proxy| {
                    format!("{} {}", proxy.address, proxy.origin)
                })
            };
            let found = [
                shown(found.http),
                shown(found.https),
                found.except.join(" "),
            ];
            assert_eq!(found, expected, "{variables:?}");
        };
        check("", &[], ["", "", ""]);
        check(toml, &[], ["toml:1 kiln.toml", "toml:1 kiln.toml", "a b"]);
        check(
            toml,
            &[("HTTPS_PROXY", "e:2"), ("NO_PROXY", "c,d")],
            ["toml:1 kiln.toml", "e:2 HTTPS_PROXY", "c,d"],
        );
        check(
            toml,
            &[
                ("ALL_PROXY", "all:3"),
                ("http_proxy", "h:4"),
                ("HTTP_PROXY", "no:5"),
            ],
            ["h:4 http_proxy", "all:3 ALL_PROXY", "a b"],
        );
    }

    #[test]
    fn a_named_netrc_must_be_there_and_the_usual_one_may() {
        let check = |variables: &[(&str, &str)], expected: NetrcFile| {
            let read = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(netrc(&read), expected);
        };
        check(&[], NetrcFile::None);
        check(&[("HOME", "/h")], NetrcFile::IfThere("/h/.netrc".into()));
        let named = [("HOME", "/h"), ("NETRC", "/n")];
        check(&named, NetrcFile::At("/n".into()));
    }
}
