//! `buildkitd`'s configuration: the machine's own file, and over it what must hold for every builder on a volume and
//! how the session reaches registries.
//!
//! The keys are those of `cmd/buildkitd/config/config.go` and `util/resolver/config/config.go`. A version passes over
//! those that it does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use larder_engine::TakenOver;
use toml::{Table, Value};

use crate::error::{EngineError, Result};

/// The machine's own (`util/appdefaults/appdefaults_linux.go`).
const MACHINES: &str = "/etc/buildkit/buildkitd.toml";
/// Where Docker looks for the certificates of a registry (moby `registry/registry.go`, `CertsDir`).
const CERTIFICATES: &str = "/etc/docker/certs.d";
/// The registry that an administrator's mirrors are of.
const DOCKER: &str = "docker.io";
/// What a step may ask for. Its network is that of the builder in any case.
const ENTITLEMENTS: [&str; 1] = ["network.host"];

/// How a job reaches registries, beside what the administrator has set for the engine.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Addresses to ask first, by registry.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Registries without a valid certificate.
    pub insecure: BTreeSet<String>,
}

impl Reach {
    /// With what the administrator has set for the engine.
    pub(crate) fn beside(mut self, taken_over: &TakenOver) -> Self {
        let mirrors = self.mirrors.entry(DOCKER.to_owned()).or_default();
        for mirror in taken_over.listed("registry-mirrors", "registry-mirror") {
            if !mirrors.contains(&mirror) {
                mirrors.push(mirror);
            }
        }
        let insecure = taken_over.listed("insecure-registries", "insecure-registry");
        self.insecure.extend(insecure);
        self
    }

    /// The insecure ones that buildkitd cannot be told of: it knows no ranges of addresses.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = &str> {
        let ranges = self.insecure.iter().filter(|name| name.contains('/'));
        ranges.map(String::as_str)
    }
}

/// Where a builder works, and how much it may keep.
pub(crate) struct Site<'a> {
    pub root: &'a Path,
    pub socket: &'a Path,
    /// For sockets that only it needs.
    pub run_dir: &'a Path,
    pub keep_bytes: u64,
    /// What was not used for so long goes.
    pub unused_seconds: u64,
}

/// The machine's own configuration; an empty one if there is none.
pub(crate) fn of_machine() -> Result<Table> {
    let path = Path::new(MACHINES);
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Table::new()),
        text => text.map_err(EngineError::io("cannot read", path))?,
    };
    text.parse().map_err(|error| EngineError::Malformed {
        what: "the configuration of buildkitd",
        path: path.to_owned(),
        message: format!("{error}"),
    })
}

/// The registries that Docker has certificates for, and where these are.
pub(crate) fn certificates() -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(CERTIFICATES).into_iter().flatten().flatten();
    let found =
        entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    found.collect()
}

/// The whole configuration.
///
/// - No address but ours, and no TLS: the socket's mode says who may use it.
/// - One worker, by runc, and one snapshotter, or a volume that wanders between machines would flip.
/// - The collector keeps what is used, within one bound, whatever it is. `BuildKit`'s own policy drops cache mounts that
///   were not used for two days: each Monday, all.
pub(crate) fn buildkitd_toml(
    mut all: Table,
    site: &Site<'_>,
    reach: &Reach,
    certificates: &[(String, PathBuf)],
) -> String {
    all.insert("root".to_owned(), text(site.root));
    let address = format!("unix://{}", site.socket.display());
    let address = Value::Array(vec![address.into()]);
    all.insert("grpc".to_owned(), table([("address", address)]));
    let tracing = text(&site.run_dir.join("buildkitd-otel.sock"));
    all.insert("otel".to_owned(), table([("socketPath", tracing)]));
    all.entry("insecure-entitlements")
        .or_insert_with(|| Value::Array(ENTITLEMENTS.map(Value::from).into()));
    let worker = within(&mut all, "worker");
    worker.insert("containerd".to_owned(), table([("enabled", false.into())]));
    let oci = within(worker, "oci");
    for (key, value) in [
        ("enabled", Value::from(true)),
        ("snapshotter", "overlayfs".into()),
        ("gc", true.into()),
        ("gcpolicy", policy(site)),
    ] {
        oci.insert(key.to_owned(), value);
    }
    let registries = within(&mut all, "registry");
    for (registry, mirrors) in &reach.mirrors {
        for mirror in mirrors {
            add_mirror(registries, registry, mirror);
        }
    }
    for host in reach.insecure.iter().filter(|name| !name.contains('/')) {
        // Both: it is asked by TLS and by plain HTTP, as Docker does it (`util/resolver/resolver.go`,
        // `fillInsecureOpts`).
        let registry = within(registries, host);
        registry.insert("http".to_owned(), true.into());
        registry.insert("insecure".to_owned(), true.into());
    }
    for (host, folder) in certificates {
        let folders = within(registries, host).entry("tlsconfigdir");
        let folders = folders.or_insert_with(|| Value::Array(Vec::new()));
        push(folders, text(folder));
    }
    all.to_string()
}

/// What is older goes, then what is too much. The bound has one name up to `BuildKit` 0.16 and another since 0.17.
fn policy(site: &Site<'_>) -> Value {
    let bytes = Value::Integer(site.keep_bytes.cast_signed());
    let seconds = Value::Integer(site.unused_seconds.cast_signed());
    let old = table([("all", true.into()), ("keepDuration", seconds)]);
    let much = table([
        ("all", true.into()),
        ("keepBytes", bytes.clone()),
        ("reservedSpace", bytes),
    ]);
    Value::Array(vec![old, much])
}

