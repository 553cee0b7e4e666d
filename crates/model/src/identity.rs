//! What a base image *is* to the images built from it: its layers and the configuration that a
//! child inherits, and nothing else.
//!
//! A tag's index digest moves when any other platform is added, and a configuration's digest moves
//! whenever identical layers are built again (it holds the time). Neither changes what a build on
//! top of the image does; a base identity moves exactly when that does.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::digest_type;

/// The part of an image's configuration that reaches the images built from it, in canonical form:
/// maps and sets are sorted, and absent, null and empty are the same.
///
/// Follows moby/buildkit `frontend/dockerfile/dockerfile2llb/convert.go`, where a stage starts with
/// the configuration of its base. It is read in docker's own form, whose names are Go's
/// (`api/types/container`, `Config`) and any of whose fields may be null.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all(deserialize = "PascalCase"))]
pub struct InheritedConfig {
    /// `CMD`.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_nothing")]
    pub cmd: Vec<String>,
    /// `ENTRYPOINT`.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_nothing")]
    pub entrypoint: Vec<String>,
    /// `ENV`: name to value. See [`environment`].
    #[serde(skip_serializing_if = "is_default", deserialize_with = "variables")]
    pub env: BTreeMap<String, Option<String>>,
    /// `EXPOSE`: `80/tcp`.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "names")]
    pub exposed_ports: BTreeSet<String>,
    /// `HEALTHCHECK`.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "check")]
    pub healthcheck: Option<Healthcheck>,
    /// `LABEL`.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_nothing")]
    pub labels: BTreeMap<String, String>,
    /// `ONBUILD`, in order: these instructions run first in a child.
    #[serde(rename(deserialize = "OnBuild"))]
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_nothing")]
    pub onbuild: Vec<String>,
    /// `SHELL`.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_nothing")]
    pub shell: Vec<String>,
    /// `STOPSIGNAL`.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_nothing")]
    pub stop_signal: String,
    /// `USER`.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_nothing")]
    pub user: String,
    /// `VOLUME`.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "names")]
    pub volumes: BTreeSet<String>,
    /// `WORKDIR`.
    #[serde(rename(deserialize = "WorkingDir"))]
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_nothing")]
    pub workdir: String,
}

/// `HEALTHCHECK`; times in nanoseconds, zero where the instruction leaves the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all(deserialize = "PascalCase"))]
pub struct Healthcheck {
    /// Time between two checks.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_nothing")]
    pub interval: i64,
    /// Failures in a row that make a container unhealthy.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_nothing")]
    pub retries: i64,
    /// Time between two checks while the container starts.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_nothing")]
    pub start_interval: i64,
    /// Time that a container may take to start.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_nothing")]
    pub start_period: i64,
    /// The command, led by `CMD`, `CMD-SHELL` or `NONE`.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_nothing")]
    pub test: Vec<String>,
    /// Time that a check may take.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_nothing")]
    pub timeout: i64,
}

fn or_nothing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// Ports and volumes are maps to nothing.
fn names<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<String>, D::Error> {
    or_nothing(from).map(|map: BTreeMap<_, serde_json::Value>| map.into_keys().collect())
}

fn variables<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, Option<String>>, D::Error> {
    or_nothing(from).map(|all: Vec<String>| environment(all.iter().map(String::as_str)))
}

/// One that says nothing is none.
fn check<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Healthcheck>, D::Error> {
    or_nothing(from).map(|check: Healthcheck| (!is_default(&check)).then_some(check))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The entries of a configuration's `Env` as a map. Of two entries with one name the last counts,
/// as for moby/buildkit's `State.AddEnv`; an entry without `=` is kept apart from an empty value.
pub fn environment<'a>(
    entries: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<String, Option<String>> {
    let pairs = entries
        .into_iter()
        .map(|entry| match entry.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (entry.to_owned(), None),
        });
    pairs.collect()
}

digest_type! {
    /// Names what a base image is to a build: see the module's text.
    ///
    /// # Data format
    ///
    /// The BLAKE3 hash of `larder base identity 1`, a line feed, the chain id of the image's layers as
    /// text (OCI image specification, `config.md`, "Layer `ChainID`"; empty for an image without
    /// layers), a line feed, and the [`InheritedConfig`] as JSON: UTF-8, no white space, the fields in
    /// the alphabetical order of its declaration, empty fields left out, and in texts only `"`, `\`
    /// and control characters escaped. Written as 64 lower-case hexadecimal digits:
    ///
    /// ```text
    /// larder base identity 1
    /// sha256:6c3c62…
    /// {"cmd":["bash"],"env":{"PATH":"/usr/bin"}}
    /// ```
    BaseIdentity
}

