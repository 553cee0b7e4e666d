//! Debian's docker-registry.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process;

const READY_DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Debian's docker-registry on a free port of loopback.
pub(super) struct Registry {
    child: Child,
    /// Where on loopback it listens.
    pub port: u16,
    /// Its folder.
    pub content: PathBuf,
    log: PathBuf,
}

impl Registry {
    /// Starts it on what is in `content`, with its settings and log in `folder`.
    pub(super) fn start(content: PathBuf, folder: &Path) -> Result<Self> {
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
    pub(super) fn bytes_read(&self) -> Result<u64> {
        let log = fs::read_to_string(&self.log)?;
        let answers = log.lines().filter(|line| {
            line.contains("msg=\"response completed\"") && line.contains("http.request.method=GET")
        });
        Ok(answers.filter_map(bytes_written).sum())
    }
}

/// `… http.response.written=1234 …` of the registry's log.
fn bytes_written(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("http.response.written=")?;
    rest.split_whitespace().next()?.parse().ok()
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It keeps nothing in memory that a signal would lose: every upload is on disk when it is
        // answered.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
