//! The program in roots with an older C library, a newer one, and none: it starts and finds names in each.
//!
//! A static program with glibc's resolver would load what `nsswitch.conf` names from the root's own
//! library, which may be of another version and then crash it. So the roots name what usual distributions
//! name, and have it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Unpack;
use super::names::{self, SERVER};
use xtask_tools::say;

/// Roots: the Debian suite whose C library and resolver's modules it has. Red Hat's are as old as these, and Alpine
/// has none of them.
const ROOTS: [(&str, Option<&str>); 4] = [
    ("an older C library (Debian 11)", Some("bullseye")),
    ("the C library of Debian 12", Some("bookworm")),
    ("a newer C library (Debian 13)", Some("trixie")),
    ("no C library", None),
];
/// The library, and modules that distributions name in `nsswitch.conf`.
const LIBRARIES: [&str; 4] = [
    "libc6",
    "libnss-resolve",
    "libnss-myhostname",
    "libnss-mdns",
];
/// As Ubuntu's desktop and Fedora have it.
const SWITCH: &str = "passwd: files systemd\nhosts: files myhostname mdns4_minimal [NOTFOUND=return] resolve [!UNAVAIL=return] dns\n";
/// A name that the root's `hosts` has, and one that only the name server has.
const NAMES: [&str; 2] = ["by-hosts.example", names::KNOWN];
/// Nothing that is asked here takes longer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Runs the program in each root.
pub(super) fn check(program: &Path, unpack: Unpack) -> Result<()> {
    names::serve()?;
    let registry = Registry::start()?;
    for (what, suite) in ROOTS {
        say::timed(&format!("runs with {what}"), || {
            let work = tempfile::tempdir()?;
            let root = match suite {
                Some(suite) => unpack(suite, &LIBRARIES, work.path())?,
                None => work.path().join("root"),
            };
            lay_out(&root, program)?;
            let version = in_root(&root, &["version", "--json"]).output()?;
            ensure!(
                version.status.success(),
                "with {what}, `larder version` fails: {version:?}"
            );
            for name in NAMES {
                registry.is_found_by(&root, name)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn lay_out(root: &Path, program: &Path) -> Result<()> {
    for folder in ["etc", "tmp", "home"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy(program, root.join("larder"))?;
    fs::set_permissions(root.join("larder"), fs::Permissions::from_mode(0o755))?;
    fs::write(root.join("etc/hosts"), format!("127.0.0.1 {}\n", NAMES[0]))?;
    fs::write(root.join("etc/nsswitch.conf"), SWITCH)?;
    fs::write(
        root.join("etc/resolv.conf"),
        format!("nameserver {SERVER}\noptions timeout:2\n"),
    )?;
    Ok(())
}

fn in_root(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("chroot");
    command.arg(root).arg("/larder").args(arguments);
    command.env_clear().env("HOME", "/home");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// A registry that refuses, and tells by which names it was asked.
struct Registry {
    port: u16,
    asked: Receiver<String>,
}

impl Registry {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let (sender, asked) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut head = [0; 1024];
                let Ok(mut stream) = stream else { continue };
                let read = stream.read(&mut head).unwrap_or_default();
                let refused =
                    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                // Whoever asked may have gone.
                let _ = stream.write_all(refused);
                let text = String::from_utf8_lossy(&head[..read]).into_owned();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Ok(Self { port, asked })
    }

    /// Asks for an image, and sees that the question comes.
    fn is_found_by(&self, root: &Path, name: &str) -> Result<()> {
        let host = format!("{name}:{}", self.port);
        let output = in_root(root, &["image", &format!("{host}/a:1")])
            .args(["--insecure-registry", &host])
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let head = self.asked.recv_timeout(ANSWER_MAX);
        let head =
            head.with_context(|| format!("nobody asked {host}: {} {said}", output.status))?;
        ensure!(head.contains(name), "{host} was not asked: {head}");
        while self.asked.try_recv().is_ok() {}
        Ok(())
    }
}
