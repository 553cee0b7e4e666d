//! Another user of the machine, or a cache that was restored: files, links and pipes where state is kept and below
//! `/run/larder`, before root comes.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::json;
use xtask_tools::random::Random;

use super::Attack;
use super::checkouts::noise;
use super::ground::{CODES, Ground, chance, one};

/// Some user who is not root.
const STRANGER: u32 = 4321;
const RUN: &str = "/run/larder";

pub(crate) fn attack(ground: &mut Ground<'_>, random: &mut Random) -> Result<Attack> {
    let state = ground.folder.join("state");
    let id = blake3::hash(state.as_os_str().as_encoded_bytes()).to_hex();
    let run = Path::new(RUN).join(&id[..12]);
    let mut parts = vec![state_folder(ground, random, &state)?];
    if chance(random, 40) {
        parts.push(below_run(ground, random, &run)?);
    }
    // An engine takes seconds to start.
    let command = if chance(random, 15) {
        let store = ground.folder.join("store");
        ground.job(&store)
    } else {
        let mut command = ground.larder(one::<&[&str]>(
            random,
            &[&["status"][..], &["down"], &["down", "--discard"]],
        ));
        command.arg("--state").arg(&state);
        command
    };
    let ran = ground.run(command)?;
    let broken = ran.faults(&CODES);
    // What was planted is nobody's to remove but ours.
    let _ = fs::remove_file(RUN);
    let _ = fs::remove_dir_all(RUN);
    Ok(Attack { parts, ran, broken })
}

/// The directory itself, or what is in it.
fn state_folder(ground: &Ground<'_>, random: &mut Random, state: &Path) -> Result<String> {
    if chance(random, 25) {
        let victim = ground.victims.directory();
        return Ok(match random.below(4) {
            0 => {
                symlink(victim, state)?;
                lchown(state, Some(STRANGER), Some(STRANGER))?;
                "a stranger's link in its place"
            }
            1 => {
                fs::create_dir(state)?;
                fs::set_permissions(state, Permissions::from_mode(0o777))?;
                fs::write(state.join("lock"), "")?;
                "everybody may write there"
            }
            2 => {
                fs::create_dir(state)?;
                lchown(state, Some(STRANGER), Some(STRANGER))?;
                "it is a stranger's"
            }
            _ => {
                fs::write(state, "")?;
                "a file in its place"
            }
        }
        .to_owned());
    }
    fs::create_dir(state)?;
    fs::set_permissions(state, Permissions::from_mode(0o700))?;
    let mut told = Vec::new();
    for _ in 0..=random.below(3) {
        let name = *one(
            random,
            &[
                "session.json",
                "lock",
                "volume",
                "beside",
                "beside/a",
                "archives",
            ],
        );
        let path = state.join(name);
        let is_there = |path: &Path| fs::symlink_metadata(path);
        let parent = path.parent().map(is_there);
        if is_there(&path).is_ok() || !parent.is_some_and(|it| it.is_ok_and(|it| it.is_dir())) {
            continue;
        }
        told.push(format!("{name}: {}", plant(ground, random, &path)?));
        // Whoever was root when it came here: what a restored cache holds is its owner's.
        lchown(&path, Some(STRANGER), Some(STRANGER))?;
    }
    Ok(told.join(", "))
}

/// Puts something at a path.
fn plant(ground: &Ground<'_>, random: &mut Random, path: &Path) -> Result<String> {
    let target = one(random, &ground.victims.paths()).clone();
    Ok(match random.below(7) {
        0 => {
            fs::write(path, noise(random))?;
            "noise".to_owned()
        }
        1 => {
            ensure!(
                Command::new("mkfifo").arg(path).status()?.success(),
                "mkfifo"
            );
            "a pipe".to_owned()
        }
        2 => {
            fs::create_dir(path)?;
            "a directory".to_owned()
        }
        3 | 4 => {
            let text = record(ground, random);
            fs::write(path, &text)?;
            text
        }
        _ => {
            symlink(&target, path)?;
            format!("a link to {}", target.display())
        }
    })
}

/// A session's record, which names who and what is to be ended and given back.
fn record(ground: &Ground<'_>, random: &mut Random) -> String {
    let bystander = ground.victims.bystander();
    let started = fs::read_to_string(format!("/proc/{bystander}/stat")).unwrap_or_default();
    let started: u64 = started
        .split(' ')
        .nth(21)
        .and_then(|it| it.parse().ok())
        .unwrap_or(0);
    let device = fs::metadata("/").map_or(0, |meta| meta.dev());
    let socket: PathBuf = ground.victims.file();
    json!({
        "shape": one(random, &["private", "takeover"]),
        "taken": null,
        "usual_socket": socket,
        "network": null,
        "device": [rustix::fs::major(device), rustix::fs::minor(device)],
        "connection": random.below(200),
        "owner": { "pid": bystander, "started_ticks": started },
        "wanted": null,
    })
    .to_string()
}

fn below_run(ground: &Ground<'_>, random: &mut Random, run: &Path) -> Result<String> {
    let victim = ground.victims.directory();
    // What sessions have left there is nobody's any more.
    let _ = fs::remove_dir_all(RUN);
    Ok(match random.below(6) {
        0 => {
            symlink(&victim, RUN)?;
            lchown(RUN, Some(STRANGER), Some(STRANGER))?;
            "/run/larder is a stranger's link"
        }
        1 => {
            fs::create_dir(RUN)?;
            lchown(RUN, Some(STRANGER), Some(STRANGER))?;
            "/run/larder is a stranger's"
        }
        2 => {
            fs::create_dir(RUN)?;
            symlink(ground.victims.file(), Path::new(RUN).join("machine.lock"))?;
            "the machine's lock is a link"
        }
        3 => {
            fs::create_dir(RUN)?;
            symlink(&victim, run)?;
            lchown(run, Some(STRANGER), Some(STRANGER))?;
            "the session's directory is a stranger's link"
        }
        4 => {
            fs::create_dir_all(run)?;
            symlink(ground.victims.file(), run.join("larder.log"))?;
            "the log is a link"
        }
        _ => {
            fs::create_dir_all(run)?;
            fs::write(run.join("control.sock"), "")?;
            "the control socket is a file"
        }
    }
    .to_owned())
}
