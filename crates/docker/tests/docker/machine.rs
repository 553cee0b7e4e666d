//! A machine to test on: a host with a way out to a world, and what runs on it.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::room::Room;

/// How long anything may take that a test waits for. It says that something hangs, and nothing of how
/// fast it should be: machines of CI are slow at times.
pub(crate) const DEADLINE: Duration = Duration::from_secs(300);

/// The host's address, and that of the world beyond it, which knows no way to what is behind the host.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub(crate) const WORLD: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);

/// Rooms are dropped before the directory.
pub(crate) struct Machine {
    pub host: Room,
    pub world: Room,
    pub directory: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        for (program, package) in [
            ("dockerd", "docker.io"),
            ("docker", "docker-cli"),
            ("iptables", "iptables"),
        ] {
            assert!(
                run("which", &[program]).status.success(),
                "{program} is missing; run `cargo xtask engine`, which installs {package}"
            );
        }
        let (host, world) = (Room::new(true), Room::new(true));
        let peer = world.tid().as_raw_nonzero().to_string();
        host.run(move || {
            ip("link set lo up");
            ip(&format!(
                "link add uplink type veth peer name eth0 netns {peer}"
            ));
            // Without IPv6, whose addresses change state some seconds after they are made.
            ip("link set uplink addrgenmode none");
            ip(&format!("addr add {HOST}/24 dev uplink"));
            ip("link set uplink up");
            ip(&format!("route add default via {WORLD}"));
            // As on a machine that is no router: dockerd, if it runs, switches this on and makes
            // the chain's policy to drop.
            fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("root may");
        });
        world.run(|| {
            ip("link set lo up");
            ip(&format!("addr add {WORLD}/24 dev eth0"));
            ip("link set eth0 up");
        });
        // Short: sockets live in it, and their paths hold 107 bytes.
        let directory = tempfile::Builder::new()
            .prefix("lr")
            .tempdir_in("/tmp")
            .expect("a directory");
        Self {
            host,
            world,
            directory,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What was started for this machine and is still there: its directory is on the command line,
    /// or it descends from one of those, as a container does.
    fn left(&self) -> HashSet<i32> {
        let own = self.directory.path().as_os_str().as_bytes();
        let pids = fs::read_dir("/proc")
            .expect("listed")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let line = |pid: i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let (named, others): (Vec<i32>, Vec<i32>) =
            pids.partition(|&pid| line(pid).windows(own.len()).any(|window| window == own));
        let mut found: HashSet<i32> = named.into_iter().collect();
        // Parents have, in all but rare cases, lower pids, and so come first.
        for pid in others {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let parent = status
                .lines()
                .find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
            if parent.is_some_and(|parent: i32| found.contains(&parent)) {
                found.insert(pid);
            }
        }
        found
    }

    /// A server in the world that says `hello <peer's address>` to its first client.
    pub(crate) fn world_server(&self) -> SocketAddr {
        let listener = self
            .world
            .run(|| TcpListener::bind((WORLD, 0)).expect("a free port"));
        let address = listener.local_addr().expect("it is bound");
        thread::spawn(move || {
            let (mut stream, peer) = listener.accept().expect("a client");
            stream
                .write_all(format!("hello {}\n", peer.ip()).as_bytes())
                .expect("it listens");
        });
        address
    }

    /// A plain dockerd on the host, as an administrator's would be.
    pub(crate) fn system_engine(&self) -> Docker {
        let (root, socket) = (self.path("system"), self.path("system.sock"));
        let log = fs::File::create(self.path("system.log")).expect("made");
        let arguments = [
            format!("--data-root={}", root.join("data").display()),
            format!("--exec-root={}", root.join("exec").display()),
            format!("--pidfile={}", self.path("system.pid").display()),
            format!("--host=unix://{}", socket.display()),
            "--config-file=/dev/null".to_owned(),
        ];
        let child = self.host.run(move || {
            let again = log.try_clone().expect("a handle");
            Command::new("dockerd")
                .args(arguments)
                .stdout(log)
                .stderr(again)
                .spawn()
                .expect("dockerd starts")
        });
        let docker = Docker {
            socket,
            config: self.path("docker-config"),
            child: Some(child),
        };
        let start = Instant::now();
        while !docker.output(&["version"]).status.success() {
            assert!(
                start.elapsed() < DEADLINE,
                "see {}",
                self.path("system.log").display()
            );
            thread::sleep(Duration::from_millis(20));
        }
        docker
    }

    /// The docker command against `engine`.
    pub(crate) fn docker(&self, socket: &Path) -> Docker {
        Docker {
            socket: socket.to_owned(),
            config: self.path("docker-config"),
            child: None,
        }
    }

    /// What an administrator sees of the host's network. Counters and times are left out.
    pub(crate) fn host_network(&self) -> String {
        self.host.run(|| {
            let rules = stdout(&run("iptables-save", &[]));
            let rules = rules.lines().filter(|line| !line.starts_with('#'));
            let rules: Vec<&str> = rules
                .map(|line| line.split(" [").next().unwrap_or(line))
                .collect();
            let forwarding = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("readable");
            let (links, addresses) = (run("ip", &["link"]), run("ip", &["addr"]));
            let routes = run("ip", &["route", "show", "table", "all"]);
            [
                &rules.join("\n"),
                &forwarding,
                &stdout(&links),
                &stdout(&addresses),
                &stdout(&routes),
            ]
            .map(String::as_str)
            .join("\n")
        })
    }
}

/// A test that fails leaves containers and engines, which would hold the directory.
impl Drop for Machine {
    fn drop(&mut self) {
        for pid in self.left() {
            let pid = Pid::from_raw(pid).expect("not zero");
            // It may have ended with one before it.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The docker command against one engine; ends the engine if it owns it.
pub(crate) struct Docker {
    pub socket: PathBuf,
    config: PathBuf,
    child: Option<std::process::Child>,
}

impl Docker {
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", format!("unix://{}", self.socket.display()));
        command
            .env("DOCKER_CONFIG", &self.config)
            .env_remove("DOCKER_CONTEXT")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command()
            .args(arguments)
            .output()
            .expect("docker starts")
    }

    /// Runs a command that must succeed; answers both of its outputs.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        said(&self.output(arguments), arguments)
    }

    /// Builds `context`; answers what was said.
    pub(crate) fn build(&self, context: &Path, buildkit: bool, tag: &str, more: &[&str]) -> String {
        let context = context.display().to_string();
        let mut command = self.command();
        command
            .env("DOCKER_BUILDKIT", if buildkit { "1" } else { "0" })
            .env("BUILDKIT_PROGRESS", "plain");
        command.args(["build", "-t", tag]).args(more).arg(&context);
        said(&command.output().expect("docker starts"), &["build", tag])
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let pid = Pid::from_child(&child);
        // Only SIGTERM makes it take its containerd along.
        let asked = kill_process(pid, Signal::TERM);
        let ended = child.wait();
        assert!(
            asked.is_ok() && ended.is_ok() || thread::panicking(),
            "the system's engine is left"
        );
    }
}

/// Stops a process and waits until each of its threads stands still.
pub(crate) fn freeze(pid: u32) {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(process.expect("a pid"), Signal::STOP).expect("it runs");
    let moves = |task: std::io::Result<fs::DirEntry>| {
        let stat = task
            .and_then(|task| fs::read_to_string(task.path().join("stat")))
            .unwrap_or_default();
        !stat.is_empty() && !stat.contains(") T ")
    };
    while fs::read_dir(format!("/proc/{pid}/task"))
        .expect("it runs")
        .any(moves)
    {
        thread::yield_now();
    }
}

/// A context with busybox and `dockerfile`, whose steps may run `/busybox`.
pub(crate) fn context(directory: &Path, dockerfile: &str) -> PathBuf {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists());
    let busybox = busybox
        .expect("busybox is missing; run `cargo xtask engine`, which installs busybox-static");
    let context = directory.join("context");
    fs::create_dir_all(&context).expect("made");
    fs::copy(busybox, context.join("busybox")).expect("copied");
    fs::write(context.join("Dockerfile"), dockerfile).expect("written");
    context
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it starts")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ip(arguments: &str) {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    said(&run("ip", &arguments), &arguments);
}

fn said(output: &Output, arguments: &[&str]) -> String {
    let text = stdout(output) + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} failed:\n{text}");
    text
}
