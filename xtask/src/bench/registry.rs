//! The lane that keeps `BuildKit`'s cache in a registry on this machine.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::disk::Disk;
use super::lane::{Lane, LaneName, Measure, copy_folder, on_plain_engine, size_of};
use crate::dockerd::ImageStore;
use crate::job::Job;
use crate::process;

const READY_DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// `--cache-to` and `--cache-from` a registry, with the engine on the containerd store (the only
/// one that exports there).
pub struct RegistryCache {
    warm: PathBuf,
    machine: Option<(Registry, Disk)>,
}

impl RegistryCache {
    /// Keeps the warmed-up registry's content in `warm`.
    pub fn new(warm: PathBuf) -> Self {
        Self {
            warm,
            machine: None,
        }
    }

    fn run(&mut self, job: &Job, revision: u32) -> Result<Measure> {
        let (registry, disk) = self
            .machine
            .take()
            .context("the machine was not prepared")?;
        let before = size_of(&registry.content)?;
        let mut measure = on_plain_engine(&disk.root(), ImageStore::Containerd, job, revision)?;
        measure.stored = size_of(&registry.content)?.saturating_sub(before);
        measure.fetched = registry.bytes_read()?;
        Ok(measure)
    }

    fn serve(&mut self, content: PathBuf, job: &mut Job) -> Result<()> {
        let registry = Registry::start(content, &job.folder)?;
        let reference = format!("127.0.0.1:{}/larder-demo/app:cache", registry.port);
        job.build_flags = [
            "--cache-from".to_owned(),
            format!("type=registry,ref={reference}"),
            "--cache-to".to_owned(),
            format!("type=registry,ref={reference},mode=max,compression=zstd"),
        ]
        .into();
        self.machine = Some((registry, Disk::create(&job.folder)?));
        Ok(())
    }
}

impl Lane for RegistryCache {
    fn name(&self) -> LaneName {
        LaneName::Registry
    }

    fn warm_up(&mut self, job: &mut Job) -> Result<()> {
        self.serve(self.warm.clone(), job)?;
        self.run(job, 0).map(drop)
    }

    fn prepare(&mut self, job: &mut Job) -> Result<()> {
        let content = job.folder.join("registry");
        copy_folder(&self.warm, &content)?;
        self.serve(content, job)
    }

    fn measure(&mut self, job: &Job, revision: u32) -> Result<Measure> {
        self.run(job, revision)
    }
}

/// Debian's docker-registry on a free port of loopback.
struct Registry {
    child: Child,
    port: u16,
    content: PathBuf,
    log: PathBuf,
}

impl Registry {
    fn start(content: PathBuf, folder: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let configuration = folder.join("registry.yml");
        fs::create_dir_all(&content)?;
        fs::write(
            &configuration,
            format!(
                "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
                content.display()
            ),
        )?;
        let program = process::which("docker-registry")
            .context("no docker-registry; run `cargo xtask engine`")?;
        let log = folder.join("registry.log");
        let output = File::create(&log)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .arg("serve")
            .arg(configuration)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start docker-registry")?;
        let mut registry = Self {
            child,
            port,
            content,
            log,
        };
        registry.wait_ready()?;
        Ok(registry)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_DEADLINE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "docker-registry ended: {status}; see {}",
                    self.log.display()
                );
            }
            ensure!(Instant::now() < deadline, "docker-registry does not answer");
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// What the registry's log says that it sent in answer to GET.
    fn bytes_read(&self) -> Result<u64> {
        let log = fs::read_to_string(&self.log)?;
        let answers = log.lines().filter(|line| {
            line.contains("msg=\"response completed\"") && line.contains("http.request.method=GET")
        });
        let written = |line: &str| {
            let (_, rest) = line.split_once("http.response.written=")?;
            rest.split_whitespace().next()?.parse::<u64>().ok()
        };
        Ok(answers.filter_map(written).sum())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It keeps nothing in memory that a signal would lose: every upload is on disk when it is
        // answered.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
