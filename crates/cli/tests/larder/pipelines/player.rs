//! Plays a CI system: machines with a checkout, its variables, and the steps of a configuration.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Map, Value, json};

use super::systems::{Step, System, jenkinsfile};
use crate::kit::{SMALL, Store, context, text, wait_for};
use crate::machine::Machine;

/// What the network holds: `install.sh`, for curl and wget alike.
const FETCH: &str = "#!/bin/sh
for address; do :; done
case $address in
    */install.sh) exec cat \"$INSTALL_SH\" ;;
    *) echo \"no $address here\" >&2; exit 1 ;;
esac
";
/// What a release's program does in a rehearsal.
const TELL: &str = "[ -z \"$REHEARSED\" ] || {
    echo \"larder was told to $1 with $LARDER_STORE $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY $AWS_REGION\" >&2
    exit
}
";
/// A store with credentials, and these.
const CLOUD: &str = "s3://ci-cache/larder";
const SECRETS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "an-id"),
    ("AWS_SECRET_ACCESS_KEY", "a+secret/="),
    ("AWS_REGION", "eu-west-1"),
];
/// Reads a YAML file, of several documents the last, and prints it as JSON.
const AS_JSON: &str = "import json, sys
from ruamel.yaml import YAML
json.dump(list(YAML(typ='safe').load_all(open(sys.argv[1])))[-1], sys.stdout)";

/// A job on a machine of its own.
pub(crate) struct Player {
    machine: Machine,
    system: System,
    pub checkout: PathBuf,
    /// Its environment, which steps add to.
    pub environment: BTreeMap<String, String>,
    /// What is given by name alone.
    secrets: Vec<(&'static str, &'static str)>,
    /// What lies over the machine's own files.
    laid_over: Vec<&'static str>,
    /// The process number of a server that it runs.
    server: Option<String>,
}

impl Player {
    /// A machine of a CI system's with a checkout, and the store that configurations are to name.
    pub(crate) fn new(system: System, store: &Store) -> Self {
        let machine = Machine::new();
        // Where the program is installed, on a usual machine.
        machine.run("mount", &["-t", "tmpfs", "none", "/usr/local/bin"]);
        let checkout = context(&machine.path("work"), SMALL);
        let programs = machine.path("programs");
        fs::create_dir(&programs).expect("made");
        for name in ["curl", "wget"] {
            program(&programs.join(name), FETCH);
        }
        let release = release(&machine);
        let path = std::env::var("PATH").expect("a path");
        let pairs = system.variables.split_whitespace().map(|pair| {
            let (name, value) = pair.split_once('=').expect("NAME=VALUE");
            (name.to_owned(), value.to_owned())
        });
        let mut environment: BTreeMap<String, String> = pairs.collect();
        let repository = repository(&machine);
        for (name, value) in [
            (
                "PATH",
                format!("/usr/local/bin:{}:{path}", programs.display()),
            ),
            ("HOME", machine.path("home").display().to_string()),
            ("LARDER_STATE", machine.state().display().to_string()),
            ("LARDER_URL", release.display().to_string()),
            (
                "INSTALL_SH",
                repository.join("install.sh").display().to_string(),
            ),
            ("STORE", store.url()),
        ] {
            environment.insert(name.to_owned(), value);
        }
        let mut player = Self {
            machine,
            system,
            checkout,
            environment,
            secrets: Vec::new(),
            laid_over: vec!["/usr/local/bin"],
            server: None,
        };
        player.has_its_user();
        if let Some((name, _)) = system.file_of_steps {
            let file = player.file(name).display().to_string();
            player.environment.insert(name.to_owned(), file);
        }
        if system.has_service {
            player.has_an_engine();
        }
        player
    }

