//! What the administrator of this machine has set for its engine: in `daemon.json`, and in the options and
//! the environment that dockerd is started with.
//!
//! A dockerd that runs is asked itself, by /proc: that has all that a service's drop-ins, its environment
//! files and wrappers came to. Of one that does not run, systemd knows most.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};
use serde_json::{Map, Value};

use crate::error::{EngineError, Result, if_there};
use crate::tool::SYSTEMCTL;

/// dockerd's own default (moby `daemon/config/config_linux.go`, `setPlatformDefaults`).
const PID_FILE: &str = "/var/run/docker.pid";

/// Go's decoder of this file takes a mark of the byte order (moby `daemon/config/config.go`,
/// `getConflictFreeConfiguration`).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the machine's engine is set to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineSettings {
    /// The keys of its `daemon.json`.
    pub(crate) file: Map<String, Value>,
    /// Its options.
    pub(crate) options: Vec<DaemonOption>,
    /// Its environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Limits that its containers inherit, as options of prlimit(1).
    pub(crate) limits: Vec<String>,
    /// The group that may use its socket.
    pub(crate) socket_group: Option<u32>,
}

/// An option of dockerd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DaemonOption {
    /// Its long name, without the dashes.
    pub name: String,
    pub value: Option<String>,
}

impl fmt::Display for DaemonOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "--{}={value}", self.name),
            None => write!(f, "--{}", self.name),
        }
    }
}

impl MachineSettings {
    /// Looks at the engine that serves `usual_socket`, or would; `daemon_json` is its file if it is not told
    /// of another one.
    pub fn read(daemon_json: &Path, usual_socket: &Path) -> Result<Self> {
        let started = of_running(Path::new(PID_FILE)).or_else(of_unit);
        let started = started.unwrap_or_default();
        let options = options(&started.words);
        let named = options.iter().find(|option| option.name == "config-file");
        let named = named.and_then(|option| option.value.as_deref());
        let socket = fs::metadata(usual_socket);
        Ok(Self {
            file: of_file(named.map_or(daemon_json, Path::new))?,
            options,
            environment: started.environment,
            limits: started.limits,
            socket_group: socket.ok().map(|meta| meta.gid()),
        })
    }
}

/// The settings of a file. One that is missing or empty says nothing.
fn of_file(path: &Path) -> Result<Map<String, Value>> {
    let read = if_there(fs::read(path)).map_err(EngineError::io("cannot read", path))?;
    let text = read.unwrap_or_default();
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
    if text.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(text).map_err(|error| EngineError::Malformed {
        what: "the engine's settings",
        path: path.to_owned(),
        message: error.to_string(),
    })
}

/// How a dockerd was or would be started.
#[derive(Debug, Default, PartialEq, Eq)]
struct Started {
    /// Its arguments.
    words: Vec<String>,
    environment: Vec<(String, String)>,
    limits: Vec<String>,
}

/// The one that runs, by its pid file.
fn of_running(pid_file: &Path) -> Option<Started> {
    let pid: u32 = fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    let process = PathBuf::from(format!("/proc/{pid}"));
    // A number may be a stranger's by now.
    let name = fs::read_to_string(process.join("comm")).ok()?;
    (name.trim() == "dockerd").then_some(())?;
    let words = strings(&fs::read(process.join("cmdline")).ok()?);
    let environment = strings(&fs::read(process.join("environ")).ok()?);
    let limits = fs::read_to_string(process.join("limits")).ok()?;
    Some(Started {
        words: words.into_iter().skip(1).collect(),
        environment: assignments(&environment),
        limits: limits.lines().filter_map(limit).collect(),
    })
}

/// Limits that services set for the sake of containers (`LimitNOFILE=`, …): as /proc names them, as
/// prlimit(1) does, and ours.
const LIMITS: [(&str, &str, Resource); 4] = [
    ("Max core file size ", "core", Resource::Core),
    ("Max processes ", "nproc", Resource::Nproc),
    ("Max open files ", "nofile", Resource::Nofile),
    ("Max locked memory ", "memlock", Resource::Memlock),
];

/// One line of `/proc/PID/limits`, no higher than what we may set without a privilege.
fn limit(line: &str) -> Option<String> {
    let mut known = LIMITS.iter();
    let (text, name, resource) = known.find(|(text, ..)| line.starts_with(text))?;
    let most = getrlimit(*resource).maximum;
    let mut values = line[text.len()..].split_whitespace();
    let [soft, hard] = [
        bounded(values.next()?, most)?,
        bounded(values.next()?, most)?,
    ];
    Some(format!("--{name}={soft}:{hard}"))
}

/// A limit as both programs write it, at most this.
fn bounded(text: &str, most: Option<u64>) -> Option<String> {
    let limit: u64 = match text {
        "unlimited" => u64::MAX,
        number => number.parse().ok()?,
    };
    match limit.min(most.unwrap_or(u64::MAX)) {
        u64::MAX => Some("unlimited".to_owned()),
        number => Some(number.to_string()),
    }
}

/// Texts that each end with a zero byte.
fn strings(bytes: &[u8]) -> Vec<String> {
    let texts = bytes.split(|&byte| byte == 0).map(String::from_utf8_lossy);
    texts
        .filter(|text| !text.is_empty())
        .map(Cow::into_owned)
        .collect()
}

