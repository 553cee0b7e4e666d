//! A machine: namespaces of its own, a state folder, and nothing of it left when it is dropped.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::text;

/// How long anything may take that a test waits for. It says that something hangs, and nothing of how
/// fast it should be: machines of CI are slow at times.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// The machine's own address: a registry or a store listens on it, and engines reach it in both shapes.
pub(crate) const ADDRESS: &str = "203.0.113.1";

/// The first process of a machine: it adopts and reaps orphans, as an init does. Packet forwarding
/// is off, as on a machine that is no router. What other engines have mounted is let go of: they
/// could not unmount it before this machine ends.
const INIT: &str = "set -e
awk '$5 != \"/\" && (/ - overlay / || / - nsfs / || / - [^ ]+ \\/dev\\/loop/) { print $5 }' \\
    /proc/self/mountinfo | sort -r | xargs -r -n 1 umount -l || true
[ -z \"$2\" ] || mount -t overlay engine -o lowerdir=\"$2/usr\":/usr /usr
mount -t tmpfs run /run
mount -t tmpfs shm /dev/shm
mkdir -p /etc/docker
mount --bind \"$1\" /etc/docker
ip link set lo up
ip link add world type bridge
ip addr add 203.0.113.1/24 dev world
ip link set world up
ip route add default via 203.0.113.2
echo 0 > /proc/sys/net/ipv4/ip_forward
trap 'exit 0' TERM
echo ready
while :; do sleep 1000 & wait; done";

/// Docker 28, which `cargo xtask engine` has unpacked, if it could.
pub(crate) fn newer_engine() -> Option<PathBuf> {
    let told = std::env::var_os("LARDER_TEST_NEWER_ENGINE").map(PathBuf::from);
    let folder = told.or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cache/larder-dev/docker-28"))
    });
    folder.filter(|folder| folder.exists())
}

/// How the command line of [`INIT`]'s sleep begins.
const SLEEP: &str = "sleep 1000";

