//! Starting, awaiting and stopping one engine.
//!
//! dockerd is given a containerd that we start beside it: one that it manages itself costs a
//! second at start (it dials, fails, and backs off for a second; moby `cmd/dockerd/daemon.go`) and
//! another at stop. It must find containerd's socket at its first dial for the same reason, so it
//! is started as soon as the socket is there and not sooner.
//!
//! Both die with us: they are started by setpriv(1) with a parent-death signal where that exists.
//! The kernel sends it when the *thread* that started them ends (prctl(2), `PR_SET_PDEATHSIG`).

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use larder_docker::{ApiError, ApiVersion, Endpoint, ImageStore, Remote};
use larder_local::files;
use serde::{Deserialize, Serialize};

use super::child::{Daemon, Exit};
use super::clean_up::Records;
use super::config::{containerd_toml, daemon_json};
use super::taken_over::TakenOver;
use crate::error::{EngineError, Result, if_there};
use crate::layout::{containerd_root, containerd_socket, data_root};
use crate::network::{require_own, write_forwarding};
use crate::program::EngineProgram;
use crate::scrub::admit;

/// How long containerd may take to open its socket. It takes 40 ms; a lazy disk far away adds some
/// fetches, and many engines that start at once on two cores a minute.
const CONTAINERD_DEADLINE: Duration = Duration::from_secs(180);

/// What containerd is given to end where dockerd took all the time there was. It takes 50 ms; killed, it
/// may tear its databases.
const CONTAINERD_GRACE: Duration = Duration::from_secs(5);

/// Folders of the machine that shims (containerd `runtime/v2/shim/util_unix.go`, `SocketAddress`) and the runc
/// of `BuildKit` (go-runc's default root) use whatever engine they belong to, and where they leave sockets
/// and states if they are killed. Ours see others in their place, in the run directory.
const SHARED_FOLDERS: [(&str, &str); 2] = [("/run/containerd/s", "shims"), ("/run/runc", "runc")];

/// How often a file that another process is about to make is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// What an engine is started with.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The programs, from [`probe`](crate::program::probe).
    pub program: EngineProgram,
    /// Where images are kept.
    pub image_store: ImageStore,
    /// The mounted volume. The engine's roots are its subdirectories `docker` and `containerd`.
    pub volume: PathBuf,
    /// Sockets, state, logs: short (unix socket paths hold 107 bytes), on tmpfs, this engine's own.
    pub run_dir: PathBuf,
    /// The socket that clients expect, for a takeover; served beside our own.
    pub usual_socket: Option<PathBuf>,
    /// What the administrator has set for the machine's engine, as far as it holds for this one.
    pub taken_over: TakenOver,
    /// The host's address as containers see it, if the engine has a network of its own.
    pub host_gateway: Option<Ipv4Addr>,
    /// Their `oom_score_adj` (proc(5)), if it is not to be this process's.
    pub oom_score: Option<String>,
    /// The daemons' environment, from [`child_environment`](crate::child_environment).
    pub environment: Vec<(OsString, OsString)>,
}

impl EngineConfig {
    /// The engine's own socket.
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join("docker.sock")
    }

    fn command(&self, program: &Path) -> Command {
        bound_to_us(program, &self.taken_over, &self.environment)
    }
}

/// What the engine says of itself, for reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFacts {
    /// dockerd's version in full.
    pub version: String,
    /// The newest API that it speaks.
    pub api_version: String,
    /// The oldest, if it says that.
    pub oldest_api_version: Option<String>,
    /// The graph driver or snapshotter.
    pub storage_driver: String,
    /// containerd's version in full.
    pub containerd_version: String,
    /// The image store that it really uses.
    pub image_store: ImageStore,
    /// Version of the control groups, `1` or `2`.
    pub cgroup_version: String,
    /// `systemd` or `cgroupfs`.
    pub cgroup_driver: String,
}