/// The one that systemd would start. Without systemd there is nothing to know.
fn of_unit() -> Option<Started> {
    let arguments = ["show", "--property=ExecStart,Environment", "docker.service"];
    let output = SYSTEMCTL.output(&arguments, "").ok()?;
    let shown = output.status.success().then_some(output.stdout)?;
    Some(of_shown(&String::from_utf8_lossy(&shown)))
}

/// `ExecStart={ path=/usr/bin/dockerd ; argv[]=/usr/bin/dockerd -H fd:// ; ignore_errors=no ; … }` and
/// `Environment=A=1 "B=2 3"`.
fn of_shown(shown: &str) -> Started {
    let mut started = Started::default();
    for line in shown.lines() {
        if let Some(assigned) = line.strip_prefix("Environment=") {
            started.environment = assignments(&words(assigned));
        } else if let Some((_, rest)) = line.split_once("argv[]=") {
            let argv = rest.split(" ; ").next().unwrap_or(rest);
            // What stands for the content of an environment file is not known.
            let words = words(argv).into_iter().skip(1);
            started.words = words.filter(|word| !word.starts_with('$')).collect();
        }
    }
    started
}

/// Words between spaces; quotation marks hold together.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("there is always one").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn assignments(texts: &[String]) -> Vec<(String, String)> {
    let pairs = texts.iter().filter_map(|text| text.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Reads arguments of dockerd, which has no others than options: a word without a dash is the value of
/// the option before it (spf13/pflag).
fn options(words: &[String]) -> Vec<DaemonOption> {
    let mut options: Vec<DaemonOption> = Vec::new();
    for word in words {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let name = name.to_owned();
            options.push(DaemonOption { name, value });
        } else if let Some(short) = word.strip_prefix('-') {
            options.extend(short_option(short));
        } else if let Some(before) = options.last_mut() {
            before.value.get_or_insert_with(|| word.clone());
        }
    }
    options
}

/// One letter, and its value if that follows at once: `-Hfd://`, `-H=fd://`.
fn short_option(text: &str) -> Option<DaemonOption> {
    let mut rest = text.chars();
    let name = match rest.next()? {
        'D' => "debug",
        'G' => "group",
        'H' => "host",
        'b' => "bridge",
        'g' => "data-root",
        'l' => "log-level",
        'p' => "pidfile",
        's' => "storage-driver",
        _ => text,
    };
    let value = rest.as_str().trim_start_matches('=');
    Some(DaemonOption {
        name: name.to_owned(),
        value: (!value.is_empty()).then(|| value.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<(String, Option<String>)> {
        let options = options(&words(line)).into_iter();
        options.map(|option| (option.name, option.value)).collect()
    }

    fn option(name: &str, value: Option<&str>) -> (String, Option<String>) {
        (name.to_owned(), value.map(str::to_owned))
    }

    #[test]
    fn options_are_read_as_dockerd_reads_them() {
        assert_eq!(
            read("-H fd:// --mtu=1400 --icc=false --init --log-opt max-size=1m -Gci -s=btrfs"),
            [
                option("host", Some("fd://")),
                option("mtu", Some("1400")),
                option("icc", Some("false")),
                option("init", None),
                option("log-opt", Some("max-size=1m")),
                option("group", Some("ci")),
                option("storage-driver", Some("btrfs")),
            ]
        );
    }

    #[test]
    fn a_stopped_service_is_known_by_what_systemd_shows() {
        let started = of_shown(
            "ExecStart={ path=/usr/bin/dockerd ; argv[]=/usr/bin/dockerd -H fd:// --mtu 1400 $OPTIONS ; \
             ignore_errors=no ; start_time=[n/a] }\nEnvironment=HTTPS_PROXY=http://p:1 \"NO_PROXY=a, b\"\n",
        );
        assert_eq!(started.words, ["-H", "fd://", "--mtu", "1400"]);
        let environment = [("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "a, b")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(started.environment, environment);
    }

    #[test]
    fn a_missing_file_is_no_settings_and_a_broken_one_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("daemon.json");
        assert_eq!(of_file(&path).expect("missing is fine"), Map::new());
        fs::write(&path, b"\xef\xbb\xbf{\"mtu\": 1400}").expect("written");
        assert_eq!(of_file(&path).expect("read")["mtu"], 1400);
        fs::write(&path, "{").expect("written");
        let error = of_file(&path).expect_err("broken").to_string();
        assert!(error.contains("daemon.json"), "{error}");
    }

    #[test]
    fn limits_are_no_higher_than_ours() {
        assert_eq!(bounded("4096", Some(1024)).as_deref(), Some("1024"));
        assert_eq!(bounded("unlimited", Some(1024)).as_deref(), Some("1024"));
        assert_eq!(bounded("unlimited", None).as_deref(), Some("unlimited"));
        let line = "Max open files            16                   17                   files     ";
        assert_eq!(limit(line).as_deref(), Some("--nofile=16:17"));
        assert_eq!(
            limit("Max stack size            1                    2      bytes"),
            None
        );
    }

    #[test]
    fn only_dockerd_is_asked() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("docker.pid");
        fs::write(&path, std::process::id().to_string()).expect("written");
        assert_eq!(of_running(&path), None);
    }
}