    /// Whoever runs the steps: in docker's group and allowed to use sudo, as on vendors' machines.
    fn has_its_user(&mut self) {
        let Some(user) = self.system.user else { return };
        let home = self.environment["HOME"].clone();
        let docker = |line: &str| match line.split(':').next() {
            Some("docker") if line.ends_with(':') => format!("{line}{user}\n"),
            Some("docker") => format!("{line},{user}\n"),
            _ => format!("{line}\n"),
        };
        let groups = fs::read_to_string("/etc/group").expect("read");
        let groups: String = groups.lines().map(docker).collect();
        let read = |file| fs::read_to_string(file).expect("it is in each Debian, or sudo's");
        for (file, text, mode) in [
            ("/etc/group", format!("{groups}{user}:x:1001:\n"), 0o644),
            // In front of whoever else has the number on this machine.
            (
                "/etc/passwd",
                format!("{user}:*:1001:1001::{home}:/bin/bash\n") + &read("/etc/passwd"),
                0o644,
            ),
            (
                "/etc/sudoers",
                read("/etc/sudoers") + &format!("\n{user} ALL=(ALL) NOPASSWD:ALL\n"),
                0o440,
            ),
        ] {
            let own = self.machine.path(file.rsplit_once('/').expect("a path").1);
            fs::write(&own, text).expect("written");
            fs::set_permissions(&own, fs::Permissions::from_mode(mode)).expect("set");
            let own = own.display().to_string();
            self.machine.run("mount", &["--bind", &own, file]);
            self.laid_over.push(file);
        }
        self.give(Path::new(&home));
        self.give(&self.machine.path("work"));
    }

    /// A file of this repository, where the steps' user may read it.
    pub(crate) fn of_larder(&self, file: &str) -> PathBuf {
        self.machine.path("repository").join(file)
    }

    /// Gives the steps' user a folder, or a file, and all that is in it.
    pub(crate) fn give(&self, path: &Path) {
        if let Some(user) = self.system.user {
            let path = path.display().to_string();
            self.machine.run("chown", &["-R", user, &path]);
        }
    }

