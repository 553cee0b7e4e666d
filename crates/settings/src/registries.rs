//! How registries are reached: options, larder.toml, and docker's settings of this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use larder_bases::Registries;
use larder_local::own::OwnFolder;
use serde::Deserialize;
use serde_json::Value;

use super::Choices;
use crate::args::{How, Reach};
use crate::exit::{Done, Failure};

/// The machine's settings of its engine.
const DAEMON_CONFIG: &str = "/etc/docker/daemon.json";
/// What is read of `daemon.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct DaemonConfig {
    registry_mirrors: Vec<String>,
    insecure_registries: Vec<String>,
}

impl DaemonConfig {
    /// A file that is missing or broken counts as empty: refusing it is dockerd's part.
    fn read(path: &Path) -> Self {
        let text = std::fs::read(path).unwrap_or_default();
        // As dockerd: a byte order mark is passed over, and of two keys of one name the last counts.
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
        let value: Value = serde_json::from_slice(text).unwrap_or_default();
        serde_json::from_value(value).unwrap_or_default()
    }
}

impl Choices {
    pub(super) fn plan_paths(&self, how: &How) -> Vec<PathBuf> {
        if how.planned.plan.is_empty() {
            self.file.plan.clone().unwrap_or_default()
        } else {
            how.planned.plan.clone()
        }
    }

    /// Decides how registries are reached. Options come first, then larder.toml, then docker's own
    /// settings; lists add up.
    pub(super) fn registries(&self, reach: &Reach, memory: OwnFolder) -> Done<Registries> {
        let daemon = DaemonConfig::read(Path::new(DAEMON_CONFIG));
        let mut mirrors = BTreeMap::new();
        for pair in &reach.registry_mirror {
            let (registry, url) = pair.split_once('=').ok_or_else(|| {
                Failure::input(format!(
                    "--registry-mirror {pair:?} names no registry; write docker.io=https://mirror.example"
                ))
            })?;
            add(&mut mirrors, registry, url);
        }
        for (registry, urls) in self.file.registry_mirrors.iter().flatten() {
            for url in urls {
                add(&mut mirrors, registry, url);
            }
        }
        for url in &daemon.registry_mirrors {
            add(&mut mirrors, "docker.io", url);
        }
        let listed = self.file.insecure_registries.iter().flatten();
        let insecure = reach.insecure_registry.iter().chain(listed);
        let insecure = insecure.chain(&daemon.insecure_registries);
        let docker = self.docker_folder();
        let docker = docker.unwrap_or_else(|| self.home().join(".docker"));
        Ok(Registries {
            docker_config: docker.join("config.json"),
            docker_auth: self.variable("DOCKER_AUTH_CONFIG"),
            podman_auths: self.podman_auths(),
            mirrors,
            insecure: insecure.map(|name| without_scheme(name)).collect(),
            proxies: self.proxies(),
            authorities: self.variable("SSL_CERT_FILE").map(PathBuf::from),
            authorities_folders: self.variable("SSL_CERT_DIR").map(|list| {
                let folders = list.split(':').filter(|folder| !folder.is_empty());
                folders.map(PathBuf::from).collect()
            }),
            memory,
        })
    }
}

impl Choices {
    /// Where podman and buildah keep credentials (containers-auth.json(5); containers/image
    /// `pkg/docker/config/config.go`, `getPathToAuthWithOS` and `getAuthFilePaths`).
    fn podman_auths(&self) -> Vec<PathBuf> {
        if let Some(named) = self.variable("REGISTRY_AUTH_FILE") {
            return vec![named.into()];
        }
        let us = rustix::process::getuid().as_raw();
        let of_login = self.variable("XDG_RUNTIME_DIR").map_or_else(
            || PathBuf::from(format!("/run/containers/{us}")),
            |folder| Path::new(&folder).join("containers"),
        );
        let settings = self.variable("XDG_CONFIG_HOME").map(PathBuf::from);
        let settings = settings.unwrap_or_else(|| self.home().join(".config"));
        [of_login, settings.join("containers")]
            .map(|folder| folder.join("auth.json"))
            .into()
    }

