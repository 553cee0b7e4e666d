//! Ending what a crashed owner left behind, known by its run directory alone.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use larder_local::files;
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Result, if_there};
use crate::layout::containerd_socket;
use crate::machine::process::{Identity, kill_all, others, session_of, stat_of};

const RECORDS: &str = "processes.json";

/// Who was started, as written beside the sockets. dockerd's own pid file holds a bare pid, which
/// may be a stranger's by now.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Records {
    pub containerd: Option<Identity>,
    pub dockerd: Option<Identity>,
}

impl Records {
    pub(crate) fn write(self, run_dir: &Path) -> Result<()> {
        let path = run_dir.join(RECORDS);
        let text = serde_json::to_vec(&self).expect("plain numbers have a JSON form");
        files::write_private(&path, &text).map_err(EngineError::io("cannot write", &path))
    }

    fn read(run_dir: &Path) -> Result<Self> {
        let path = run_dir.join(RECORDS);
        let text = if_there(fs::read(&path)).map_err(EngineError::io("cannot read", &path))?;
        // After a crash of the machine the record may be empty: nothing is known then, and none of
        // these processes is left.
        Ok(serde_json::from_slice(&text.unwrap_or_default()).unwrap_or_default())
    }
}

/// What was ended, and what would not end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CleanedUp {
    /// How many processes were ended.
    pub ended: usize,
    /// Those still there at the deadline: in uninterruptible sleep, as on a disk that hangs.
    pub stuck: Vec<Identity>,
}

/// Kills the daemons, the shims and the containers that belong to `run_dir`. Nothing of them is to be
/// published, so nobody is asked politely. Doing it again, or with nothing left, is fine. The
/// volume's other holders are [`end_holders`](crate::holders::end_holders)' part, the files in
/// `run_dir` the caller's.
///
/// `owner` has died: what it started, and was waiting for, is in its session still (`iptables-restore`, `mkfs`).
pub fn clean_up(run_dir: &Path, owner: Option<Identity>, deadline: Duration) -> Result<CleanedUp> {
    let records = Records::read(run_dir)?;
    let mut doomed: HashSet<i32> = [records.dockerd, records.containerd]
        .into_iter()
        .flatten()
        .filter(|process| process.is_alive())
        .map(|process| process.pid)
        .collect();
    let socket = containerd_socket(run_dir);
    doomed.extend(meant(|_, arguments| serves(arguments, &socket)));
    doomed.extend(owner.into_iter().flat_map(session_of));
    Ok(end(doomed, deadline))
}

/// Kills the processes that are meant, by number and arguments, and all that these have started.
pub fn end_meant(is_meant: impl Fn(i32, &[&[u8]]) -> bool, deadline: Duration) -> CleanedUp {
    end(meant(is_meant).collect(), deadline)
}

fn end(mut doomed: HashSet<i32>, deadline: Duration) -> CleanedUp {
    add_descendants(&mut doomed, &others());
    let doomed: Vec<Identity> = doomed.into_iter().filter_map(Identity::of).collect();
    let stuck = kill_all(&doomed, deadline);
    CleanedUp {
        ended: doomed.len() - stuck.len(),
        stuck,
    }
}

fn meant(is_meant: impl Fn(i32, &[&[u8]]) -> bool) -> impl Iterator<Item = i32> {
    others().into_iter().filter(move |pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        is_meant(*pid, &line.split(|&b| b == 0).collect::<Vec<_>>())
    })
}

/// A shim is started with `-address <containerd's socket>` (containerd `runtime/v2/shim/util.go`,
/// Command).
fn serves(arguments: &[&[u8]], socket: &Path) -> bool {
    let mut pairs = arguments.windows(2);
    pairs.any(|pair| pair[0] == b"-address" && pair[1] == socket.as_os_str().as_bytes())
}

fn add_descendants(found: &mut HashSet<i32>, all: &[i32]) {
    let parents: Vec<(i32, i32)> = all
        .iter()
        .filter_map(|&pid| Some((pid, stat_of(pid)?.parent)))
        .collect();
    loop {
        let before = found.len();
        for (pid, parent) in &parents {
            if found.contains(parent) {
                found.insert(*pid);
            }
        }
        if found.len() == before {
            return;
        }
    }
}
