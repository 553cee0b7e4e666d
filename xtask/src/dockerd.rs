//! A plain Docker engine, as a fresh machine would start it: one dockerd that starts and ends its
//! own containerd, with its own bridge, sockets and configuration, ended by its process id.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::process;
use crate::workplace::{engine_name, unmount_below};

/// An engine that has not answered by then has hung.
const READY_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(60);
/// How often the engine is asked: well below what is measured.
const POLL: Duration = Duration::from_millis(5);

/// Distinguishes the engines of one process: part of the bridge's name and network.
static STARTED: AtomicU8 = AtomicU8::new(0);

/// How an engine keeps its images.
#[derive(Clone, Copy)]
pub(crate) enum ImageStore {
    /// The graph driver overlay2.
    Overlay2,
    /// containerd's own store, which can export build caches to a registry.
    Containerd,
}

/// A running engine.
pub(crate) struct Dockerd {
    child: Child,
    runtime: PathBuf,
    root: PathBuf,
    bridge: Bridge,
    stopped: bool,
}

impl Dockerd {
    /// Starts an engine on `root` and waits until its API answers.
    pub(crate) fn start(root: &Path, store: ImageStore) -> Result<Self> {
        refuse_beside_another()?;
        let bridge = Bridge::create()?;
        let runtime = Path::new("/run").join(&bridge.name);
        fs::create_dir_all(&runtime)
            .with_context(|| format!("cannot make {}", runtime.display()))?;
        fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
        let child = spawn(&runtime, root, &bridge.name, store)?;
        let mut engine = Self {
            child,
            runtime,
            root: root.to_owned(),
            bridge,
            stopped: false,
        };
        engine.wait_ready()?;
        Ok(engine)
    }

    /// What `DOCKER_HOST` must say.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", socket(&self.runtime).display())
    }

    /// Ends the engine in order.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.terminate()?;
        self.clean()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_DEADLINE;
        while !answers(&socket(&self.runtime)) {
            if let Some(status) = self.child.try_wait()? {
                bail!("dockerd ended at start: {status}\n{}", self.log_tail());
            }
            ensure!(
                Instant::now() < deadline,
                "dockerd does not answer\n{}",
                self.log_tail()
            );
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn terminate(&mut self) -> Result<()> {
        self.stopped = true;
        kill_process(pid(&self.child), Signal::TERM).context("cannot signal dockerd")?;
        let deadline = Instant::now() + STOP_DEADLINE;
        while self.child.try_wait()?.is_none() {
            ensure!(
                Instant::now() < deadline,
                "dockerd does not stop\n{}",
                self.log_tail()
            );
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Unmounts what the engine left below its folders, last mounted first.
    fn clean(&self) -> Result<()> {
        for folder in [&self.root, &self.runtime] {
            unmount_below(folder)?;
        }
        fs::remove_dir_all(&self.runtime)
            .with_context(|| format!("cannot remove {}", self.runtime.display()))?;
        self.bridge.remove()
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.runtime.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Dockerd {
    /// After an error: what `stop` would have done, as far as it goes.
    fn drop(&mut self) {
        if self.stopped {
            return;
        }
        if self.terminate().is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = self.clean();
    }
}

fn spawn(runtime: &Path, root: &Path, bridge: &str, store: ImageStore) -> Result<Child> {
    let configuration = match store {
        ImageStore::Overlay2 => {
            r#"{"storage-driver":"overlay2","features":{"containerd-snapshotter":false}}"#
        }
        ImageStore::Containerd => r#"{"features":{"containerd-snapshotter":true}}"#,
    };
    let configuration_file = runtime.join("daemon.json");
    fs::write(&configuration_file, configuration)?;
    let log = File::create(runtime.join("log"))?;
    let dockerd = process::which("dockerd").context("no dockerd; run `cargo xtask engine`")?;
    // The engine ends with this process, however that ends.
    Command::new("setpriv")
        .args(["--pdeathsig", "TERM"])
        .arg(dockerd)
        .arg("--data-root")
        .arg(root)
        .arg("--exec-root")
        .arg(runtime.join("exec"))
        .arg("--pidfile")
        .arg(runtime.join("pid"))
        .arg("--host")
        .arg(format!("unix://{}", socket(runtime).display()))
        .args(["--bridge", bridge])
        .arg("--config-file")
        .arg(configuration_file)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start dockerd")
}

/// A second dockerd in one network namespace takes away the first one's firewall chains, and one
/// that finds a running containerd uses it instead of starting its own.
fn refuse_beside_another() -> Result<()> {
    for socket in ["/run/docker.sock", "/run/containerd/containerd.sock"] {
        ensure!(
            UnixStream::connect(socket).is_err(),
            "an engine of this machine serves {socket} and would be disturbed; stop it first: \
             `systemctl stop docker.socket docker containerd`"
        );
    }
    Ok(())
}

fn socket(runtime: &Path) -> PathBuf {
    runtime.join("docker.sock")
}

/// dockerd opens its socket early and answers when it is ready.
fn answers(socket: &Path) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.0 200"))
    };
    ask().unwrap_or(false)
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn ip(arguments: &[&str]) -> Result<()> {
    process::run(Command::new("ip").args(arguments))
}

/// A bridge of the engine's own, so that it never touches `docker0`.
struct Bridge {
    name: String,
}

impl Bridge {
    fn create() -> Result<Self> {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let id = std::process::id();
        let bridge = Self {
            name: engine_name(number),
        };
        // 10.213.0.0/16: a private range that engines and CI machines do not use by default.
        let network = (id.wrapping_mul(31).wrapping_add(u32::from(number))) % 256;
        ip(&["link", "add", &bridge.name, "type", "bridge"])?;
        ip(&[
            "addr",
            "add",
            &format!("10.213.{network}.1/24"),
            "dev",
            &bridge.name,
        ])?;
        ip(&["link", "set", &bridge.name, "up"])?;
        Ok(bridge)
    }

    fn remove(&self) -> Result<()> {
        ip(&["link", "delete", &self.name])
    }
}
