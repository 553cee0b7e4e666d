//! Which of the administrator's settings our engine takes over.
//!
//! - What concerns containers, builds, registries and networks is **taken over**: containers are to
//!   behave, and to be held back, as on the machine's engine.
//! - What describes an engine that is not ours (its root, sockets, log, storage) is passed over.
//! - What is neither, and what this version of dockerd does not know, is **named** in one line.
//! - What holds containers or people back and cannot be had here is **refused**: nobody gets an engine
//!   that allows more than the machine's by asking Larder for one.

mod known;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;

use larder_model::version::Version;
use serde_json::{Map, Value, json};

use self::known::{
    FEATURES, FIREWALL, HOST_GATEWAY, LOG_DRIVER, LOG_DRIVERS, OF_DOCKERD, OF_THE_HOSTS_NETWORK,
    OUR_FEATURES, OURS, PROXIES, REFUSED, Setting, TAKEN_OVER,
};
use crate::error::{EngineError, Result};
use crate::machine::settings::MachineSettings;
use crate::shape::Shape;

/// What our engine has of the administrator's settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TakenOver {
    /// For `daemon.json`.
    pub(super) settings: Map<String, Value>,
    /// For dockerd's command line.
    pub(super) options: Vec<String>,
    /// Who may use the socket: a group's name or number.
    pub(super) group: Option<String>,
    /// Options of prlimit(1).
    pub(super) limits: Vec<String>,
    environment: Vec<(String, String)>,
    left_out: BTreeSet<String>,
}

impl TakenOver {
    /// What an engine of this shape and version takes over.
    pub fn new(machine: &MachineSettings, shape: Shape, version: Version) -> Result<Self> {
        check(machine)?;
        let rules = Rules {
            shape,
            major: version.major,
            logs: has_known_log_driver(machine),
        };
        let mut taken = Self {
            group: group(machine),
            limits: machine.limits.clone(),
            ..Self::default()
        };
        taken.take_file(machine, &rules);
        taken.take_options(machine, &rules);
        let known = |name: &str| PROXIES.contains(&name) || OF_DOCKERD.contains(&name);
        let environment = machine.environment.iter();
        taken.environment = environment
            .filter(|(name, _)| known(name))
            .cloned()
            .collect();
        Ok(taken)
    }

    fn take_file(&mut self, machine: &MachineSettings, rules: &Rules) {
        for (key, value) in &machine.file {
            match rules.fate(key, |setting| setting.0) {
                Fate::Taken => drop(self.settings.insert(key.clone(), value.clone())),
                Fate::Passed => {}
                Fate::Named => drop(self.left_out.insert(key.clone())),
            }
        }
        if let Some(entitlements) = machine
            .file
            .get("builder")
            .and_then(|it| it.get("entitlements"))
        {
            self.settings.insert(
                "builder".to_owned(),
                json!({ "entitlements": entitlements }),
            );
        }
        let features = machine.file.get("features").and_then(Value::as_object);
        for (name, value) in features.into_iter().flatten() {
            self.take_feature(name, value.clone());
        }
    }

    fn take_options(&mut self, machine: &MachineSettings, rules: &Rules) {
        for option in &machine.options {
            match rules.fate(&option.name, |setting| setting.1) {
                Fate::Taken => self.options.push(option.to_string()),
                Fate::Passed => {}
                Fate::Named => drop(self.left_out.insert(format!("--{}", option.name))),
            }
        }
        // Ours has features in its file, where the option must not be beside them.
        for option in machine.options.iter().filter(|it| it.name == "feature") {
            let text = option.value.as_deref().unwrap_or_default();
            let (name, value) = text.split_once('=').unwrap_or((text, "true"));
            self.take_feature(name, (value == "true" || value == "1").into());
        }
    }

