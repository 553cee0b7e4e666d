//! Debian's `docker-registry`, the distribution project's own, on loopback. The program's tests use
//! this file too.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A running registry; ended when dropped.
pub(crate) struct Distribution {
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
    pub(crate) fn start(configure: impl FnOnce(&Path, &mut Value)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = free_address();
        let host = address.to_string();
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
        let mut registry = Self {
            host,
            child,
            folder,
        };
        registry.ready();
        registry
    }

    fn ready(&mut self) {
        let started = Instant::now();
        while TcpStream::connect(&self.host).is_err() {
            let ended = self.child.try_wait().expect("asked");
            assert_eq!(ended, None, "it does not listen on {}", self.host);
            assert!(started.elapsed() < Duration::from_secs(120), "no answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A port that stays free until the registry has it: of a loopback address that is this process's own.
/// On 127.0.0.1 whoever connects anywhere may be given it meanwhile.
fn free_address() -> SocketAddr {
    static REGISTRIES: AtomicU8 = AtomicU8::new(2);
    let [.., high, low] = std::process::id().to_be_bytes();
    let last = REGISTRIES.fetch_add(1, Ordering::Relaxed);
    let free = TcpListener::bind((Ipv4Addr::new(127, high, low, last), 0));
    free.and_then(|free| free.local_addr())
        .expect("a free port")
}
