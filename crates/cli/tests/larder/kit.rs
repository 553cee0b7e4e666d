//! What the tests share: stores in folders, build contexts, waiting.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use tempfile::TempDir;

use crate::machine::LIMIT;

/// Both outputs of a command.
pub(crate) fn text(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    format!("{out}{error}")
}

/// A line that says how often a text is on the disk of the daemon that `pgrep` finds.
pub(crate) fn search(daemon: &str, text: &str) -> String {
    format!(
        r#"disk=$(awk '{{ for (i = 1; i <= NF; i++) if ($i ~ /^\/dev\/loop/) {{ print $i; exit }} }}' \
            "/proc/$(pgrep {daemon})/mountinfo")
        echo "found: $(grep -a -o {text} "$disk" | wc -l)"
        "#
    )
}

/// Waits until `found` answers something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < LIMIT, "waited in vain for {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// A store in a folder, which outlives machines.
pub(crate) struct Store(TempDir);

impl Store {
    pub(crate) fn new() -> Self {
        Self(
            tempfile::Builder::new()
                .prefix("ls")
                .tempdir()
                .expect("a folder"),
        )
    }

    /// Another with the same objects.
    pub(crate) fn copy(&self) -> Self {
        let other = Self::new();
        let mut copying = Command::new("cp");
        copying.args(["--archive", "--no-target-directory"]);
        let copied = copying.arg(self.path()).arg(other.path()).status();
        assert!(copied.expect("cp starts").success());
        other
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.0.path().display())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// All its objects whose path has a folder named `kind`, in the order of their age.
    pub(crate) fn objects(&self, kind: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("listed") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.iter().any(|part| part == kind) {
                    found.push(path);
                }
            }
        }
        found.sort_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok());
        found
    }
}

/// Flips one bit in the middle of every 4 KiB of a file.
pub(crate) fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    for page in bytes.chunks_mut(4096) {
        page[page.len() / 2] ^= 1;
    }
    fs::write(path, bytes).expect("written");
}

/// A build context with a static busybox and a Dockerfile.
pub(crate) fn context(folder: &Path, dockerfile: &str) -> PathBuf {
    let context = folder.join("context");
    fs::create_dir_all(&context).expect("made");
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let busybox = busybox.into_iter().find(|path| path.exists());
    let busybox = busybox.expect("busybox is missing; run `cargo xtask engine`");
    fs::copy(busybox, context.join("busybox")).expect("copied");
    fs::write(context.join("Dockerfile"), dockerfile).expect("written");
    context
}

/// A small image: two steps that run something.
pub(crate) const SMALL: &str = "FROM scratch
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox --install -s /bin\"]
RUN [\"/bin/sh\", \"-c\", \"echo one > /one; date > /date\"]
";

/// The command that builds it.
pub(crate) fn build(context: &Path, tag: &str) -> String {
    format!(
        "docker build --progress plain -t {tag} {}",
        context.display()
    )
}

/// The variables that a template sets for an engine of its own.
pub(crate) const OF_ANOTHER_ENGINE: [(&str, &str); 4] = [
    ("DOCKER_TLS_VERIFY", "1"),
    ("DOCKER_CERT_PATH", "/no/certificates"),
    ("DOCKER_CONTEXT", "none"),
    ("DOCKER_API_VERSION", "1.12"),
];