    fn take_feature(&mut self, name: &str, value: Value) {
        if FEATURES.contains(&name) {
            let features = self.settings.entry("features").or_insert_with(|| json!({}));
            features[name] = value;
        } else if !OUR_FEATURES.contains(&name) {
            self.left_out.insert(format!("features.{name}"));
        }
    }

    /// What is not taken over, in one line for people.
    pub fn note(&self) -> Option<String> {
        let names: Vec<&str> = self.left_out.iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| {
            format!(
                "settings of the machine's engine that this one does not have: {}",
                names.join(", ")
            )
        })
    }

    /// The group that may use the sockets.
    pub fn socket_group(&self) -> Result<Option<String>> {
        if self.group.is_some() {
            return Ok(self.group.clone());
        }
        // A daemon refuses to start when a group that it was told of does not exist.
        let path = Path::new("/etc/group");
        let groups = fs::read(path).map_err(EngineError::io("cannot read", path))?;
        let groups = String::from_utf8_lossy(&groups);
        let mut names = groups.lines().filter_map(|line| line.split(':').next());
        let docker = names.find(|name| *name == "docker");
        Ok(docker.map(str::to_owned))
    }

    /// What the administrator listed under a key of `daemon.json`, or with the option that says the same.
    pub fn listed(&self, key: &str, option: &str) -> Vec<String> {
        let items = self.settings.get(key).and_then(Value::as_array);
        let items = items.into_iter().flatten().filter_map(Value::as_str);
        let start = format!("--{option}=");
        let options = self.options.iter().filter_map(|it| it.strip_prefix(&start));
        items.chain(options).map(str::to_owned).collect()
    }

    /// Whether the administrator says what `host-gateway` is.
    pub(super) fn names_host_gateway(&self) -> bool {
        let option = format!("--{HOST_GATEWAY}");
        self.settings
            .keys()
            .any(|key| key.starts_with(HOST_GATEWAY))
            || self.options.iter().any(|it| it.starts_with(&option))
    }

    /// Whose rules the administrator wants: `iptables` or `nftables`.
    pub(super) fn firewall_backend(&self) -> Option<&str> {
        let key = self.settings.get(FIREWALL).and_then(Value::as_str);
        let option = format!("--{FIREWALL}=");
        let mut options = self.options.iter();
        key.or_else(|| options.find_map(|it| it.strip_prefix(&option)))
    }

    /// The environment of our daemons: what our starter has for them, and the administrator's. Proxies
    /// belong together, so the administrator's replace all others.
    pub(super) fn environment(&self, given: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
        let replaced = self
            .environment
            .iter()
            .any(|(name, _)| is_proxy(name.as_ref()));
        let given = given
            .iter()
            .filter(|(name, _)| !(replaced && is_proxy(name)));
        let own = self.environment.iter();
        let own = own.map(|(name, value)| (name.into(), value.into()));
        given.cloned().chain(own).collect()
    }
}

fn is_proxy(name: &OsStr) -> bool {
    PROXIES.iter().any(|proxy| name == *proxy)
}

/// Refuses an administrator's settings that our engine cannot have and must not be without.
pub fn check(machine: &MachineSettings) -> Result<()> {
    for (key, option, without) in REFUSED {
        let in_file = machine.file.get(key).is_some_and(says_something);
        let mut options = machine.options.iter();
        if in_file || options.any(|it| it.name == option && it.value.as_deref() != Some("")) {
            return Err(EngineError::SettingRefused {
                setting: key,
                without,
            });
        }
    }
    Ok(())
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}

/// The group that may use the machine's socket, whoever set it.
fn group(machine: &MachineSettings) -> Option<String> {
    let option = machine.options.iter().rfind(|it| it.name == "group");
    let option = option.and_then(|it| it.value.clone());
    let key = machine.file.get("group").and_then(Value::as_str);
    let seen = machine.socket_group.map(|group| group.to_string());
    seen.or(option).or(key.map(str::to_owned))
}

