//! Plays a CI system: machines with a checkout, its variables, and the steps of a configuration.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::kit::{SMALL, Store, context, text};
use crate::machine::Machine;

/// What GitHub's runner says of a job of the main branch.
pub(crate) const GITHUB: &str = "CI=true GITHUB_ACTIONS=true GITHUB_REPOSITORY=shop/web GITHUB_JOB=image \
    GITHUB_EVENT_NAME=push GITHUB_REF=refs/heads/main GITHUB_WORKFLOW=image";

/// What the network holds: `install.sh`, for curl and wget alike.
const FETCH: &str = "#!/bin/sh
for address; do :; done
case $address in
    */install.sh) exec cat \"$INSTALL_SH\" ;;
    *) echo \"no $address here\" >&2; exit 1 ;;
esac
";
/// The machine's user is root already.
const SUDO: &str = "#!/bin/sh
[ \"$1\" != -E ] || shift
exec \"$@\"
";
/// Prints a YAML file as JSON.
const AS_JSON: &str = "import json, sys
from ruamel.yaml import YAML
json.dump(YAML(typ='safe').load(open(sys.argv[1])), sys.stdout)";

/// A job on a machine of its own.
pub(crate) struct Player {
    machine: Machine,
    pub checkout: PathBuf,
    /// Its environment, which steps add to.
    pub environment: BTreeMap<String, String>,
    /// The process number of a server that it runs.
    server: Option<String>,
}

impl Player {
    /// A machine with a checkout, the variables of a CI system (`NAME=VALUE` by spaces), and the store that
    /// configurations are to name.
    pub(crate) fn new(variables: &str, store: &Store) -> Self {
        let machine = Machine::new();
        // Where the program is installed, on a usual machine.
        machine.run("mount", &["-t", "tmpfs", "none", "/usr/local/bin"]);
        let checkout = context(machine.folder.path(), SMALL);
        let programs = machine.path("programs");
        fs::create_dir(&programs).expect("made");
        for (name, script) in [("curl", FETCH), ("wget", FETCH), ("sudo", SUDO)] {
            program(&programs.join(name), script);
        }
        let release = release(&machine);
        let path = std::env::var("PATH").expect("a path");
        let pairs = variables.split_whitespace().map(|pair| {
            let (name, value) = pair.split_once('=').expect("NAME=VALUE");
            (name.to_owned(), value.to_owned())
        });
        let mut environment: BTreeMap<String, String> = pairs.collect();
        let install = concat!(env!("CARGO_MANIFEST_DIR"), "/../../install.sh");
        for (name, value) in [
            (
                "PATH",
                format!("/usr/local/bin:{}:{path}", programs.display()),
            ),
            ("HOME", machine.path("home").display().to_string()),
            ("LARDER_STATE", machine.state().display().to_string()),
            ("LARDER_URL", release.display().to_string()),
            ("INSTALL_SH", install.to_owned()),
            ("STORE", store.url()),
        ] {
            environment.insert(name.to_owned(), value);
        }
        Self {
            machine,
            checkout,
            environment,
            server: None,
        }
    }

    /// Has the release on a server, and wget alone to fetch it with.
    pub(crate) fn fetches_from_a_server(&mut self) {
        let (release, programs) = (self.machine.path("release"), self.machine.path("programs"));
        let install = Path::new(&self.environment["INSTALL_SH"]);
        fs::copy(install, release.join("install.sh")).expect("copied");
        fs::remove_file(programs.join("curl")).expect("removed");
        program(
            &programs.join("wget"),
            "#!/bin/sh\nexec busybox wget \"$@\"\n",
        );
        let folder = release.display().to_string();
        // It goes to the background once it listens, and would keep the output open that is waited for.
        let serve = "busybox httpd -p 127.0.0.1:8000 -h \"$0\" < /dev/null > /dev/null 2>&1; \
                     for p in /proc/[0-9]*; do if read -r name < $p/comm && [ $name = busybox ]; then echo ${p#/proc/}; fi; done";
        let server = self.machine.run("sh", &["-c", serve, &folder]);
        self.server = Some(server.trim().to_owned());
        let url = "http://127.0.0.1:8000".to_owned();
        self.environment.insert("LARDER_URL".to_owned(), url);
    }

    /// The configuration that `larder init` writes, read as its CI system would.
    pub(crate) fn init(&self, system: &str, file: &str) -> Value {
        let larder = self.machine.path("larder").display().to_string();
        let line = format!("{larder} init {system} --store $STORE");
        let said = self.run(&["sh", "-ec"], &line, true);
        assert!(said.contains(&format!("wrote {file}")), "{said}");
        yaml(&self.checkout.join(file))
    }

    /// Runs a script with a shell, in the checkout; it must do as expected.
    #[track_caller]
    pub(crate) fn run(&self, shell: &[&str], script: &str, succeeds: bool) -> String {
        let mut command = self.machine.command("env");
        let output = command
            .arg(format!("--chdir={}", self.checkout.display()))
            .args(
                self.environment
                    .iter()
                    .map(|(name, value)| format!("{name}={value}")),
            )
            .args(shell)
            .arg(script)
            .stdin(Stdio::null())
            .output();
        let output = output.expect("it starts");
        assert_eq!(
            output.status.success(),
            succeeds,
            "{script}: {}",
            text(&output)
        );
        text(&output)
    }

    /// Adds what a step wrote to a file of `NAME=VALUE` lines.
    pub(crate) fn take(&mut self, file: &Path) {
        let lines = fs::read_to_string(file).expect("read");
        for line in lines.lines() {
            let (name, value) = line.split_once('=').expect("NAME=VALUE");
            self.environment.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Adds what a configuration sets.
    pub(crate) fn set(&mut self, variables: &Value) {
        for (name, value) in variables.as_object().into_iter().flatten() {
            let value = evaluated(value.as_str().expect("a text"));
            self.environment.insert(name.clone(), value);
        }
    }

    /// Somebody commits a change.
    pub(crate) fn change(&self, name: &str) {
        fs::write(self.checkout.join(name), "changed").expect("written");
    }

    /// Nothing of the job is left on the machine.
    pub(crate) fn ends_clean(&self) {
        if let Some(server) = &self.server {
            self.machine.run("kill", &[server]);
        }
        self.machine.run("umount", &["/usr/local/bin"]);
        self.machine.assert_untouched();
    }
}

/// What GitHub makes of a value: the jobs here have no matrix.
pub(crate) fn evaluated(value: &str) -> String {
    value.replace("${{ toJSON(matrix) }}", "null")
}

fn program(path: &Path, script: &str) {
    fs::write(path, script).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
}

/// What `cargo xtask dist` makes, with a program that stands for the one that is tested.
fn release(machine: &Machine) -> PathBuf {
    let folder = machine.path("release");
    fs::create_dir(&folder).expect("made");
    let built = machine.path("larder");
    let script = format!("#!/bin/sh\nexec {} \"$@\"\n", built.display());
    program(&folder.join("larder"), &script);
    let line = "tar -czf larder-$(uname -m)-linux.tar.gz ./larder; sha256sum larder-* > SHA256SUMS";
    let made = Command::new("sh")
        .current_dir(&folder)
        .args(["-ec", line])
        .status();
    assert!(made.expect("sh starts").success());
    folder
}

/// A YAML file, read by the Python that checks files against schemas.
pub(crate) fn yaml(file: &Path) -> Value {
    let checker = std::env::var_os("LARDER_TEST_SCHEMAS").map(PathBuf::from);
    let checker = checker.expect("LARDER_TEST_SCHEMAS is not set; run `cargo xtask test`");
    let python = checker.with_file_name("python");
    let output = Command::new(python)
        .args(["-c", AS_JSON])
        .arg(file)
        .output();
    let output = output.expect("python starts");
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
