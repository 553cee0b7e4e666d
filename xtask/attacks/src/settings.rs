//! The machine's daemon.json, of which somebody may have changed any key, and an environment in which a template, a
//! user or a runner set anything: Larder takes over, names, or refuses, and does nothing of it by accident.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Result;
use xtask_tools::random::Random;

use super::Attack;
use super::checkouts::noise;
use super::ground::{CODES, EVIL, Ground, chance, one};

/// Keys of daemon.json that name places, programs, addresses and limits (moby `daemon/config/config.go`).
const KEYS: [&str; 34] = [
    "authorization-plugins",
    "bip",
    "bridge",
    "cgroup-parent",
    "containerd",
    "data-root",
    "debug",
    "default-address-pools",
    "default-runtime",
    "default-shm-size",
    "default-ulimits",
    "dns",
    "exec-opts",
    "exec-root",
    "features",
    "firewall-backend",
    "fixed-cidr",
    "group",
    "hosts",
    "init-path",
    "insecure-registries",
    "ip",
    "iptables",
    "ipv6",
    "live-restore",
    "log-driver",
    "mtu",
    "no-new-privileges",
    "pidfile",
    "registry-mirrors",
    "runtimes",
    "seccomp-profile",
    "storage-driver",
    "userns-remap",
];
/// What a job's environment may hold.
const VARIABLES: [&str; 30] = [
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKER_API_VERSION",
    "DOCKER_CONFIG",
    "DOCKER_BUILDKIT",
    "DOCKER_DEFAULT_PLATFORM",
    "BUILDX_BUILDER",
    "BUILDKIT_PROGRESS",
    "COMPOSE_FILE",
    "SOURCE_DATE_EPOCH",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "CI",
    "GITHUB_ACTIONS",
    "GITHUB_EVENT_PATH",
    "GITHUB_EVENT_NAME",
    "GITHUB_REF",
    "GITLAB_CI",
    "CI_COMMIT_BRANCH",
    "LARDER_SIZE",
    "LARDER_KEEP",
    "LARDER_ENGINE",
    "LARDER_LEG",
    "LARDER_FRESH",
    "TMPDIR",
    "RUST_LOG",
];

/// Below the one the docker of the job itself writes, and the other it repeats in its own words.
const OF_DOCKER: [&str; 2] = ["DOCKER_CONFIG", "SOURCE_DATE_EPOCH"];

const VERBS: [&[&str]; 4] = [
    &["doctor"],
    &["doctor", "--json"],
    &["status"],
    &["plan", "--offline"],
];

pub(crate) fn attack(ground: &mut Ground<'_>, random: &mut Random) -> Result<Attack> {
    let mut parts = Vec::new();
    if chance(random, 70) {
        parts.push(daemon_json(ground, random)?);
    }
    // An engine takes seconds to start.
    let starts = chance(random, 20);
    let mut command = if starts {
        let store = ground.folder.join("store");
        ground.job(&store)
    } else {
        ground.larder(one::<&[&str]>(random, &VERBS))
    };
    for _ in 0..random.below(5) {
        let name = *one(random, &VARIABLES);
        if starts && OF_DOCKER.contains(&name) {
            continue;
        }
        let value = match random.below(4) {
            0 => one(random, &ground.victims.paths()).display().to_string(),
            1 => "1".to_owned(),
            2 => "a".repeat(100_000),
            _ => (*one(random, &EVIL)).to_owned(),
        };
        parts.push(format!("{name}={:?}", &value[..value.len().min(60)]));
        command.env(name, value);
    }
    let ran = ground.run(command)?;
    // A container may not start under limits that are nonsense: then the code is docker's.
    let codes: &[i32] = if starts {
        &[0, 1, 2, 3, 125, 126, 127]
    } else {
        &CODES
    };
    let broken = ran.faults(codes);
    Ok(Attack { parts, ran, broken })
}

fn daemon_json(ground: &Ground<'_>, random: &mut Random) -> Result<String> {
    let path = Path::new("/etc/docker/daemon.json");
    match random.below(10) {
        0 => {
            symlink(ground.victims.secret(), path)?;
            return Ok("daemon.json is a link to a secret".to_owned());
        }
        1 => {
            fs::write(path, noise(random))?;
            return Ok("daemon.json is noise".to_owned());
        }
        _ => {}
    }
    let mut fields = Vec::new();
    for _ in 0..=random.below(4) {
        let key = one(random, &KEYS);
        fields.push(format!("{key:?}: {}", value(ground, random)));
    }
    let text = format!("{{{}}}", fields.join(", "));
    fs::write(path, &text)?;
    Ok(text)
}

fn value(ground: &Ground<'_>, random: &mut Random) -> String {
    let target = one(random, &ground.victims.paths()).display().to_string();
    let evil = one(random, &EVIL);
    match random.below(9) {
        0 => "null".to_owned(),
        1 => "true".to_owned(),
        2 => "-1".to_owned(),
        3 => serde_json::Value::from(target).to_string(),
        4 => serde_json::json!([target]).to_string(),
        5 => serde_json::json!({ "x": { "path": target } }).to_string(),
        6 => serde_json::json!([*evil, 1, null]).to_string(),
        7 => "1e400".to_owned(),
        _ => serde_json::Value::from(*evil).to_string(),
    }
}