/// A mirror is a host and a path there; how it is reached stands with its own name.
fn add_mirror(registries: &mut Table, registry: &str, url: &str) {
    let plain = url.strip_prefix("http://");
    let place = plain.or_else(|| url.strip_prefix("https://"));
    let place = place.unwrap_or(url).trim_end_matches('/');
    let mirrors = within(registries, registry).entry("mirrors");
    push(
        mirrors.or_insert_with(|| Value::Array(Vec::new())),
        place.into(),
    );
    if plain.is_some() {
        let host = place.split('/').next().unwrap_or(place);
        within(registries, host).insert("http".to_owned(), true.into());
    }
}

fn push(list: &mut Value, item: Value) {
    if let Value::Array(items) = list
        && !items.contains(&item)
    {
        items.push(item);
    }
}

/// A table in a table. What else has its name there is no configuration that buildkitd would read.
fn within<'a>(all: &'a mut Table, key: &str) -> &'a mut Table {
    let value = all.entry(key).or_insert_with(|| Value::Table(Table::new()));
    if !value.is_table() {
        *value = Value::Table(Table::new());
    }
    value.as_table_mut().expect("it is a table now")
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let entries = entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    Value::Table(entries.collect())
}

fn text(path: &Path) -> Value {
    path.display().to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site<'static> {
        Site {
            root: Path::new("/v/state"),
            socket: Path::new("/run/x/buildkitd.sock"),
            run_dir: Path::new("/run/x"),
            keep_bytes: 5 << 30,
            unused_seconds: 3600,
        }
    }

    fn made(machine: &str, reach: &Reach, certificates: &[(String, PathBuf)]) -> Table {
        let machine = machine.parse().expect("TOML");
        let text = buildkitd_toml(machine, &site(), reach, certificates);
        text.parse().expect("TOML")
    }

    #[test]
    fn what_must_hold_on_a_volume_wins() {
        let machine = "root = \"/theirs\"\ninsecure-entitlements = [\"security.insecure\"]\n\
            [grpc]\naddress = [\"tcp://0.0.0.0:1234\"]\n[grpc.tls]\ncert = \"x\"\n\
            [worker.oci]\nmax-parallelism = 4\nsnapshotter = \"native\"\n[[worker.oci.gcpolicy]]\nkeepBytes = 1\n\
            [worker.containerd]\nenabled = true\n[dns]\nnameservers = [\"192.0.2.1\"]";
        let all = made(machine, &Reach::default(), &[]);
        assert_eq!(all["root"].as_str(), Some("/v/state"));
        let grpc = all["grpc"].as_table().expect("a table");
        assert_eq!(grpc.len(), 1);
        assert_eq!(
            grpc["address"][0].as_str(),
            Some("unix:///run/x/buildkitd.sock")
        );
        assert_eq!(
            all["worker"]["containerd"]["enabled"].as_bool(),
            Some(false)
        );
        let oci = &all["worker"]["oci"];
        assert_eq!(oci["max-parallelism"].as_integer(), Some(4));
        assert_eq!(oci["snapshotter"].as_str(), Some("overlayfs"));
        let policy = oci["gcpolicy"].as_array().expect("a list");
        assert_eq!(policy.len(), 2);
        assert_eq!(policy[0]["keepDuration"].as_integer(), Some(3600));
        for name in ["keepBytes", "reservedSpace"] {
            assert_eq!(policy[1][name].as_integer(), Some(5 << 30));
        }
        assert_eq!(
            all["insecure-entitlements"][0].as_str(),
            Some("security.insecure")
        );
        assert_eq!(all["dns"]["nameservers"][0].as_str(), Some("192.0.2.1"));
        let alone = made("", &Reach::default(), &[]);
        assert_eq!(
            alone["insecure-entitlements"][0].as_str(),
            Some("network.host")
        );
    }

    #[test]
    fn registries_are_reached_as_the_session_does() {
        let machine =
            "[registry.\"docker.io\"]\nmirrors = [\"theirs\"]\n[registry.quay]\nca = [\"x.pem\"]";
        let urls = ["https://m.example/hub/", "http://m:5000", "https://theirs"];
        let reach = Reach {
            mirrors: [("docker.io".to_owned(), urls.map(str::to_owned).into())].into(),
            insecure: ["plain:5000", "10.0.0.0/8"].map(str::to_owned).into(),
        };
        let certificates = [("quay".to_owned(), PathBuf::from("/certs/quay"))];
        let all = made(machine, &reach, &certificates);
        let registries = &all["registry"];
        let mirrors = registries["docker.io"]["mirrors"].as_array();
        let mirrors: Vec<_> = mirrors.expect("a list").iter().map(Value::as_str).collect();
        assert_eq!(
            mirrors,
            [Some("theirs"), Some("m.example/hub"), Some("m:5000")]
        );
        assert_eq!(registries["m:5000"]["http"].as_bool(), Some(true));
        assert!(registries.get("m.example").is_none());
        for key in ["http", "insecure"] {
            assert_eq!(registries["plain:5000"][key].as_bool(), Some(true));
        }
        assert!(registries.get("10.0.0.0/8").is_none());
        assert_eq!(reach.ranges().collect::<Vec<_>>(), ["10.0.0.0/8"]);
        let quay = &registries["quay"];
        assert_eq!(quay["tlsconfigdir"][0].as_str(), Some("/certs/quay"));
        assert_eq!(quay["ca"][0].as_str(), Some("x.pem"));
    }
}
