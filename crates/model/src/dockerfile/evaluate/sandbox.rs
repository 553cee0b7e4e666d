//! What `RUN` instructions run in beside their image: the options of a build that are part of a step as
//! much as its command is.
//!
//! `BuildKit` runs a step again if one of these is another (its `solver/llbsolver/ops/exec.go`,
//! `CacheMap`, takes in the whole `ExecOp` but for the addresses of extra hosts and for proxies). Not
//! among them are labels, which are the image's alone; secrets, agents' sockets and entitlements, which
//! a step names itself, and whose values no step depends on; and which steps are to be run anyway.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The build argument by which `BuildKit` is told a name for the machine of each step.
const HOSTNAME: &str = "BUILDKIT_SANDBOX_HOSTNAME";
/// The one that tells cache mounts of one id apart.
const CACHE_NAMESPACE: &str = "BUILDKIT_CACHE_MOUNT_NS";

/// Options of a build that its steps depend on. Nothing is said where the usual is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sandbox {
    /// `--network`: `none` or `host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The names of `--add-host`, in order; a step does not depend on their addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// `--ulimit`, by name: `soft:hard`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, String>,
    /// `--shm-size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_bytes: Option<u64>,
    /// `--cgroup-parent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_parent: Option<String>,
    /// `BUILDKIT_SANDBOX_HOSTNAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `BUILDKIT_CACHE_MOUNT_NS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_namespace: Option<String>,
}

impl Sandbox {
    /// Whether nothing is out of the usual.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// What is out of the usual, by the option or build argument that says so.
    pub(crate) fn options(&self) -> BTreeMap<&'static str, String> {
        let listed = |list: Vec<String>| (!list.is_empty()).then(|| list.join(" "));
        let ulimits = self.ulimits.iter();
        let ulimits = ulimits.map(|(name, limits)| format!("{name}={limits}"));
        let all = [
            ("--network", self.network.clone()),
            ("--add-host", listed(self.hosts.clone())),
            ("--ulimit", listed(ulimits.collect())),
            ("--shm-size", self.shm_bytes.map(|bytes| bytes.to_string())),
            ("--cgroup-parent", self.cgroup_parent.clone()),
            (HOSTNAME, self.hostname.clone()),
            (CACHE_NAMESPACE, self.cache_namespace.clone()),
        ];
        let said = all.into_iter();
        said.filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// All of it, with what the build arguments say: of a front end that nothing is known of.
    pub(crate) fn of_any_front_end(&self, build_args: &BTreeMap<String, String>) -> Self {
        let given = |name: &str| {
            build_args
                .get(name)
                .filter(|value| !value.is_empty())
                .cloned()
        };
        Self {
            hostname: given(HOSTNAME),
            cache_namespace: given(CACHE_NAMESPACE),
            ..self.clone()
        }
    }

    /// What the reached steps of a Dockerfile depend on: nothing if none of them runs a command.
    pub(super) fn of_steps(
        &self,
        build_args: &BTreeMap<String, String>,
        runs: bool,
        mounts_caches: bool,
    ) -> Self {
        if !runs {
            return Self::default();
        }
        let mut sandbox = self.of_any_front_end(build_args);
        sandbox.cache_namespace = sandbox.cache_namespace.filter(|_| mounts_caches);
        sandbox
    }
}