impl EngineFacts {
    /// Whether a client that is told to speak this version of the API, and no other, is understood.
    pub fn speaks(&self, version: &str) -> bool {
        let oldest = self.oldest_api_version.as_deref();
        let range = [
            oldest.unwrap_or(version),
            version,
            self.api_version.as_str(),
        ];
        let [oldest, version, newest] = range.map(|text| text.parse::<ApiVersion>().ok());
        version.is_some() && oldest <= version && version <= newest
    }
}

/// How an engine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopReport {
    /// dockerd's end.
    pub dockerd: Exit,
    /// containerd's end.
    pub containerd: Exit,
    /// Did one of them have to be killed? Its databases may then be torn.
    pub killed: bool,
}

impl StopReport {
    /// Did both end by themselves, so that what they left may be published?
    pub fn is_clean(&self) -> bool {
        !self.killed && self.dockerd == Exit::Code(0) && self.containerd == Exit::Code(0)
    }
}

/// A running engine. Dropping it kills it; [`Engine::stop`] is the way to end one whose state is
/// worth keeping.
#[derive(Debug)]
pub struct Engine {
    // Dropped in this order: dockerd first, as in `stop`.
    dockerd: Daemon,
    containerd: Daemon,
    socket: PathBuf,
    /// Its API, once it answers.
    remote: Option<Remote>,
}

impl Engine {
    /// Starts both daemons from the calling thread, in its namespaces, if the volume holds nothing that would
    /// run by itself or lead out of it. The engine does not answer yet: see [`Engine::ready`].
    pub fn spawn(config: &EngineConfig) -> Result<Self> {
        admit(&config.volume, config.image_store)?;
        prepare(config)?;
        forward_packets(config)?;
        let containerd_config = config.run_dir.join("containerd.toml");
        let state = config.run_dir.join("containerd");
        let socket = containerd_socket(&config.run_dir);
        let toml = containerd_toml(&containerd_root(&config.volume), &state, &socket);
        write(&containerd_config, &toml)?;
        let settings = daemon_json(
            config.image_store,
            &config.taken_over,
            config.host_gateway,
            config.program.nftables,
        );
        let path = config.run_dir.join("daemon.json");
        write(&path, &format!("{settings:#}\n"))?;

        let mut command = config.command(&config.program.containerd);
        command.arg("--config").arg(&containerd_config);
        let log = config.run_dir.join("containerd.log");
        let mut containerd = Daemon::spawn("containerd", command, &log)?;
        containerd.set_oom_score(config.oom_score.as_deref());
        let records = Records {
            containerd: containerd.identity(),
            dockerd: None,
        };
        records.write(&config.run_dir)?;
        await_socket(&mut containerd, &socket)?;

        let log = config.run_dir.join("dockerd.log");
        let dockerd = Daemon::spawn("dockerd", dockerd_command(config)?, &log)?;
        dockerd.set_oom_score(config.oom_score.as_deref());
        Records {
            dockerd: dockerd.identity(),
            ..records
        }
        .write(&config.run_dir)?;
        Ok(Self {
            dockerd,
            containerd,
            socket: config.socket(),
            remote: None,
        })
    }

    /// The engine's own socket; `DOCKER_HOST` is `unix://` and this.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Resolves when the API answers. Fails as soon as a daemon has ended, or at the deadline, with
    /// the end of its log.
    pub async fn ready(&mut self, deadline: Duration) -> Result<()> {
        let answered = tokio::select! {
            biased;
            () = self.dockerd.end() => None,
            () = self.containerd.end() => None,
            answer = tokio::time::timeout(deadline, answer(&self.socket, deadline)) => Some(answer),
        };
        match answered {
            Some(Ok(remote)) => {
                self.remote = Some(remote?);
                Ok(())
            }
            Some(Err(_)) => Err(self.dockerd.no_answer(deadline)),
            None => {
                self.containerd.must_run()?;
                self.dockerd.must_run()?;
                Err(self.dockerd.no_answer(deadline))
            }
        }
    }

