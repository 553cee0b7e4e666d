//! Debian's `docker-registry`, the distribution project's own, on a free port of loopback. The
//! program's tests use this file too.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A running registry; ended when dropped.
pub struct Distribution {
    /// Where it listens.
    pub host: String,
    child: Child,
    folder: TempDir,
}

impl Drop for Distribution {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Distribution {
    /// Starts one; `configure` adds to its configuration, and may put files in its folder.
    pub fn start(configure: impl FnOnce(&Path, &mut Value)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let host = free.local_addr().expect("bound").to_string();
        drop(free);
        let mut config = json!({
            "version": "0.1",
            "log": { "level": "error" },
            "storage": { "filesystem": { "rootdirectory": folder.path().join("data") } },
            "http": { "addr": host },
        });
        configure(folder.path(), &mut config);
        let path = folder.path().join("config.yml");
        // JSON is YAML.
        fs::write(&path, config.to_string()).expect("written");
        let log = File::create(folder.path().join("log")).expect("a file");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry runs: `apt-get install docker-registry`");
        let registry = Self {
            host,
            child,
            folder,
        };
        registry.ready();
        registry
    }

    fn ready(&self) {
        let started = Instant::now();
        while TcpStream::connect(&self.host).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "no answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
