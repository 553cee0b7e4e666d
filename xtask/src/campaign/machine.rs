//! A machine for a campaign's jobs: namespaces of its own for mounts, network and processes, on which everything
//! that a job leaves behind can be seen.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process;
use xtask_tools::room;

/// The state folder of its jobs, in its own folder.
pub(super) const STATE: &str = "state";

/// The first process: it reaps orphans.
const INIT: &str = "echo ready
trap 'exit 0' TERM
while :; do sleep 1000 & wait; done";

/// The kernel takes mounts and network namespaces down some time after the last process.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);

/// A machine, which ends with this value, and all its processes with it.
pub(super) struct Machine {
    init: Child,
    pid: i32,
    folder: PathBuf,
    /// How the session of its state folder is called, in paths below /run.
    session: String,
    untouched: BTreeSet<String>,
}

impl Machine {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder.join("home"))?;
        let mut init = room::first(INIT)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start unshare")?;
        let mut line = String::new();
        let out = init.stdout.take().context("it is piped")?;
        BufReader::new(out).read_line(&mut line)?;
        ensure!(line == "ready\n", "a machine needs root, and iproute2");
        let children = format!("/proc/{0}/task/{0}/children", init.id());
        let pid = fs::read_to_string(children)?;
        let mut machine = Self {
            pid: pid
                .trim()
                .parse()
                .context("the machine has no first process")?,
            init,
            folder: folder.to_owned(),
            session: session_of(&folder.join(STATE)),
            untouched: BTreeSet::new(),
        };
        machine.untouched = machine.traces()?;
        Ok(machine)
    }

    /// A port of the machine's loopback, served from here.
    pub(super) fn listen(&self) -> Result<TcpListener> {
        let namespace = File::open(format!("/proc/{}/ns/net", self.pid))?;
        // On a thread of its own, which ends in that namespace.
        let listening = thread::spawn(move || -> Result<TcpListener> {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind)?;
            Ok(TcpListener::bind("127.0.0.1:0")?)
        });
        listening.join().expect("listening does not panic")
    }

    /// A command on this machine.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = process::bare("nsenter");
        command
            .args([
                "--mount",
                "--net",
                "--pid",
                "--target",
                &self.pid.to_string(),
                "--",
            ])
            .arg(program)
            .env("HOME", self.folder.join("home"))
            .stdin(Stdio::null());
        command
    }

    /// What a job has left behind, after some time for the kernel.
    pub(super) fn left_over(&self) -> Result<Vec<String>> {
        let started = Instant::now();
        loop {
            let left: Vec<String> = self
                .traces()?
                .difference(&self.untouched)
                .cloned()
                .collect();
            if left.is_empty() || started.elapsed() > SETTLE_LIMIT {
                return Ok(left);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Processes, mounts, links, rules, files and sessions below /run, and loop devices over volumes in the folder.
    fn traces(&self) -> Result<BTreeSet<String>> {
        let look = "ps -eo args= | grep -Ev '^(ps |sh -c|grep |sleep 1000|\\[)' || true
            cut -d ' ' -f 4- /proc/self/mountinfo
            ip -brief link | cut -d ' ' -f 1
            iptables-save 2>/dev/null | grep -E '^-' || true
            find /run -not -type d -not -path '/run/runc*'
            find /run/larder -mindepth 1 2>/dev/null || true";
        let seen = process::read(self.command("sh").args(["-c", look]))?;
        let loops = process::read(Command::new("losetup").args(["--list", "--noheadings"]))?;
        let ours = loops.lines().filter(|line| line.contains(&self.session));
        Ok(seen.lines().chain(ours).map(str::to_owned).collect())
    }
}

fn session_of(state: &Path) -> String {
    let digest = blake3::hash(state.as_os_str().as_encoded_bytes());
    digest.to_hex()[..12].to_owned()
}

impl Drop for Machine {
    fn drop(&mut self) {
        // With the first process every other one ends.
        if let Some(first) = rustix::process::Pid::from_raw(self.pid) {
            let _ = rustix::process::kill_process(first, rustix::process::Signal::KILL);
        }
        let _ = self.init.wait();
    }
}