    /// Its API.
    pub fn remote(&self) -> &Remote {
        let remote = self.remote.as_ref();
        remote.expect("nothing is asked of an engine before `ready`")
    }

    /// What the engine says of itself.
    pub fn facts(&self) -> EngineFacts {
        let about = self.remote().about().clone();
        EngineFacts {
            version: about.version_text,
            api_version: about.newest_api.to_string(),
            oldest_api_version: about.oldest_api.map(|version| version.to_string()),
            storage_driver: about.storage_driver,
            containerd_version: about.containerd_version,
            image_store: about.image_store.kind(),
            cgroup_version: about.cgroup_version,
            cgroup_driver: about.cgroup_driver,
        }
    }

    /// dockerd's process.
    pub fn dockerd_pid(&self) -> u32 {
        self.dockerd.pid()
    }

    /// containerd's process.
    pub fn containerd_pid(&self) -> u32 {
        self.containerd.pid()
    }

    /// The first daemon that is no longer running, if one is not.
    pub fn dead(&mut self) -> Option<(&'static str, Exit)> {
        let mut daemons = [&mut self.dockerd, &mut self.containerd].into_iter();
        daemons.find_map(|daemon| Some((daemon.name, daemon.ended()?.into())))
    }

    /// Resolves when one of the daemons has ended; see [`Engine::dead`].
    pub async fn end(&self) {
        tokio::select! {
            () = self.dockerd.end() => {}
            () = self.containerd.end() => {}
        }
    }

    /// SIGKILL to both, without waiting for their end: they may wait for a disk that hangs. Whoever waits for
    /// the engine learns that it is broken.
    pub fn kill(&self) {
        self.dockerd.kill();
        self.containerd.kill();
    }

    /// SIGTERM to dockerd, then to containerd; what has not ended by the deadline is killed. containerd has
    /// some seconds of its own, however long dockerd took.
    pub async fn stop(mut self, deadline: Duration) -> StopReport {
        let start = Instant::now();
        let (dockerd, killed) = self.dockerd.terminate(deadline).await;
        let left = deadline
            .saturating_sub(start.elapsed())
            .max(CONTAINERD_GRACE);
        let (containerd, also_killed) = self.containerd.terminate(left).await;
        StopReport {
            dockerd,
            containerd,
            killed: killed || also_killed,
        }
    }
}

