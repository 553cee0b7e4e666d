//! Bringing a storage to rest: no pods, no containers, none of builds that were broken off, no networks of the job.
//!
//! Nothing here decides whether the volume is published, so nothing here fails: what did not work is told.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use larder_engine::clean_up;
use larder_engine::process::Identity;

use crate::Result;
use crate::program::Podman;
use crate::storage::{Storage, VARIABLE};

/// The containers, running or not. External ones are buildah's, and those of builds.
const CONTAINERS: [&str; 4] = ["ps", "--all", "--external", "--quiet"];
/// What is tried in turn as long as there are containers: they are killed, and need not be waited for then.
const REMOVALS: [&[&str]; 3] = [
    &["kill", "--all"],
    &["pod", "rm", "--all", "--force"],
    &["rm", "--all", "--force"],
];
const COMMANDS: [&str; 3] = ["podman", "buildah", "catatonit"];
const NETWORKS: [&str; 4] = ["network", "ls", "--format", "{{.Name}}"];
/// Time for a listing of what is on the machine, not on the volume.
const LIST_LIMIT: Duration = Duration::from_secs(20);

impl Podman {
    /// The names of the networks that there are: those of the machine, if the job has not begun.
    pub fn networks(&self) -> Result<Vec<String>> {
        let text = self.ask(&NETWORKS, LIST_LIMIT)?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Ends commands that still work, removes all pods and containers, and networks that the machine did not have, within `limit`. What did not
    /// work is answered, one sentence each.
    pub fn rest(&self, of_machine: &[String], limit: Duration) -> Vec<String> {
        // A build in the background, and the process that keeps a user's namespaces.
        clean_up::end_meant(is_command_of(self.storage.run()), limit);
        let mut resting = Resting {
            podman: self,
            until: Instant::now() + limit,
            warnings: Vec::new(),
        };
        let outcome = resting.remove_containers();
        resting.note("containers could not be listed", outcome);
        let outcome = resting.remove_networks(of_machine);
        resting.note("networks could not be listed", outcome);
        resting.warnings
    }
}

struct Resting<'a> {
    podman: &'a Podman,
    until: Instant,
    warnings: Vec<String>,
}

impl Resting<'_> {
    fn remove_containers(&mut self) -> Result<()> {
        if self.list(&CONTAINERS)?.is_empty() {
            return Ok(());
        }
        for removal in REMOVALS {
            // What one of them leaves is the next one's, and what all leave is told below.
            if let Err(error) = self.podman.ask(removal, self.left()) {
                tracing::info!(%error, "containers are removed another way");
            }
        }
        for id in self.list(&CONTAINERS)? {
            let removed = self.podman.ask(&["rm", "--force", &id], self.left());
            self.note(&format!("container {id:.12} was not removed"), removed);
        }
        Ok(())
    }

    fn remove_networks(&mut self, of_machine: &[String]) -> Result<()> {
        let all = self.list(&NETWORKS)?;
        for name in all.iter().filter(|name| !of_machine.contains(name)) {
            let removed = self
                .podman
                .ask(&["network", "rm", "--force", name], self.left());
            self.note(&format!("network {name} was not removed"), removed);
        }
        Ok(())
    }

    fn list(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let text = self.podman.ask(arguments, self.left())?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    fn note<T>(&mut self, what: &str, outcome: Result<T>) {
        if let Err(error) = outcome {
            self.warnings.push(format!("{what}: {error}"));
        }
    }
}

/// Ends what works in the storage of a session with this run directory, which may be gone: podman cannot be asked then.
/// Answers what does not end.
pub fn end_users(run: &Path, limit: Duration) -> Vec<Identity> {
    let works = is_command_of(run);
    let ended = clean_up::end_meant(
        |pid, arguments| is_container(arguments) || works(pid, arguments),
        limit,
    );
    ended.stuck
}

/// A container has a process of conmon's, with its directory of the storage (`-b`, podman
/// `libpod/oci_conmon_common.go`, `getConmonArgs`).
fn is_container(arguments: &[&[u8]]) -> bool {
    let mut pairs = arguments.windows(2);
    pairs.any(|pair| {
        let bundle = Path::new(OsStr::from_bytes(pair[1]));
        pair[0] == b"-b"
            && Storage::graph_roots()
                .iter()
                .any(|root| bundle.starts_with(root))
    })
}

/// What works in the storage: podman or buildah with it in its environment, or named by the conmon whose container has
/// ended, and what keeps a user's namespaces (`catatonit`, since podman 4.4).
fn is_command_of(run: &Path) -> impl Fn(i32, &[&[u8]]) -> bool {
    let variable = format!("{VARIABLE}={}", Storage::file(run).display());
    let roots = Storage::graph_roots().map(|root| root.as_os_str().as_bytes());
    move |pid, arguments| {
        let program = arguments.first().copied().unwrap_or_default();
        let name = program.rsplit(|byte| *byte == b'/').next();
        if !name.is_some_and(|name| COMMANDS.iter().any(|command| name == command.as_bytes())) {
            return false;
        }
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        let mut pairs = arguments.windows(2);
        variables.any(|one| one == variable.as_bytes())
            || pairs.any(|pair| pair[0] == b"--root" && roots.contains(&pair[1]))
    }
}