/// A machine with an empty state folder. Dropping it ends all its processes, and with them go its
/// mounts, its loop devices and its network.
pub(crate) struct Machine {
    init: Child,
    /// Its first process, seen from here.
    pid: i32,
    pub folder: TempDir,
    untouched: String,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::with_engine(std::env::var_os("LARDER_TEST_ENGINE").unwrap_or_default())
    }

    /// The same with the engine of a folder, whose `usr` is laid over the machine's; without a name it has
    /// the machine's own.
    pub(crate) fn with_engine(engine: OsString) -> Self {
        // Short: sockets live in it.
        let folder = tempfile::Builder::new().prefix("lm").tempdir_in("/tmp");
        let folder = folder.expect("a folder");
        let etc = folder.path().join("etc");
        for name in ["etc", "home"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        // A link of its own, which a build during the tests does not replace. Others may run it.
        let (built, own) = (env!("CARGO_BIN_EXE_larder"), folder.path().join("larder"));
        if fs::hard_link(built, &own).is_err() {
            // By another process: what this one has open for writing, its other children cannot start.
            let copied = Command::new("cp").arg(built).arg(&own).status();
            assert!(copied.expect("cp starts").success());
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).expect("set");
        let registry = format!("{{\"insecure-registries\": [\"{ADDRESS}:5000\"]}}");
        fs::write(etc.join("daemon.json"), registry).expect("written");
        let mut init = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child"])
            .args([
                "--mount-proc",
                "--propagation",
                "private",
                "sh",
                "-c",
                INIT,
                "init",
            ])
            .arg(&etc)
            .arg(engine)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let mut out = std::io::BufReader::new(init.stdout.take().expect("piped"));
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).expect("read");
        assert_eq!(line, "ready\n", "a machine needs root, and iproute2");
        let pid = *children(init.id().cast_signed())
            .first()
            .expect("the first process");
        let mut machine = Self {
            init,
            pid,
            folder,
            untouched: String::new(),
        };
        // Until the first process's sleep has begun there is none, or a second first process.
        let started = Instant::now();
        while !machine.rests() {
            assert!(started.elapsed() < LIMIT, "it never rests");
            std::thread::yield_now();
        }
        machine.untouched = machine.traces();
        machine
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// A command on this machine, in `/`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--mount",
            "--net",
            "--pid",
            "--target",
            &self.pid.to_string(),
            "--",
        ]);
        command.arg(program).env_clear().stdin(Stdio::null());
        let path = std::env::var_os("PATH").expect("a path");
        let home = self.path("home");
        command.env("PATH", path).env("HOME", home);
        // Nothing goes on after a command.
        command.env("LARDER_GC", "off");
        command
    }

    /// Larder on this machine, with its state folder.
    pub(crate) fn larder(&self, verb: &str) -> Command {
        self.larder_at(verb, &self.state())
    }

    /// Larder on this machine, with another state folder.
    pub(crate) fn larder_at(&self, verb: &str, state: &Path) -> Command {
        let mut command = self.command(&self.path("larder").display().to_string());
        command.arg(verb).arg("--state").arg(state);
        command
    }

    /// `larder run` or `larder up` with a store, for the project `shop`.
    pub(crate) fn larder_on(&self, verb: &str, store: &str, shape: &str) -> Command {
        let mut command = self.larder(verb);
        command.args(["--store", store, "--project", "shop", "--engine", shape]);
        command
    }

    /// Runs a shell line inside `larder run`, whose report goes to a file: what it said, and the
    /// report.
    pub(crate) fn job(&self, store: &str, options: &[&str], line: &str) -> Job {
        let report = self.path("report.json");
        // The one of an earlier job.
        let _ = fs::remove_file(&report);
        let mut command = self.larder_on("run", store, "private");
        command.args(options).arg("--json").arg(&report);
        let output = command.args(["--", "sh", "-c", line]).output();
        Job::of(output.expect("larder starts"), &report)
    }

    /// A plain command that must succeed; its standard output.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output();
        let output = output.expect("it starts");
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            text(&output)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Where the machine's own view of a process is.
    pub(crate) fn proc(&self, pid: i32) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/proc/{pid}", self.pid))
    }

    /// A process's command line, words by spaces.
    fn line_of(&self, pid: i32) -> String {
        let line = fs::read(self.proc(pid).join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ")
    }

    /// The first process's children: its sleep, and the orphans that it adopted.
    fn adopted(&self) -> Vec<i32> {
        let children = self.proc(1).join("task/1/children");
        numbers(&fs::read_to_string(children).expect("it runs"))
    }

    /// Whether the first process's sleep is all that runs.
    fn rests(&self) -> bool {
        let children = self.adopted();
        let sleeps = |pid: &i32| self.line_of(*pid).starts_with(SLEEP);
        children.iter().any(sleeps) && self.processes().is_empty()
    }

    /// The machine's processes as it numbers them, containers' too, less the first one and its sleep.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let idle = self.adopted();
        let all = fs::read_dir(format!("/proc/{}/root/proc", self.pid)).expect("listed");
        let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let mut found = Vec::new();
        for pid in pids.filter(|pid| *pid != 1) {
            let line = self.line_of(pid);
            // What has ended and was not yet reaped has no command line.
            if !line.is_empty() && !(idle.contains(&pid) && line.starts_with(SLEEP)) {
                found.push((pid, line));
            }
        }
        found
    }

    /// The process whose command line holds `part`.
    pub(crate) fn find(&self, part: &str) -> Option<i32> {
        let all = self.processes();
        let found = all.iter().find(|(_, line)| line.contains(part));
        found.map(|(pid, _)| *pid)
    }

    /// The session's background process.
    pub(crate) fn background(&self) -> i32 {
        self.find(" __serve").expect("a session runs")
    }

    /// Whether one of a process's threads is in uninterruptible sleep, as while it mounts (proc(5)).
    pub(crate) fn waits_for_disk(&self, pid: i32) -> bool {
        let tasks = fs::read_dir(self.proc(pid).join("task"));
        let tasks = tasks.into_iter().flatten().flatten();
        let mut stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
        let devices = self.loop_devices();
        !devices.is_empty() && stats.any(|stat| stat.contains(") D "))
    }

    /// What anybody could find of a session: processes, mounts, devices, network, sockets.
    fn traces(&self) -> String {
        let processes: Vec<String> = self.processes().into_iter().map(|(_, line)| line).collect();
        let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", self.pid)).expect("mounts");
        let rules = self.run("iptables-save", &[]) + &self.run("ip6tables-save", &[]);
        // A chain that is built in and lets all pass is as good as none.
        let rules: Vec<&str> = rules
            .lines()
            .filter(|line| line.starts_with('-') || line.starts_with(':'))
            .filter(|line| !line.contains(" ACCEPT ["))
            .collect();
        let links = self.run("ip", &["-brief", "address"]);
        let forwarding = self.run("cat", &["/proc/sys/net/ipv4/ip_forward"]);
        // runc(8) keeps a note of each container that was killed.
        let files = self.run(
            "find",
            &["/run", "-not", "-type", "d", "-not", "-path", "/run/runc/*"],
        );
        let sessions = self.run("sh", &["-c", "ls /run/larder 2>/dev/null || true"]);
        format!(
            "{}\n{mounts}\n{}\n{links}\n{forwarding}\n{files}\n{sessions}\n{:?}",
            processes.join("\n"),
            rules.join("\n"),
            self.loop_devices()
        )
    }

    /// Loop devices over the volumes of this machine's sessions.
    fn loop_devices(&self) -> BTreeSet<String> {
        let id = blake3::hash(self.state().as_os_str().as_encoded_bytes()).to_hex();
        let output = Command::new("losetup")
            .arg("--list")
            .arg("--noheadings")
            .output();
        let listed = text(&output.expect("losetup starts"));
        let ours = listed.lines().filter(|line| line.contains(&id[..12]));
        ours.map(str::to_owned).collect()
    }

    /// Waits until the machine is as it was before any session, or fails with the difference.
    pub(crate) fn assert_untouched(&self) {
        let started = Instant::now();
        loop {
            let now = self.traces();
            if now == self.untouched {
                return;
            }
            // The kernel takes mounts and network namespaces down some time after the last process.
            if started.elapsed() > LIMIT {
                panic!(
                    "the machine is not as before:\n{}",
                    difference(&self.untouched, &now)
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills one of the machine's processes at once.
    pub(crate) fn kill(&self, pid: i32) {
        // Its folder is a handle on it, whatever it is numbered here (pidfd_send_signal(2)).
        let process = fs::File::open(self.proc(pid)).expect("it runs");
        let signal = rustix::process::Signal::KILL;
        rustix::process::pidfd_send_signal(process, signal).expect("it runs");
    }
}

/// Sends a signal to what nsenter(1) started.
pub(crate) fn signal(nsenter: &Child, signal: rustix::process::Signal) {
    let started = children(nsenter.id().cast_signed());
    let pid = started
        .first()
        .copied()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("it runs"), signal).expect("it runs");
}

/// The lines that went and came.
pub(crate) fn difference(before: &str, now: &str) -> String {
    let lines = |text: &str| -> BTreeSet<String> { text.lines().map(str::to_owned).collect() };
    let (before, now) = (lines(before), lines(now));
    let (gone, came) = (before.difference(&now), now.difference(&before));
    let gone: Vec<String> = gone.map(|line| format!("- {line}")).collect();
    let came: Vec<String> = came.map(|line| format!("+ {line}")).collect();
    [gone, came].concat().join("\n")
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = Command::new("sh")
                .arg("-c")
                .arg(format!(
                    "tail -n 30 /proc/{}/root/run/larder/*/larder.log",
                    self.pid
                ))
                .output();
            // It is read when a test has failed.
            eprintln!("{}", log.map(|log| text(&log)).unwrap_or_default());
        }
        // With the first process every other one ends, and unshare(1), which waits for it and reaps it.
        if let Some(first) = rustix::process::Pid::from_raw(self.pid) {
            let _ = rustix::process::kill_process(first, rustix::process::Signal::TERM);
        }
        let started = Instant::now();
        while let (Ok(None), true) = (self.init.try_wait(), started.elapsed() < LIMIT) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What `larder run` did.
pub(crate) struct Job {
    /// Its exit code, 128 + the signal if one ended it.
    pub code: i32,
    /// What larder and its command said.
    pub said: String,
    /// `--json`, `null` if there is none.
    pub report: Value,
}

impl Job {
    pub(crate) fn of(output: Output, report: &Path) -> Self {
        let signal = output.status.signal().map(|signal| 128 + signal);
        Self {
            code: output.status.code().or(signal).expect("it ended"),
            said: text(&output),
            report: fs::read(report).map_or(Value::Null, |text| {
                serde_json::from_slice(&text).expect("a report is JSON")
            }),
        }
    }

    /// It must have succeeded and saved.
    #[track_caller]
    pub(crate) fn saved(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.said);
        assert!(
            self.report["saved"]["snapshot"].is_string(),
            "{}",
            self.said
        );
        self
    }

    /// It must have started from `snapshot` of another job.
    #[track_caller]
    pub(crate) fn restored(self, other: &Self) -> Self {
        let from = &self.report["restored"]["snapshot"];
        assert_eq!(*from, other.report["saved"]["snapshot"], "{}", self.said);
        self
    }

    /// It must have started empty.
    #[track_caller]
    pub(crate) fn empty(self) -> Self {
        assert!(self.report["restored"].is_null(), "{}", self.said);
        self
    }

    /// How many build steps came from the cache.
    pub(crate) fn cached(&self) -> usize {
        let cached = |line: &&str| line.ends_with(" CACHED") || line.contains("Using cache");
        self.said.lines().filter(cached).count()
    }
}

/// The children of a process.
fn children(pid: i32) -> Vec<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    numbers(&fs::read_to_string(path).unwrap_or_default())
}

fn numbers(text: &str) -> Vec<i32> {
    let words = text.split_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}