impl BaseIdentity {
    /// The identity of an image with these layers and this configuration.
    pub fn of(chain_id: &str, config: &InheritedConfig) -> Self {
        let json = serde_json::to_string(config).expect("texts, numbers and maps of texts");
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"larder base identity 1\n");
        hasher.update(chain_id.as_bytes());
        hasher.update(b"\n");
        hasher.update(json.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CHAIN: &str = "sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b";

    fn full() -> InheritedConfig {
        InheritedConfig {
            cmd: vec!["bash".into()],
            entrypoint: vec!["/e".into(), "-x".into()],
            env: environment(["PATH=/usr/bin", "A=\"\u{1}é"]),
            exposed_ports: BTreeSet::from(["80/tcp".into()]),
            healthcheck: Some(Healthcheck {
                interval: 1,
                retries: 2,
                start_interval: 3,
                start_period: 4,
                test: vec!["NONE".into()],
                timeout: 5,
            }),
            labels: BTreeMap::from([("b".into(), "2".into()), ("a".into(), String::new())]),
            onbuild: vec!["RUN b".into(), "RUN a".into()],
            shell: vec!["/bin/bash".into()],
            stop_signal: "SIGQUIT".into(),
            user: "app".into(),
            volumes: BTreeSet::from(["/data".into()]),
            workdir: "/srv".into(),
        }
    }

    #[test]
    fn the_bytes_are_as_documented() {
        let json = serde_json::to_string(&full()).expect("serializes");
        assert_eq!(
            json,
            concat!(
                r#"{"cmd":["bash"],"entrypoint":["/e","-x"],"env":{"A":"\"\u0001é","PATH":"/usr/bin"},"#,
                r#""exposed_ports":["80/tcp"],"healthcheck":{"interval":1,"retries":2,"start_interval":3,"#,
                r#""start_period":4,"test":["NONE"],"timeout":5},"labels":{"a":"","b":"2"},"#,
                r#""onbuild":["RUN b","RUN a"],"shell":["/bin/bash"],"stop_signal":"SIGQUIT","#,
                r#""user":"app","volumes":["/data"],"workdir":"/srv"}"#,
            )
        );
        assert_eq!(
            serde_json::to_string(&InheritedConfig::default()).expect("serializes"),
            "{}"
        );
    }

    #[test]
    fn golden_identities() {
        let written = format!("larder base identity 1\n{CHAIN}\n{{}}");
        let plain = BaseIdentity::of(CHAIN, &InheritedConfig::default());
        assert_eq!(
            plain.to_string(),
            blake3::hash(written.as_bytes()).to_string()
        );
        assert_eq!(
            plain.to_string(),
            "7f233e29213036e18e5fda168eaf180f562c194dd9ecf12e61a225dc6e161685"
        );
        assert_eq!(
            BaseIdentity::of(CHAIN, &full()).to_string(),
            "86f6dfd9f295d0ad85038aaf2980864ba7b434601085cd3fe18ef60bdfbfe37e"
        );
        assert_eq!(plain.to_string().parse(), Ok(plain));
    }

    #[test]
    fn every_field_counts() {
        let whole = json!({
            "Cmd": ["bash"], "Entrypoint": ["/e", "-x"], "Env": ["PATH=/usr/bin", "A=\"\u{1}é"],
            "ExposedPorts": { "80/tcp": {} }, "Labels": { "a": "", "b": "2" },
            "Healthcheck": { "Interval": 1, "Retries": 2, "StartInterval": 3, "StartPeriod": 4,
                "Test": ["NONE"], "Timeout": 5 },
            "OnBuild": ["RUN b", "RUN a"], "Shell": ["/bin/bash"], "StopSignal": "SIGQUIT",
            "User": "app", "Volumes": { "/data": {} }, "WorkingDir": "/srv",
        });
        assert_eq!(InheritedConfig::deserialize(&whole).expect("reads"), full());
        let identity = BaseIdentity::of(CHAIN, &full());
        for field in whole.as_object().expect("an object").keys() {
            let mut less = whole.clone();
            less.as_object_mut().expect("an object").remove(field);
            let less: InheritedConfig = serde_json::from_value(less).expect("reads back");
            assert_ne!(BaseIdentity::of(CHAIN, &less), identity, "{field}");
        }
        assert_ne!(BaseIdentity::of("", &full()), identity);
    }

    #[test]
    fn the_order_of_env_does_not_count_but_its_last_value_does() {
        assert_eq!(
            environment(["A=1", "B=2", "A=3"]),
            environment(["B=2", "A=3"])
        );
        assert_ne!(environment(["A"]), environment(["A="]));
        assert_eq!(environment(["A=b=c"])["A"], Some("b=c".to_owned()));
    }
}