fn has_known_log_driver(machine: &MachineSettings) -> bool {
    let option = machine.options.iter().find(|it| it.name == LOG_DRIVER);
    let option = option.and_then(|it| it.value.as_deref());
    let key = machine.file.get(LOG_DRIVER).and_then(Value::as_str);
    let driver = option.or(key).unwrap_or_default();
    driver.is_empty() || LOG_DRIVERS.contains(&driver)
}

/// What becomes of a setting.
enum Fate {
    Taken,
    Passed,
    Named,
}

struct Rules {
    shape: Shape,
    major: u32,
    /// Whether what is said of logs is taken over.
    logs: bool,
}

impl Rules {
    /// `named` says which of a setting's names is meant.
    fn fate(&self, name: &str, named: fn(&Setting) -> &'static str) -> Fate {
        let of_network = match self.shape {
            Shape::Takeover => OF_THE_HOSTS_NETWORK,
            Shape::Private => &[],
        };
        let mut known = TAKEN_OVER.iter().chain(of_network);
        let found = known.find(|setting| named(setting) == name);
        match found {
            Some((_, _, since)) if *since > self.major => Fate::Named,
            Some((key, ..)) if !self.logs && key.starts_with("log-") => Fate::Named,
            Some(_) => Fate::Taken,
            None if OURS.contains(&name) => Fate::Passed,
            None if REFUSED
                .iter()
                .any(|(key, option, _)| [*key, *option].contains(&name)) =>
            {
                Fate::Passed
            }
            None => Fate::Named,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::settings::DaemonOption;

    fn machine(file: &Value, options: &[(&str, &str)]) -> MachineSettings {
        let options = options.iter().map(|(name, value)| DaemonOption {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        });
        MachineSettings {
            file: file.as_object().expect("an object").clone(),
            options: options.collect(),
            ..MachineSettings::default()
        }
    }

    fn taken(machine: &MachineSettings, shape: Shape, version: &str) -> TakenOver {
        let version = version.parse().expect("a version");
        TakenOver::new(machine, shape, version).expect("nothing is refused")
    }

    #[test]
    fn what_concerns_containers_is_taken_over() {
        let file = json!({
            "registry-mirrors": ["https://m"], "bip": "10.9.0.1/24", "data-root": "/x", "live-restore": true,
            "runtimes": { "nvidia": { "path": "nvidia-container-runtime" } }, "default-runtime": "nvidia",
            "no-new-privileges": true, "seccomp-profile": "/etc/seccomp.json", "icc": false,
            "features": { "containerd-snapshotter": true, "cdi": true, "later": true },
            "builder": { "gc": { "enabled": true }, "entitlements": { "network-host": false } },
            "storage-opts": ["overlay2.size=1G"], "bridge": "br0",
        });
        let taken = taken(&machine(&file, &[]), Shape::Private, "26.1.5");
        for key in [
            "registry-mirrors",
            "bip",
            "runtimes",
            "default-runtime",
            "icc",
        ] {
            assert_eq!(taken.settings[key], file[key]);
        }
        assert_eq!(taken.settings["no-new-privileges"], true);
        assert_eq!(taken.settings["seccomp-profile"], "/etc/seccomp.json");
        assert_eq!(taken.settings["features"], json!({ "cdi": true }));
        let entitlements = json!({ "entitlements": { "network-host": false } });
        assert_eq!(taken.settings["builder"], entitlements);
        assert_eq!(taken.settings.len(), 9);
        let note = taken.note().expect("something is left out");
        assert!(
            note.ends_with(": bridge, features.later, storage-opts"),
            "{note}"
        );
    }

    #[test]
    fn what_a_version_does_not_know_is_named() {
        let file =
            json!({ "proxies": { "no-proxy": "x" }, "firewall-backend": "nftables", "mtu": 1400 });
        let machine = machine(&file, &[("cdi-spec-dir", "/cdi")]);
        let old = taken(&machine, Shape::Private, "20.10.24");
        let note = old.note().expect("something is left out");
        assert!(
            note.ends_with(": --cdi-spec-dir, firewall-backend, proxies"),
            "{note}"
        );
        assert_eq!((old.settings.len(), old.options.len()), (1, 0));
        assert_eq!(taken(&machine, Shape::Private, "29.0.0").note(), None);
    }

    #[test]
    fn a_private_engine_has_a_network_of_its_own() {
        let machine = machine(
            &json!({ "iptables": false }),
            &[("ip", "192.0.2.1"), ("mtu", "1400")],
        );
        let takeover = taken(&machine, Shape::Takeover, "26.1.5");
        assert_eq!(takeover.options, ["--ip=192.0.2.1", "--mtu=1400"]);
        assert_eq!(takeover.settings["iptables"], false);
        let private = taken(&machine, Shape::Private, "26.1.5");
        assert_eq!(private.options, ["--mtu=1400"]);
        assert!(private.settings.is_empty());
        assert!(
            private
                .note()
                .expect("two are left out")
                .ends_with(": --ip, iptables")
        );
    }

    #[test]
    fn a_log_driver_that_cannot_be_had_goes_with_its_options() {
        let file = json!({ "log-driver": "loki", "log-opts": { "loki-url": "http://l" } });
        let left = taken(&machine(&file, &[]), Shape::Takeover, "26.1.5");
        assert!(left.settings.is_empty() && left.note().expect("named").contains("log-driver"));
        let file = json!({ "log-driver": "journald", "log-opts": { "tag": "x" } });
        assert_eq!(
            taken(&machine(&file, &[]), Shape::Takeover, "26.1.5")
                .settings
                .len(),
            2
        );
        let options = machine(
            &json!({ "log-opts": { "a": "b" } }),
            &[("log-driver", "awslogs")],
        );
        let left = taken(&options, Shape::Takeover, "26.1.5");
        assert!(left.settings.is_empty() && left.options.is_empty());
    }

    #[test]
    fn what_would_make_containers_stronger_is_refused() {
        for refused in [
            machine(&json!({ "userns-remap": "default" }), &[]),
            machine(&json!({ "authorization-plugins": ["opa"] }), &[]),
            machine(&json!({}), &[("userns-remap", "ci:ci")]),
        ] {
            let refusal = check(&refused).expect_err("refused").to_string();
            assert!(refusal.contains("larder build"), "{refusal}");
        }
        let empty = json!({ "userns-remap": "", "authorization-plugins": [] });
        check(&machine(&empty, &[])).expect("they say nothing");
        assert_eq!(
            taken(&machine(&empty, &[]), Shape::Private, "26.1.5").note(),
            None
        );
    }

    #[test]
    fn who_may_use_the_machines_socket_may_use_ours() {
        let mut machine = machine(&json!({ "group": "ci" }), &[]);
        assert_eq!(group(&machine).as_deref(), Some("ci"));
        machine.socket_group = Some(0);
        assert_eq!(group(&machine).as_deref(), Some("0"));
    }

    #[test]
    fn the_administrators_proxies_replace_the_jobs() {
        let mut machine = MachineSettings::default();
        let set = [
            ("HTTPS_PROXY", "http://admin"),
            ("DOCKER_RAMDISK", "1"),
            ("AWS_PROFILE", "x"),
        ];
        machine.environment = set
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec();
        let given = [("HTTP_PROXY", "http://job"), ("PATH", "/bin")];
        let given = given.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let names = |taken: &TakenOver| -> Vec<OsString> {
            let environment = taken.environment(&given).into_iter();
            environment.map(|(name, _)| name).collect()
        };
        let administrators = taken(&machine, Shape::Private, "26.1.5");
        assert_eq!(
            names(&administrators),
            ["PATH", "HTTPS_PROXY", "DOCKER_RAMDISK"]
        );
        assert_eq!(names(&TakenOver::default()), ["HTTP_PROXY", "PATH"]);
    }
}
