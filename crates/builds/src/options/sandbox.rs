//! The options of a build that its commands run with, as they are typed and as both tools write them.

use std::collections::BTreeMap;

use larder_model::dockerfile::Sandbox;
use larder_model::go;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::fault::Fault;
use crate::request::RunOptions;

/// As a tool says them: compose-go `types/types.go`, `BuildConfig`; buildx `bake/bake.go`, `Target`. What
/// is not of their form says nothing; refusing it is the tool's part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Said {
    #[serde(deserialize_with = "text")]
    network: Option<String>,
    #[serde(alias = "extra-hosts", deserialize_with = "hosts")]
    extra_hosts: Vec<String>,
    #[serde(deserialize_with = "ulimits")]
    ulimits: BTreeMap<String, String>,
    #[serde(alias = "shm-size", deserialize_with = "bytes")]
    shm_size: Option<u64>,
    #[serde(alias = "cgroup-parent", deserialize_with = "text")]
    cgroup_parent: Option<String>,
}

impl Said {
    pub(crate) fn typed(options: &RunOptions) -> Result<Self, Fault> {
        let mut said = Self {
            network: options.network.clone(),
            cgroup_parent: options.cgroup_parent.clone(),
            ..Self::default()
        };
        for text in &options.add_hosts {
            let name = host(text)
                .ok_or_else(|| Fault::option(format!("--add-host {text:?}: write NAME:ADDRESS")))?;
            said.extra_hosts.push(name);
        }
        for text in &options.ulimits {
            let (name, limits) = ulimit(text).ok_or_else(|| {
                Fault::option(format!(
                    "--ulimit {text:?}: write NAME=SOFT:HARD, such as nofile=1024"
                ))
            })?;
            said.ulimits.insert(name, limits);
        }
        if let Some(text) = &options.shm_size {
            let bytes = go::ram_bytes(text).ok_or_else(|| {
                Fault::option(format!("--shm-size {text:?}: write a size such as 64m"))
            })?;
            said.shm_size = Some(bytes);
        }
        Ok(said)
    }

    /// These on top of what a file says.
    pub(crate) fn over(&self, said: &Self) -> Sandbox {
        let networks = [self.network.as_ref(), said.network.as_ref()];
        let network = networks.into_iter().find_map(given);
        let parents = [self.cgroup_parent.as_ref(), said.cgroup_parent.as_ref()];
        let cgroup_parent = parents.into_iter().find_map(given);
        let mut hosts = [&self.extra_hosts, &said.extra_hosts].into_iter();
        let mut ulimits = [&self.ulimits, &said.ulimits].into_iter();
        Sandbox {
            // The usual one by its name (buildx `build/opt.go`, `toSolveOpt`).
            network: network.filter(|network| network != "default"),
            hosts: hosts
                .find(|list| !list.is_empty())
                .cloned()
                .unwrap_or_default(),
            ulimits: ulimits
                .find(|list| !list.is_empty())
                .cloned()
                .unwrap_or_default(),
            shm_bytes: self.shm_size.or(said.shm_size).filter(|bytes| *bytes > 0),
            cgroup_parent,
            ..Sandbox::default()
        }
    }
}

/// A text that says something.
fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

/// The name of a host whose address is given (buildx `build/utils.go`, `toBuildkitExtraHosts`); `BuildKit`
/// makes its letters small.
fn host(text: &str) -> Option<String> {
    let (name, address) = text.split_once('=').or_else(|| text.split_once(':'))?;
    (!name.is_empty() && !address.is_empty()).then(|| name.to_lowercase())
}

/// `NAME=SOFT[:HARD]` (go-units `ulimit.go`, `ParseUlimit`).
fn ulimit(text: &str) -> Option<(String, String)> {
    let (name, limits) = text.split_once('=')?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let numbers = soft.parse::<i64>().ok().zip(hard.parse::<i64>().ok());
    let (soft, hard) = numbers.filter(|_| !name.is_empty())?;
    Some((name.to_owned(), format!("{soft}:{hard}")))
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) => Some(text),
        _ => None,
    })
}

