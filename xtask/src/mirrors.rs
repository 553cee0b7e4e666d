//! Where this machine's package managers get packages from: their own settings say it, so that a machine
//! behind a proxy or a mirror needs nothing else, and no host is named here.

use std::path::Path;
use std::process::Command;

use crate::process;

/// What a proxy is told by; programs differ in which case they read.
const PROXIES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// What a build may be told of this by, in `examples/app/Dockerfile`.
const IN_BUILDS: [&str; 2] = ["PIP_INDEX_URL", "NPM_CONFIG_REGISTRY"];

/// Environment variables that say to pip, npm and their like what this machine's settings say.
pub(crate) fn variables() -> Vec<(String, String)> {
    let proxies = PROXIES.into_iter().filter_map(|name| {
        let value = std::env::var(name).ok()?;
        Some((name.to_owned(), value))
    });
    proxies.chain(pips()).chain(npms()).collect()
}

/// The same for `docker build`, as far as it holds in a container.
pub(crate) fn build_arguments() -> Vec<String> {
    let told = variables()
        .into_iter()
        .filter(|(name, _)| PROXIES.contains(&name.as_str()) || IN_BUILDS.contains(&name.as_str()));
    told.map(|(name, value)| format!("--build-arg={name}={value}"))
        .collect()
}

/// `pip config list` knows files and environment: `global.index-url='https://…'`, `:env:.cert='/…'`.
fn pips() -> Vec<(String, String)> {
    let list = Command::new("python3")
        .args(["-m", "pip", "config", "list"])
        .output();
    let text = list.map_or_else(|_| Vec::new(), |output| output.stdout);
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().filter_map(pip_setting).collect()
}

fn pip_setting(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once('=')?;
    let name = key
        .strip_prefix("global.")
        .or_else(|| key.strip_prefix(":env:."))?;
    let name = format!("PIP_{}", name.to_uppercase().replace('-', "_"));
    // A list has one value a line in the file, and one a word in the environment.
    let value = value.trim_matches('\'').replace("\\n", " ");
    Some((name, value.trim().to_owned()))
}

/// npm's registry, from the environment or from npm where there is one.
fn npms() -> Option<(String, String)> {
    let name = "NPM_CONFIG_REGISTRY";
    let told = ["npm_config_registry", name].map(std::env::var);
    let told = told.into_iter().find_map(Result::ok);
    let registry = told.or_else(|| {
        let npm = process::which("npm")?;
        let asked = process::read(Command::new(npm).args(["config", "get", "registry"]));
        asked.ok().filter(|answer| answer.starts_with("http"))
    })?;
    Some((name.to_owned(), registry))
}

/// Whether a setting holds in another root too: one that names a file does where that is there.
pub(crate) fn holds_in(root: &Path, value: &str) -> bool {
    match value.strip_prefix('/') {
        Some(file) => root.join(file).exists(),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::pip_setting;

    #[test]
    fn pips_settings_become_variables() {
        let of = |line: &str| pip_setting(line).map(|(name, value)| format!("{name} {value}"));
        let index = of("global.index-url='https://mirror.example/simple'");
        assert_eq!(
            index.as_deref(),
            Some("PIP_INDEX_URL https://mirror.example/simple")
        );
        let hosts = of(r":env:.trusted-host='\na\nb'");
        assert_eq!(hosts.as_deref(), Some("PIP_TRUSTED_HOST a b"));
        assert_eq!(of("install.user='true'"), None);
    }
}
