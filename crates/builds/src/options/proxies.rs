//! The proxies of docker's own settings. Every build gets them as build arguments, so one that declares such
//! an argument depends on them (buildx `build/opt.go`, `toSolveOpt`, and docker's `cli/config/configfile/file.go`,
//! `ProxyConfig`).

use std::path::{Path, PathBuf};

use larder_model::go::json::Object;

use crate::files;
use crate::request::Surroundings;

/// The fields of a host's proxies, and the build arguments that they are for `BuildKit`.
const ARGUMENTS: [(&str, &str); 4] = [
    ("httpProxy", "HTTP_PROXY"),
    ("httpsProxy", "HTTPS_PROXY"),
    ("noProxy", "NO_PROXY"),
    ("ftpProxy", "FTP_PROXY"),
];
/// The engine of whoever names none (moby `client/client_unix.go`, `DefaultDockerHost`).
const USUAL_HOST: &str = "unix:///var/run/docker.sock";
/// The proxies of all engines that have none of their own.
const DEFAULT: &str = "default";

/// The build arguments that docker adds, by name. A file that cannot be read holds none: saying so is docker's
/// part.
pub(super) fn arguments(around: &Surroundings) -> Vec<(&'static str, String)> {
    let Some(settings) = settings(around) else {
        return Vec::new();
    };
    let host = around
        .variable("DOCKER_HOST")
        .map_or(USUAL_HOST, String::as_str);
    let hosts = settings.map("proxies");
    let of = |name: &str| {
        let mut named = hosts.iter().rev().filter(|(host, _)| *host == name);
        named.find_map(|(_, node)| node.object())
    };
    let proxies = of(host).or_else(|| of(DEFAULT));
    let named = ARGUMENTS.into_iter().filter_map(|(field, argument)| {
        let value = proxies?.text(field).filter(|value| !value.is_empty())?;
        Some((argument, value.to_owned()))
    });
    named.collect()
}

fn settings(around: &Surroundings) -> Option<Object> {
    let home = around
        .variable("HOME")
        .map(|home| Path::new(home).join(".docker"));
    let folder = around
        .variable("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or(home)?;
    let file = around.folder.join(folder).join("config.json");
    Object::read(&files::read(&file, &file).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_engine_s_own_proxies_come_before_the_usual_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = r#"{"proxies":{"default":{"httpProxy":"http://u:p@a","noProxy":"b","allProxy":"c"},
            "tcp://e:1":{"ftpProxy":"d","httpsProxy":""}}}"#;
        fs::write(folder.path().join("config.json"), text).expect("written");
        let given = |variables: &[(&str, &str)]| {
            let variables = variables.iter();
            let mut around = Surroundings {
                environment: variables.map(|(a, b)| ((*a).into(), (*b).into())).collect(),
                ..Surroundings::default()
            };
            let path = folder.path().display().to_string();
            around.environment.insert("DOCKER_CONFIG".into(), path);
            arguments(&around)
        };
        let own = |name, value: &str| (name, value.to_owned());
        let usual = [own("HTTP_PROXY", "http://u:p@a"), own("NO_PROXY", "b")];
        assert_eq!(given(&[]), usual);
        assert_eq!(given(&[("DOCKER_HOST", "tcp://f:1")]), usual);
        let ftp = [own("FTP_PROXY", "d")];
        assert_eq!(given(&[("DOCKER_HOST", "tcp://e:1")]), ftp);
        for text in [
            "",
            "{",
            r#"{"proxies":[]}"#,
            r#"{"proxies":{"default":null}}"#,
        ] {
            fs::write(folder.path().join("config.json"), text).expect("written");
            assert_eq!(given(&[]), []);
        }
        assert_eq!(arguments(&Surroundings::default()), []);
    }
}
