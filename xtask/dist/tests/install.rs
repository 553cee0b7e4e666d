//! `install.sh`, with a release that is a folder, and one that a server has.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../install.sh");

/// A release of a program that says its name.
struct Release(TempDir);

impl Release {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let line = "echo 'echo larder 9.9' > larder; chmod +x larder; \
            tar -czf larder-$(uname -m)-linux.tar.gz ./larder; sha256sum larder-* > SHA256SUMS";
        let made = Command::new("sh")
            .current_dir(folder.path())
            .args(["-ec", line])
            .status();
        assert!(made.expect("sh starts").success());
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn archive(&self) -> PathBuf {
        let names = fs::read_dir(self.path()).expect("listed");
        let mut paths = names.map(|entry| entry.expect("an entry").path());
        paths
            .find(|path| path.extension().is_some_and(|end| end == "gz"))
            .expect("it is there")
    }
}

/// Installs as a user who is not root, with a home of its own.
fn install(url: &str, home: &Path, more: &[&str]) -> Output {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.args(["sh", "-s", "--"]).args(more).current_dir("/");
    // As from a pipe: the checkout is not this user's.
    command.stdin(fs::File::open(SCRIPT).expect("the script"));
    command.env("LARDER_URL", url).env("HOME", home);
    command.output().expect("setpriv starts")
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// A folder that everybody may write to, and enter from above.
fn home() -> TempDir {
    let home = tempfile::tempdir().expect("a folder");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).expect("set");
    home
}

/// Serves the files of a folder over HTTP, as long as the test runs.
fn serve(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "http://{}/release",
        listener.local_addr().expect("an address")
    );
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &folder);
        }
    });
    url
}

fn answer(mut stream: TcpStream, folder: &Path) {
    let mut lines = BufReader::new(stream.try_clone().expect("shared")).lines();
    let first = lines.next().expect("a request").expect("read");
    while !lines.next().expect("a head").expect("read").is_empty() {}
    let name = first
        .split(' ')
        .nth(1)
        .and_then(|path| path.strip_prefix("/release/"));
    let (status, body) = match fs::read(folder.join(name.expect("a file's path"))) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head = format!(
        "HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all(&[head.as_bytes(), &body].concat())
        .expect("sent");
}

#[test]
fn a_user_installs_from_a_folder() {
    let (release, home) = (Release::new(), home());
    fs::set_permissions(release.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let url = format!("file://{}", release.path().display());
    for _ in 0..2 {
        let output = install(&url, home.path(), &[]);
        let program = home.path().join(".local/bin/larder");
        assert!(
            output.status.success() && program.exists(),
            "{}",
            text(&output)
        );
        assert!(
            text(&output).contains("larder 9.9 installed in "),
            "{}",
            text(&output)
        );
        assert!(
            text(&output).contains("not in your PATH yet"),
            "{}",
            text(&output)
        );
    }
    let there = fs::read_dir(home.path().join(".local/bin")).expect("listed");
    assert_eq!(there.count(), 1, "nothing else is left");
}

#[test]
fn a_server_has_the_release() {
    let (release, home) = (Release::new(), home());
    let url = serve(release.path().to_owned());
    let to = home.path().join("own bin");
    let output = install(&url, home.path(), &["--to", &to.display().to_string()]);
    let said = text(&output);
    // Where neither curl nor wget is there, that is what it says.
    let can = ["curl", "wget"].iter().any(|name| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(name).exists())
    });
    assert_eq!(
        output.status.code(),
        Some(if can { 0 } else { 3 }),
        "{said}"
    );
    assert_eq!(to.join("larder").exists(), can, "{said}");
    assert!(can || said.contains("neither curl nor wget"), "{said}");
}

#[test]
fn what_is_not_what_was_released_is_not_installed() {
    let (release, home) = (Release::new(), home());
    fs::set_permissions(release.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let mut bytes = fs::read(release.archive()).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(release.archive(), bytes).expect("written");
    let url = release.path().display().to_string();
    let output = install(&url, home.path(), &[]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is not what SHA256SUMS says"), "{said}");
    assert!(!home.path().join(".local").exists(), "{said}");
    let output = install("/no/such/release", home.path(), &[]);
    assert!(
        text(&output).contains("name another place with LARDER_URL"),
        "{}",
        text(&output)
    );
    let output = install(&url, home.path(), &["--nonsense"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}