/// A list of `NAME=ADDRESS`, or a map.
fn hosts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Array(list) => {
            let texts = list.iter().filter_map(Value::as_str);
            texts.filter_map(host).collect()
        }
        Value::Object(map) => map.keys().map(|name| name.to_lowercase()).collect(),
        _ => Vec::new(),
    })
}

/// A list of `NAME=SOFT:HARD`, or a map of numbers or of `soft` and `hard`.
fn ulimits<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Array(list) => {
            let texts = list.iter().filter_map(Value::as_str);
            texts.filter_map(ulimit).collect()
        }
        Value::Object(map) => {
            let limits = map.into_iter().map(|(name, limits)| {
                // compose leaves a zero out.
                let [soft, hard] = ["soft", "hard"].map(|which| match &limits {
                    Value::Object(both) => both.get(which).map_or("0".to_owned(), plain),
                    one => plain(one),
                });
                let both = format!("{soft}:{hard}");
                (name, both)
            });
            limits.collect()
        }
        _ => BTreeMap::new(),
    })
}

/// A number, or a text such as `64m`.
fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(go::ram_bytes(&plain(&Value::deserialize(from)?)))
}

/// A number or text without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_tool(text: &str) -> Sandbox {
        let said: Said = serde_json::from_str(text).expect("a tool's JSON");
        Said::default().over(&said)
    }

    #[test]
    fn both_tools_and_people_say_the_same() {
        let typed = RunOptions {
            network: Some("host".to_owned()),
            add_hosts: vec!["Proxy:10.0.0.1".to_owned(), "v6=::1".to_owned()],
            ulimits: vec!["nofile=1024".to_owned(), "core=0:-1".to_owned()],
            shm_size: Some("1g".to_owned()),
            cgroup_parent: Some("ci".to_owned()),
        };
        let typed = Said::typed(&typed).expect("options");
        let typed = typed.over(&Said::default());
        assert_eq!(typed.hosts, ["proxy", "v6"]);
        assert_eq!(typed.ulimits["nofile"], "1024:1024");
        assert_eq!(typed.shm_bytes, Some(1 << 30));
        let bake = r#"{"network":"host","shm-size":"1g","cgroup-parent":"ci",
            "ulimits":["nofile=1024:1024","core=0:-1"],"extra-hosts":{"proxy":"10.0.0.2","v6":"::1"}}"#;
        assert_eq!(of_tool(bake), typed);
        let compose = r#"{"network":"host","shm_size":"1073741824","cgroup_parent":"ci",
            "ulimits":{"nofile":1024,"core":{"soft":0,"hard":-1}},
            "extra_hosts":["proxy=10.0.0.3","v6=::1"]}"#;
        assert_eq!(of_tool(compose), typed);
    }

    #[test]
    fn the_usual_says_nothing() {
        for text in [
            "{}",
            r#"{"network":"default","shm_size":0,"ulimits":null,"extra_hosts":[]}"#,
            r#"{"network":"","shm-size":"","ulimits":[],"extra-hosts":null}"#,
        ] {
            assert!(of_tool(text).is_usual(), "{text}");
        }
    }

    #[test]
    fn what_is_mistyped_is_named() {
        for (options, name) in [
            (
                RunOptions {
                    add_hosts: vec!["a".into()],
                    ..RunOptions::default()
                },
                "--add-host",
            ),
            (
                RunOptions {
                    ulimits: vec!["nofile".into()],
                    ..RunOptions::default()
                },
                "--ulimit",
            ),
            (
                RunOptions {
                    shm_size: Some("x".into()),
                    ..RunOptions::default()
                },
                "--shm-size",
            ),
        ] {
            let fault = Said::typed(&options).expect_err(name);
            assert!(fault.message.starts_with(name), "{fault}");
        }
    }
}
