//! The author of a commit: files and links in a checkout, in which root plans, asks for a key, or explains.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Result;
use xtask_tools::random::Random;

use super::Attack;
use super::ground::{CODES, EVIL, Ground, chance, one};

const NAMES: [&str; 9] = [
    "Dockerfile",
    "dockerfile",
    "compose.yaml",
    "compose.override.yaml",
    "docker-bake.hcl",
    "docker-bake.json",
    ".env",
    ".dockerignore",
    "larder.toml",
];
/// Keys of larder.toml that say where root reads and writes, and others.
const KEYS: [&str; 16] = [
    "store",
    "state",
    "project",
    "scope",
    "fallback",
    "trust",
    "sign-key",
    "keep-volumes",
    "insecure-registries",
    "registry-mirrors",
    "job",
    "size",
    "plan",
    "engine",
    "fresh",
    "no-such-key",
];
const VERBS: [&[&str]; 9] = [
    &["plan", "--offline"],
    &["plan", "--offline", "--json"],
    &["explain", "--offline"],
    &["key", "--offline", "--allow-unresolved"],
    &["key", "--offline", "--allow-unresolved", "--ladder"],
    &["key", "--offline", "--allow-unresolved", "--write", "out"],
    &["init", "--print"],
    &["ls"],
    &["status"],
];

pub(crate) fn attack(ground: &mut Ground<'_>, random: &mut Random) -> Result<Attack> {
    let checkout = ground.folder.join("checkout");
    fs::create_dir_all(checkout.join(".git/refs/heads"))?;
    fs::write(checkout.join(".git/HEAD"), "ref: refs/heads/main\n")?;
    fs::write(checkout.join("Dockerfile"), "FROM base:1\nRUN true\n")?;
    let mut parts = Vec::new();
    for _ in 0..=random.below(3) {
        parts.push(bring(ground, random, &checkout)?);
    }
    let mut words: Vec<&str> = one::<&[&str]>(random, &VERBS).to_vec();
    if chance(random, 30) {
        words.extend(["-f", *one(random, &NAMES)]);
        words.retain(|word| !["init", "--print", "ls", "status"].contains(word));
        if words.len() == 2 {
            words.splice(..0, ["plan", "--offline"]);
        }
    }
    let mut command = ground.larder(&words);
    command.current_dir(&checkout);
    let ran = ground.run(command)?;
    let broken = ran.faults(&CODES);
    Ok(Attack { parts, ran, broken })
}

/// Brings one thing; what it is.
fn bring(ground: &Ground<'_>, random: &mut Random, checkout: &Path) -> Result<String> {
    let name = *one(random, &NAMES);
    let path = checkout.join(name);
    // A later thing stands in the place of an earlier one.
    let _ = fs::remove_file(&path);
    let target = one(random, &ground.victims.paths()).clone();
    let what = match random.below(9) {
        0 => {
            symlink(&target, &path)?;
            "a link out"
        }
        1 => {
            let status = std::process::Command::new("mkfifo").arg(&path).status()?;
            anyhow::ensure!(status.success(), "mkfifo");
            "a pipe"
        }
        2 => {
            let file = fs::File::create(&path)?;
            file.set_len(1 << 40)?;
            "a terabyte of zeros"
        }
        3 => {
            fs::write(&path, noise(random))?;
            "noise"
        }
        4 => {
            let out = checkout.join("out");
            let _ = fs::remove_file(&out);
            symlink(&target, out)?;
            "a link in the way of what is written"
        }
        5 => {
            let text = toml(random, &target);
            let path = checkout.join("larder.toml");
            let _ = fs::remove_file(&path);
            fs::write(path, &text)?;
            return Ok(format!("larder.toml: {text}"));
        }
        6 => {
            symlink(name, &path)?;
            "a link to itself"
        }
        _ => {
            let text = told(random, name, &target);
            fs::write(&path, &text)?;
            return Ok(format!("{name}: {text:?}"));
        }
    };
    Ok(format!("{name} is {what}"))
}

fn toml(random: &mut Random, target: &Path) -> String {
    let mut text = String::new();
    for _ in 0..=random.below(4) {
        let key = one(random, &KEYS);
        let value = match random.below(5) {
            0 => format!("{:?}", target.display().to_string()),
            1 => "\"st\"".to_owned(),
            2 => format!("[{:?}]", target.display().to_string()),
            3 => "true".to_owned(),
            _ => format!("{:?}", one(random, &EVIL)),
        };
        if !text.contains(&format!("{key} =")) {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    text
}

/// A file of this name that names what it should not.
fn told(random: &mut Random, name: &str, target: &Path) -> String {
    let (evil, target) = (*one(random, &EVIL), target.display());
    match name {
        "Dockerfile" | "dockerfile" => match random.below(5) {
            0 => format!("FROM {evil}\n"),
            1 => format!("FROM base AS {evil}\nRUN {evil}\n"),
            2 => format!("# syntax={evil}\nFROM base\n"),
            3 => format!("FROM base\nCOPY --from={evil} {target} /\n{evil}\n"),
            _ => format!("ARG {}\nFROM ${{X:-{evil}}}\n", "A=1 ".repeat(5000)),
        },
        "compose.yaml" | "compose.override.yaml" => match random.below(4) {
            0 => format!("include: [{target}]\nservices: {{ a: {{ build: . }} }}\n"),
            1 => format!("services: {{ a: {{ build: ., env_file: {target} }} }}\n"),
            2 => format!(
                "services:\n  a:\n    build:\n      context: .\n      dockerfile: {target}\n"
            ),
            _ => format!("services: {{ {evil:?}: {{ build: {{ context: {evil:?} }} }} }}\n"),
        },
        "docker-bake.hcl" => match random.below(3) {
            0 => format!(
                "target \"default\" {{ dockerfile = {:?} }}\n",
                target.to_string()
            ),
            1 => format!("target {evil:?} {{}}\n"),
            _ => format!("target \"default\" {{ args = {{ A = {evil:?} }} }}\n"),
        },
        "docker-bake.json" => format!("{{\"target\":{{\"default\":{{\"context\":{evil:?}}}}}}}"),
        ".env" => format!("DOCKER_DEFAULT_PLATFORM={evil}\nCOMPOSE_FILE={target}\n"),
        _ => format!("{evil}\n{target}\n"),
    }
}

/// Bytes that are no text, or text that never ends.
pub(crate) fn noise(random: &mut Random) -> Vec<u8> {
    let length = 1 + random.below(4096);
    match random.below(4) {
        0 => b"[".repeat(100_000),
        1 => b"{\"a\":".repeat(20_000),
        2 => b"a: &a [*a,*a]\n".repeat(500),
        _ => (0..length).map(|_| random.below(256) as u8).collect(),
    }
}