/// Waits for the engine's API. dockerd listens early and answers when it is ready, so one request waits
/// for the whole start.
async fn answer(socket: &Path, deadline: Duration) -> Result<Remote> {
    loop {
        if socket.exists() {
            match Remote::connect_to_any(Endpoint::unix(socket), deadline).await {
                // It listens not yet, or no longer: a socket of an earlier engine is replaced.
                Err(
                    ApiError::Unreachable { .. }
                    | ApiError::Broken { .. }
                    | ApiError::Refused { .. }
                    | ApiError::NoAnswer { .. },
                ) => {}
                settled => return Ok(settled?),
            }
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn prepare(config: &EngineConfig) -> Result<()> {
    for directory in [
        data_root(&config.volume),
        containerd_root(&config.volume),
        config.run_dir.join("exec"),
    ] {
        DirBuilder::new()
            .recursive(true)
            .mode(0o710)
            .create(&directory)
            .map_err(EngineError::io("cannot make the directory", &directory))?;
    }
    // Others may pass, to the socket, whose own mode decides; they may not list or read.
    fs::set_permissions(&config.run_dir, Permissions::from_mode(0o711))
        .map_err(EngineError::io("cannot set the mode of", &config.run_dir))?;
    own_folders(&config.run_dir)?;
    // A socket that a crashed engine left would be taken for a live one.
    let socket = containerd_socket(&config.run_dir);
    if_there(fs::remove_file(&socket))
        .map(drop)
        .map_err(EngineError::io("cannot remove the old socket", &socket))
}

/// With nftables dockerd does not switch packet forwarding on, and makes no network without it. In a network
/// namespace of its own nobody else does.
fn forward_packets(config: &EngineConfig) -> Result<()> {
    let asked = config.taken_over.firewall_backend();
    let nftables = asked.map_or(config.program.nftables, |backend| backend == "nftables");
    if nftables && config.host_gateway.is_some() {
        require_own("net")?;
        write_forwarding(true)?;
    }
    Ok(())
}

/// Mounts folders of the engine's own in `run_dir` over those that all containers of this machine share, in the room.
pub fn own_folders(run_dir: &Path) -> Result<()> {
    require_own("mnt")?;
    for (shared, own) in SHARED_FOLDERS {
        let (shared, own) = (Path::new(shared), run_dir.join(own));
        for folder in [shared, &own] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o711)
                .create(folder)
                .map_err(EngineError::io("cannot make the directory", folder))?;
        }
        rustix::mount::mount_bind(&own, shared)
            .map_err(|errno| EngineError::io("cannot mount over", shared)(errno.into()))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    files::write_private(path, text.as_bytes()).map_err(EngineError::io("cannot write", path))
}

fn await_socket(containerd: &mut Daemon, socket: &Path) -> Result<()> {
    let start = Instant::now();
    while !socket.exists() {
        containerd.must_run()?;
        if start.elapsed() > CONTAINERD_DEADLINE {
            return Err(containerd.no_answer(CONTAINERD_DEADLINE));
        }
        sleep(LOOK_INTERVAL);
    }
    Ok(())
}

/// A command that ends with the calling thread, in this environment, and under the limits and with the variables
/// that are taken over.
pub fn bound_to_us(
    program: &Path,
    taken_over: &TakenOver,
    environment: &[(OsString, OsString)],
) -> Command {
    let mut words: Vec<OsString> = Vec::new();
    if let Some(setpriv) = of_util_linux("setpriv") {
        words.extend([setpriv, "--pdeathsig".into(), "KILL".into(), "--".into()]);
    }
    let limits = &taken_over.limits;
    if let Some(prlimit) = of_util_linux("prlimit").filter(|_| !limits.is_empty()) {
        words.push(prlimit);
        words.extend(limits.iter().map(OsString::from));
    }
    words.push(program.into());
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .env_clear()
        .envs(taken_over.environment(environment));
    command
}

/// A program that every Debian and nearly every other system has.
fn of_util_linux(name: &str) -> Option<OsString> {
    let places = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(name));
    places
        .into_iter()
        .find(|path| path.exists())
        .map(OsString::from)
}

fn dockerd_command(config: &EngineConfig) -> Result<Command> {
    let mut command = config.command(&config.program.dockerd);
    for (option, path) in [
        ("--containerd", containerd_socket(&config.run_dir)),
        ("--config-file", config.run_dir.join("daemon.json")),
        ("--data-root", data_root(&config.volume)),
        ("--exec-root", config.run_dir.join("exec")),
        ("--pidfile", config.run_dir.join("dockerd.pid")),
    ] {
        command.arg(option).arg(path);
    }
    let usual = config.usual_socket.iter().cloned();
    for socket in [config.socket()].into_iter().chain(usual) {
        command.arg(format!("--host=unix://{}", socket.display()));
    }
    if let Some(group) = config.taken_over.socket_group()? {
        command.args(["--group", &group]);
    }
    command.args(&config.taken_over.options);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_api_are_known_by_their_range() {
        let facts = EngineFacts {
            version: "29.4.2".to_owned(),
            api_version: "1.54".to_owned(),
            oldest_api_version: Some("1.40".to_owned()),
            storage_driver: "overlayfs".to_owned(),
            containerd_version: String::new(),
            image_store: ImageStore::Containerd,
            cgroup_version: "2".to_owned(),
            cgroup_driver: "systemd".to_owned(),
        };
        for known in ["1.40", "1.44", "v1.54"] {
            assert!(facts.speaks(known), "{known}");
        }
        for foreign in ["1.39", "1.55", "2.0", "x", ""] {
            assert!(!facts.speaks(foreign), "{foreign}");
        }
    }
}