    /// An empty file of the agent's that steps write to.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let file = self.checkout.with_file_name(name);
        fs::write(&file, "").expect("written");
        self.give(&file);
        file
    }

    /// The engine that a step's container is given beside it. It ends with the machine.
    fn has_an_engine(&self) {
        let folder = self.machine.path("engine");
        let place = |name: &str| folder.join(name).display().to_string();
        let host = &self.environment["DOCKER_HOST"];
        let mut dockerd = self.machine.command("dockerd");
        dockerd.args(["--tls=false", "--host", host, "--pidfile", &place("pid")]);
        dockerd.args(["--data-root", &place("root"), "--exec-root", &place("exec")]);
        let started = dockerd.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        started.expect("dockerd starts");
        wait_for("the service's engine", || {
            let mut docker = self.machine.command("docker");
            let asked = docker.args(["--host", host, "version"]).output();
            asked.expect("docker starts").status.success().then_some(())
        });
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

    /// The job of the configuration that `larder init` writes, read as its CI system would.
    pub(crate) fn init(&self, store: &str) -> Value {
        let larder = self.machine.path("larder").display().to_string();
        let System { name, file, .. } = self.system;
        let line = format!("{larder} init {name} --force --store {store}");
        let said = self.run(&["sh", "-ec"], &line, true);
        assert!(said.contains(&format!("wrote {file}")), "{said}");
        let written = self.checkout.join(file);
        let whole = match name {
            "jenkins" => jenkinsfile(&fs::read_to_string(written).expect("read")),
            "shell" => json!({ "script": [format!("./{file}")] }),
            _ => yaml(&written),
        };
        let job = whole.pointer(self.system.job).expect("the job");
        job.clone()
    }

    /// Carries a job out: one step after the other, and after one that failed those that always run. It must end
    /// as expected.
    #[track_caller]
    pub(crate) fn play(&mut self, job: &Value, succeeds: bool) -> String {
        let (steps, variables) = self.system.steps(job);
        self.set(&variables);
        let (mut all, mut said) = (true, String::new());
        for step in steps {
            if !all && !step.always {
                continue;
            }
            let output = self.step(&step);
            all &= output.status.success();
            said += &text(&output);
        }
        assert_eq!(all, succeeds, "{said}");
        said
    }

    fn step(&mut self, step: &Step) -> Output {
        let others = self.environment.clone();
        self.set(&step.environment);
        let script = self.filled(&step.script);
        let output = self.attempt(self.system.shell, &script);
        self.environment = others;
        if let Some((name, true)) = self.system.file_of_steps {
            let file = self.environment[name].clone();
            self.take(file.as_ref());
        }
        output
    }

    /// Carries the job out for a store with credentials, with a larder that says what it was given: each has them.
    pub(crate) fn rehearse(&mut self) {
        let (environment, docker) = (
            self.environment.clone(),
            self.machine.path("programs/docker"),
        );
        program(&docker, "#!/bin/sh\n");
        self.environment
            .insert("REHEARSED".to_owned(), "1".to_owned());
        self.secrets = SECRETS.to_vec();
        if self.system.secret.is_none() {
            let all = SECRETS.map(|(name, value)| (name.to_owned(), value.to_owned()));
            self.environment.extend(all);
        }
        let job = self.init(CLOUD);
        let said = self.play(&job, true);
        let verbs = said
            .lines()
            .filter(|line| line.starts_with("larder was told to "));
        let verbs: Vec<&str> = verbs.filter(|line| !line.contains(" version ")).collect();
        let given = SECRETS.map(|(_, value)| value).join(" ");
        for line in &verbs {
            assert!(line.ends_with(&format!(" {CLOUD} {given}")), "{line}");
        }
        assert!(!verbs.is_empty(), "{said}");
        fs::remove_file(docker).expect("removed");
        self.machine.run("rm", &["/usr/local/bin/larder"]);
        (self.environment, self.secrets) = (environment, Vec::new());
        if let Some((name, _)) = self.system.file_of_steps {
            self.file(name);
        }
    }

    /// Runs a script with a shell, in the checkout; it must do as expected.
    #[track_caller]
    pub(crate) fn run(&self, shell: &[&str], script: &str, succeeds: bool) -> String {
        let output = self.attempt(shell, script);
        let said = text(&output);
        assert_eq!(output.status.success(), succeeds, "{script}: {said}");
        said
    }

    fn attempt(&self, shell: &[&str], script: &str) -> Output {
        let mut command = match self.system.user {
            Some(user) => {
                let mut command = self.machine.command("setpriv");
                command.args(["--reuid", user, "--regid", user, "--init-groups", "env"]);
                command
            }
            None => self.machine.command("env"),
        };
        let pairs = self.environment.iter();
        let output = command
            .arg(format!("--chdir={}", self.checkout.display()))
            .args(pairs.map(|(name, value)| format!("{name}={value}")))
            .args(shell)
            .arg(script)
            .output();
        output.expect("it starts")
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
    pub(crate) fn set(&mut self, variables: &Map<String, Value>) {
        for (name, value) in variables {
            let value = self.filled(value.as_str().expect("a text"));
            self.environment.insert(name.clone(), value);
        }
    }

    /// What the system makes of a text before it is used: secrets in the places of their names, and the like.
    pub(crate) fn filled(&self, text: &str) -> String {
        let named = self.system.secret.into_iter().flat_map(|(before, after)| {
            let secrets = self.secrets.iter();
            secrets.map(move |(name, value)| (format!("{before}{name}{after}"), *value))
        });
        let filled = named.fold(text.to_owned(), |text, (place, value)| {
            text.replace(&place, value)
        });
        let replaced = self.system.replaced.iter();
        replaced.fold(filled, |text, (from, to)| text.replace(from, to))
    }

    /// Nothing of the job is left on the machine.
    pub(crate) fn ends_clean(&self) {
        if let Some(server) = &self.server {
            self.machine.run("kill", &[server]);
        }
        for place in &self.laid_over {
            self.machine.run("umount", &[place]);
        }
        // An engine that is none of ours may leave what it likes.
        if !self.system.has_service {
            self.machine.assert_untouched();
        }
    }
}

fn program(path: &Path, script: &str) {
    fs::write(path, script).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
}

/// What of this repository CI systems get: the installer, the action, the orb, the component and the plugin.
fn repository(machine: &Machine) -> PathBuf {
    let folder = machine.path("repository");
    fs::create_dir(&folder).expect("made");
    let copied = Command::new("cp")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .args(["-r", "install.sh", "action.yml", "integrations"])
        .arg(&folder)
        .status();
    assert!(copied.expect("cp starts").success());
    folder
}

/// What `cargo xtask dist` makes, with a program that stands for the one that is tested.
fn release(machine: &Machine) -> PathBuf {
    let folder = machine.path("release");
    fs::create_dir(&folder).expect("made");
    let built = machine.path("larder");
    let script = format!("#!/bin/sh\n{TELL}exec {} \"$@\"\n", built.display());
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