    /// The proxies, as Go takes them from the environment (`golang.org/x/net/http/httpproxy`,
    /// `FromEnvironment`). Of a CGI program, `HTTP_PROXY` is a header of whoever sent the request.
    pub(super) fn proxies(&self) -> [Option<String>; 3] {
        let mut proxies = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].map(|name| {
            self.variable(name)
                .or_else(|| self.variable(&name.to_ascii_lowercase()))
        });
        if self.variable("REQUEST_METHOD").is_some() {
            proxies[0] = None;
        }
        proxies
    }
}

/// Docker drops a scheme before a host (moby `registry/config.go`, `loadInsecureRegistries`).
fn without_scheme(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let mut schemes = ["http://", "https://"].iter();
    let scheme = schemes.find(|scheme| lower.starts_with(**scheme));
    name[scheme.map_or(0, |scheme| scheme.len())..].to_owned()
}

fn add(mirrors: &mut BTreeMap<String, Vec<String>>, registry: &str, url: &str) {
    let urls = mirrors.entry(registry.to_owned()).or_default();
    let url = url.trim_end_matches('/');
    if !urls.iter().any(|known| known == url) {
        urls.push(url.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::super::File;
    use super::*;

    #[test]
    fn proxies_are_those_that_go_takes() {
        let proxies = |variables: &[(&str, &str)]| {
            let variables = variables.iter();
            let choices = Choices {
                environment: variables
                    .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                    .collect(),
                file: File::default(),
                folder: "/".into(),
            };
            choices.proxies().map(Option::unwrap_or_default)
        };
        let lower = [
            ("http_proxy", "a"),
            ("HTTPS_PROXY", ""),
            ("https_proxy", "b"),
            ("NO_PROXY", "*"),
        ];
        assert_eq!(proxies(&lower), ["a", "b", "*"]);
        assert_eq!(
            proxies(&[("HTTP_PROXY", "a"), ("http_proxy", "b")]),
            ["a", "", ""]
        );
        assert_eq!(
            proxies(&[("HTTP_PROXY", "a"), ("REQUEST_METHOD", "GET")]),
            ["", "", ""]
        );
    }

    #[test]
    fn options_come_before_the_file() {
        let text = "insecure-registries = [\"HTTP://b:1\", \"10.0.0.0/8\"]\n[registry-mirrors]\n\"docker.io\" = [\"https://two/\"]\n";
        let file: File = toml::from_str(text).expect("settings");
        let choices = Choices {
            environment: [
                ("DOCKER_CONFIG".to_owned(), "/d".to_owned()),
                ("XDG_RUNTIME_DIR".to_owned(), "/r".to_owned()),
                ("HOME".to_owned(), "/h".to_owned()),
            ]
            .into(),
            file,
            folder: "/".into(),
        };
        let reach = Reach {
            insecure_registry: vec!["a:1".to_owned()],
            registry_mirror: vec!["docker.io=http://one".to_owned()],
        };
        let registries = choices
            .registries(&reach, OwnFolder::default())
            .expect("decided");
        assert_eq!(
            registries.mirrors["docker.io"][..2],
            ["http://one", "https://two"]
        );
        assert!(registries.insecure.contains("a:1") && registries.insecure.contains("b:1"));
        assert!(registries.insecure.contains("10.0.0.0/8"));
        assert_eq!(registries.docker_config, Path::new("/d/config.json"));
        let podman = ["/r/containers/auth.json", "/h/.config/containers/auth.json"];
        assert_eq!(registries.podman_auths, podman.map(PathBuf::from));

        let nameless = Reach {
            registry_mirror: vec!["https://one".to_owned()],
            ..Reach::default()
        };
        let error = choices
            .registries(&nameless, OwnFolder::default())
            .expect_err("no registry");
        assert!(error.message.contains("https://one"), "{error}");
    }
}
