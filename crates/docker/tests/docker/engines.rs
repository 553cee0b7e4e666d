//! Plain engines of three versions, each in a room of its own: no bridge, no firewall, no way out; what
//! the docker commands of both versions and the API client are tried against.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use larder_docker::{Endpoint, ImageStore, Remote};

use crate::machine::{DEADLINE, Machine, run, stdout};
use crate::room::Room;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// 20.10.24, unpacked by `cargo xtask engine`.
    Older,
    /// The machine's own.
    Current,
    /// Docker 28 of Debian forky, laid over `/usr` in the engine's room; see [`Version::newer`].
    #[allow(dead_code)] // used by tests that share this file
    Newer,
}

impl Version {
    /// The newer one's folder, if it is there.
    pub(crate) fn newer() -> Option<PathBuf> {
        let folder = unpacked("LARDER_TEST_NEWER_ENGINE", "docker-28");
        folder.exists().then_some(folder)
    }

    fn folder(self) -> PathBuf {
        if self != Self::Older {
            return PathBuf::from("/");
        }
        let folder = unpacked("LARDER_TEST_OLDER_ENGINE", "docker-20.10.24");
        assert!(
            folder.join("usr/sbin/dockerd").exists(),
            "{} is missing; `cargo xtask engine` unpacks it",
            folder.display()
        );
        folder
    }

    /// A command that finds this version's programs first. Distributions put dockerd in either folder.
    pub(crate) fn command(self, program: &str) -> Command {
        let folder = self.folder();
        let own = ["usr/bin", "usr/sbin"].map(|name| folder.join(name));
        let found = own.iter().map(|folder| folder.join(program));
        let found = found.into_iter().find(|path| path.is_file());
        let mut command =
            Command::new(found.expect("it is there; `cargo xtask engine` installs it"));
        command.stdin(Stdio::null()).env_clear();
        if self == Self::Older {
            // Of the libraries that the programs need, only one may be missing elsewhere.
            let libraries = ["x86_64-linux-gnu", "aarch64-linux-gnu"];
            let libraries = libraries.map(|name| folder.join("lib").join(name));
            let libraries = std::env::join_paths(libraries).expect("no colons");
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let usual = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(PathBuf::from);
        let path = std::env::join_paths(own.into_iter().chain(usual)).expect("no colons");
        command.env("PATH", path);
        command
    }
}

/// Where `cargo xtask engine` has unpacked an engine.
fn unpacked(variable: &str, name: &str) -> PathBuf {
    let told = std::env::var_os(variable).map(PathBuf::from);
    told.unwrap_or_else(|| {
        let home = std::env::var_os("HOME").expect("a home folder");
        Path::new(&home).join(".cache/larder-dev").join(name)
    })
}

/// An engine that listens on a unix socket.
pub(crate) struct Plain {
    pub version: Version,
    pub room: Room,
    pub socket: PathBuf,
    /// The docker command's configuration: none.
    pub config: PathBuf,
    child: Child,
}

impl Plain {
    /// Starts a fresh one; `options` are dockerd's.
    pub(crate) fn start(
        machine: &Machine,
        name: &str,
        version: Version,
        store: ImageStore,
        options: &[&str],
    ) -> Self {
        let folder = machine.path(name);
        fs::create_dir_all(&folder).expect("made");
        let at = |name: &str| folder.join(name).display().to_string();
        let configuration = match store {
            ImageStore::Overlay2 => r#"{"storage-driver":"overlay2"}"#,
            ImageStore::Containerd => r#"{"features":{"containerd-snapshotter":true}}"#,
        };
        fs::write(folder.join("daemon.json"), configuration).expect("written");
        let log = fs::File::create(folder.join("log")).expect("made");
        let mut command = version.command("dockerd");
        command
            .args(["--data-root", &at("root"), "--exec-root", &at("exec")])
            .args(["--pidfile", &at("pid"), "--config-file", &at("daemon.json")])
            .args(["--host", &format!("unix://{}", at("s"))])
            .args(["--bridge", "none", "--iptables=false"])
            .args(options)
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log);
        let room = match version {
            Version::Newer => Room::with_engine(true, Version::newer()),
            _ => Room::new(true),
        };
        let data = folder.join("root");
        let child = room.run(move || {
            assert!(run("ip", &["link", "set", "lo", "up"]).status.success());
            // It would use a containerd that it finds running.
            mount_tmpfs(Path::new("/run"));
            fs::create_dir_all(&data).expect("made");
            mount_tmpfs(&data);
            command.spawn().expect("dockerd starts")
        });
        let engine = Self {
            version,
            room,
            socket: folder.join("s"),
            config: folder.join("config"),
            child,
        };
        let start = Instant::now();
        while !engine
            .docker(&["version"])
            .output()
            .expect("it starts")
            .status
            .success()
        {
            assert!(start.elapsed() < DEADLINE, "see {}", at("log"));
            thread::sleep(Duration::from_millis(20));
        }
        engine
    }

    /// The docker command of the engine's own version.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Command {
        self.docker_of(self.version, arguments)
    }

    /// The docker command of either version. `BuildKit` or not is the caller's to say.
    pub(crate) fn docker_of(&self, version: Version, arguments: &[&str]) -> Command {
        let mut command = version.command("docker");
        command
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            .env("DOCKER_CONFIG", &self.config)
            .env("BUILDKIT_PROGRESS", "plain")
            .args(arguments);
        command
    }

    pub(crate) async fn connect(&self) -> Remote {
        let connected = Remote::connect(Endpoint::unix(&self.socket), DEADLINE).await;
        connected.expect("it answers")
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        // Only SIGTERM makes it take its containerd along. One that has died meanwhile is a failure
        // that the test has seen itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let ended = self.child.wait();
        assert!(ended.is_ok() || thread::panicking(), "an engine is left");
    }
}

fn mount_tmpfs(folder: &Path) {
    let folder = folder.display().to_string();
    let mounted = run("mount", &["-t", "tmpfs", "larder-test", &folder]);
    assert!(mounted.status.success(), "mount needs root");
}

/// Runs a command that must succeed; answers both of its outputs.
pub(crate) fn must(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let text = both(&output);
    assert!(output.status.success(), "{command:?} failed:\n{text}");
    text
}

pub(crate) fn both(output: &Output) -> String {
    stdout(output) + &String::from_utf8_lossy(&output.stderr)
}
