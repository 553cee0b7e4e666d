//! What anybody could find of a session on a machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::room::processes;

/// The kernel takes mounts and network namespaces down some time after the last process, and a collection ends
/// half a minute after its begin.
const SETTLED_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Processes, mounts, loop devices, links, rules, sockets and other files: a line each.
#[derive(Clone, PartialEq, Eq)]
pub struct Traces(BTreeSet<String>);

impl Traces {
    /// Looks at the machine, and into the state directory of its sessions.
    pub fn look(state: &Path) -> Result<Self> {
        let mut lines = BTreeSet::new();
        lines.extend(
            processes()
                .iter()
                .map(|it| format!("process {}", it.words.join(" "))),
        );
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("mounts")?;
        lines.extend(mounts.lines().map(|line| format!("mount {line}")));
        lines.extend(
            loop_devices(state)
                .into_iter()
                .map(|line| format!("loop device {line}")),
        );
        for (what, program, arguments) in [
            ("link", "ip", &["-oneline", "link"][..]),
            ("rule", "iptables-save", &[]),
            ("rule", "ip6tables-save", &[]),
            ("file", "find", &["/run", "-not", "-type", "d"]),
            (
                "session",
                "find",
                &["/run/larder", "-mindepth", "1", "-maxdepth", "1"],
            ),
        ] {
            // Without a session there may be no /run/larder.
            let text = process::read(Command::new(program).args(arguments)).unwrap_or_default();
            let text = text.lines().filter(|line| is_telling(line));
            lines.extend(text.map(|line| format!("{what} {line}")));
        }
        let forwarding = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward")?;
        lines.insert(format!("forwarding {}", forwarding.trim()));
        lines.extend(
            files_below(state)
                .into_iter()
                .map(|file| format!("state {}", file.display())),
        );
        Ok(Self(lines))
    }

    /// Looks when all sessions and collections have ended: a session says its last word some time before, and
    /// begins a collection now and then.
    pub fn at_rest(state: &Path) -> Result<Self> {
        let began = Instant::now();
        let is_ours = |verb: &str| matches!(verb, "__serve" | "__collect");
        while processes().iter().any(|it| is_ours(it.verb())) {
            ensure!(began.elapsed() < SETTLED_LIMIT, "a session does not end");
            sleep(PAUSE);
        }
        Self::look(state)
    }

    /// What is here that was not there before, once it stays so; nothing if the machine is as before.
    pub fn left(&self, state: &Path) -> Result<Vec<String>> {
        let began = Instant::now();
        loop {
            let now = Self::look(state)?;
            if now == *self || began.elapsed() > SETTLED_LIMIT {
                let came = now.0.difference(&self.0).map(|line| format!("+ {line}"));
                let gone = self.0.difference(&now.0).map(|line| format!("- {line}"));
                return Ok(came.chain(gone).collect());
            }
            sleep(PAUSE);
        }
    }
}

/// Not a comment of iptables-save, nor a chain that is built in and lets all pass, nor a table's frame.
fn is_telling(line: &str) -> bool {
    !line.starts_with(['#', '*']) && line != "COMMIT" && !line.contains(" ACCEPT [")
}

/// Those over volumes of sessions of this state directory, whose hash names them.
fn loop_devices(state: &Path) -> Vec<String> {
    let hash = blake3::hash(state.as_os_str().as_encoded_bytes()).to_hex();
    let blocks = std::fs::read_dir("/sys/block")
        .into_iter()
        .flatten()
        .flatten();
    let files = blocks.filter_map(|entry| {
        let file = std::fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
        file.contains(&hash[..12]).then(|| file.trim().to_owned())
    });
    files.collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}
