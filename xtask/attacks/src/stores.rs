//! Whoever can write to a store: objects are exchanged, cut, enlarged, forged under names that are right, replaced by
//! links and pipes, or come by the thousand. A job works all the same, and whoever lists or verifies is told.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use xtask_tools::random::Random;

use super::Attack;
use super::checkouts::noise;
use super::ground::{CODES, EVIL, Ground, WORD, chance, one};

/// What was enlarged is left as it is.
const MUCH_BYTES: u64 = 1 << 30;
/// Documents that come by the thousand.
const FLOOD: u64 = 2_000;

pub(crate) fn attack(ground: &mut Ground<'_>, random: &mut Random) -> Result<Attack> {
    let store = ground.store()?;
    let mut parts = Vec::new();
    for _ in 0..=random.below(3) {
        parts.push(harm(ground, random, &store)?);
    }
    let is_job = chance(random, 40);
    let command = if is_job {
        ground.job(&store)
    } else {
        let verbs: [&[&str]; 6] = [
            &["ls", "--all"],
            &["ls", "--all", "--json"],
            &["ls", "--archives", "--all"],
            &["verify"],
            &["gc", "--dry-run"],
            &["promote", "--dry-run", "pull/7"],
        ];
        let mut command = ground.larder(one::<&[&str]>(random, &verbs));
        command.arg(format!("--store=file://{}", store.display()));
        command.args(["--project", "shop"]);
        command
    };
    let ran = ground.run(command)?;
    let mut broken = ran.faults(if is_job { &[0] } else { &CODES });
    if is_job && !ran.said.lines().any(|line| line == WORD) {
        broken.push("the job did not say its word".to_owned());
    }
    Ok(Attack { parts, ran, broken })
}

/// The store's objects.
fn objects(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let meta = fs::symlink_metadata(&path)?;
        if meta.is_dir() {
            found.extend(objects(&path)?);
        } else if meta.is_file() && meta.len() < MUCH_BYTES {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Does one thing to the store; what it was.
fn harm(ground: &Ground<'_>, random: &mut Random, store: &Path) -> Result<String> {
    let all = objects(&store.join("v1"))?;
    let documents: Vec<PathBuf> = all
        .iter()
        .filter(|path| path.to_string_lossy().contains("/snapshots/"))
        .cloned()
        .collect();
    if chance(random, 40)
        && let Some(document) = random.one_of(&documents)
    {
        return forge(random, document);
    }
    let Some(object) = random.one_of(&all) else {
        return Ok("nothing is left".to_owned());
    };
    let name = object.strip_prefix(store)?.display().to_string();
    let what = match random.below(2) {
        0 => spoil(random, &all, object)?,
        _ => replace(ground, random, object)?,
    };
    Ok(format!("{name} {what}"))
}

/// Gives an object other bytes.
fn spoil(random: &mut Random, all: &[PathBuf], object: &Path) -> Result<String> {
    let mut bytes = fs::read(object)?;
    Ok(match random.below(5) {
        0 => {
            fs::write(object, &bytes[..bytes.len() / 2])?;
            "is cut".to_owned()
        }
        1 => {
            let file = File::options().write(true).open(object)?;
            file.set_len(1 << 40)?;
            "has a terabyte".to_owned()
        }
        2 => {
            fs::write(object, noise(random))?;
            "is noise".to_owned()
        }
        3 => {
            let other = random.one_of(all).context("there is one")?;
            fs::write(object, fs::read(other)?)?;
            format!("is another: {}", other.display())
        }
        _ => {
            let at = random.below(bytes.len().max(1) as u64) as usize;
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
            fs::write(object, bytes)?;
            "has another bit".to_owned()
        }
    })
}

/// Puts something else in an object's place.
fn replace(ground: &Ground<'_>, random: &mut Random, object: &Path) -> Result<String> {
    fs::remove_file(object)?;
    Ok(match random.below(5) {
        0 => "is gone",
        1 => {
            symlink(one(random, &ground.victims.paths()), object)?;
            "is a link out"
        }
        2 => {
            let made = Command::new("mkfifo").arg(object).status()?;
            ensure!(made.success(), "mkfifo");
            "is a pipe"
        }
        3 => {
            symlink("/dev/zero", object)?;
            "never ends"
        }
        _ => {
            fs::create_dir(object)?;
            "is a directory"
        }
    }
    .to_owned())
}

/// A document that says something else, under a name that is right: whoever writes one can name any bytes.
fn forge(random: &mut Random, document: &Path) -> Result<String> {
    let folder = document.parent().context("a document is in a folder")?;
    let mut value: Value = serde_json::from_slice(&fs::read(document)?).unwrap_or_default();
    let made = value["created_ms"].as_u64().unwrap_or(1_790_000_000_000);
    let evil = *one(random, &EVIL);
    let digest = blake3::hash(evil.as_bytes()).to_hex().to_string();
    let (mut at, mut what) = (made + 1 + random.below(1000), String::new());
    match random.below(9) {
        0 => {
            value["volume_bytes"] = json!(one(random, &[0_u64, 1, 1 << 63, u64::MAX, 1 << 40]));
            what = format!("its volume has {}", value["volume_bytes"]);
        }
        1 => {
            value["map"] = json!(digest);
            "its map is nowhere".clone_into(&mut what);
        }
        2 => {
            value["hot"] = json!(digest);
            "its hot list is nowhere".clone_into(&mut what);
        }
        3 => {
            value["engine"]["version"] = json!(evil);
            what = format!("its engine is {evil:?}");
        }
        4 => {
            value["lineage"]["job"] = json!(evil);
            value["lineage"]["scope"] = json!(evil);
            what = format!("it is of {evil:?}");
        }
        5 => {
            at = made + 1000 * 86_400_000;
            "it is years ahead".clone_into(&mut what);
        }
        6 => {
            value["parent"] = json!(digest);
            value["plan"] = json!({ "a": evil.repeat(20_000) });
            "its plan is long".clone_into(&mut what);
        }
        7 => {
            value["format"] = json!(random.below(1 << 40));
            "its format is another".clone_into(&mut what);
        }
        _ => {
            for number in 0..FLOOD {
                let text = format!("{{\"number\":{number}}}");
                write_document(folder, made + 1 + number, text.as_bytes())?;
            }
            return Ok(format!(
                "{FLOOD} documents come after {}",
                document.display()
            ));
        }
    }
    value["created_ms"] = json!(at);
    write_document(folder, at, value.to_string().as_bytes())?;
    Ok(format!("a document that is newer: {what}"))
}

/// Under the name that its bytes and this time give it.
fn write_document(folder: &Path, created_ms: u64, bytes: &[u8]) -> Result<()> {
    let id = blake3::hash(bytes).to_hex();
    let name = format!("{:016x}-{id}.json", u64::MAX - created_ms);
    fs::write(folder.join(name), bytes)?;
    Ok(())
}
