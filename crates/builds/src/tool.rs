//! Asking the tools of record: what compose and bake files mean is what `docker compose` and `docker
//! buildx` of this machine say, as they will when they build.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use larder_local::checkout::Checkout;
use larder_local::child::{Limits, ask};
use larder_local::people::Blame;
use larder_local::programs;
use tempfile::NamedTempFile;

use crate::bake;
use crate::compose::Project;
use crate::description::Description;
use crate::fault::{Fault, shortened};
use crate::files::read;
use crate::options::{Asked, DEFAULT_PLATFORM};

/// Either tool answers within a tenth of a second. A remote `include` is fetched, which takes longer. A
/// longer answer describes no project that anybody has.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(30),
    bytes: 64 << 20,
};
/// Our own settings, which no tool needs.
const OURS: &str = "LARDER_";
/// Variables for which the tools read certificates and contexts before anything else, though a file can be
/// read without an engine: a template of the CI system may name those of another job.
const OF_AN_ENGINE: [&str; 3] = ["DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY"];
/// What a tool sees in the place of a value that is none of its business: a file that demands the
/// variable (`${AWS_SECRET_ACCESS_KEY:?}`) is still read.
const WITHHELD: &str = "withheld";

/// Files that a tool reads without being told.
const USUAL_FILES: [&str; 9] = [
    ".env",
    "compose.yaml",
    "compose.yml",
    "compose.override.yaml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "docker-compose.override.yml",
    "docker-bake.json",
    "docker-bake.hcl",
];

/// The variables by which compose is told its files, and those with variables (compose-go `consts/consts.go`).
pub(crate) const COMPOSE_FILE: &str = "COMPOSE_FILE";
const SEPARATOR: &str = "COMPOSE_PATH_SEPARATOR";
const ENV_FILES: &str = "COMPOSE_ENV_FILES";

/// The one service of a project that shows what a variable is.
const PROBE: &str = "larder";

/// A plugin of the docker command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tool {
    /// The kind of file that it reads.
    pub(crate) kind: &'static str,
    /// The command, as people write it.
    pub(crate) command: &'static str,
    /// What makes it say what its files mean.
    print: &'static str,
    /// The packages that bring it: Docker's own, Ubuntu's and Debian's.
    packages: &'static str,
}

pub(crate) const COMPOSE: Tool = Tool {
    kind: "compose",
    command: "docker compose",
    print: "docker compose config --format json",
    packages: "docker-compose-plugin (Docker), docker-compose-v2 (Ubuntu) or docker-compose (Debian 13)",
};
pub(crate) const BAKE: Tool = Tool {
    kind: "bake",
    command: "docker buildx",
    print: "docker buildx bake --print",
    packages: "docker-buildx-plugin (Docker) or docker-buildx (Ubuntu, Debian 13)",
};

impl Tool {
    fn missing(self, has_docker: bool) -> Fault {
        let what = if has_docker {
            "the docker command here does not have it: install"
        } else {
            "there is no docker command here: install docker-cli and"
        };
        let message = format!(
            "{} files are read by `{}`, and {what} {}; or write the output of `{}` to a file \
             elsewhere and name that with -f",
            self.kind, self.command, self.packages, self.print
        );
        Fault::of(Blame::Machine, message)
    }
}

pub(crate) struct Question<'a> {
    pub(crate) tool: Tool,
    pub(crate) asked: &'a Asked<'a>,
}

impl Question<'_> {
    /// What is built, and the builds that were asked for.
    pub(crate) fn ask(&self) -> Result<(Description, Vec<String>), Fault> {
        let (description, only) = match self.tool {
            COMPOSE => (self.compose()?, &self.asked.build.only[..]),
            // It says nothing but what was asked for.
            _ => (self.bake()?, &[][..]),
        };
        let wanted = description.wanted(only);
        Ok((description, wanted))
    }

    fn bake(&self) -> Result<Description, Fault> {
        let arguments = words(&["buildx", "bake", "--print", "--progress=plain"])
            .chain(each("-f", &self.asked.build.files))
            .chain(each("--set", &self.asked.build.overrides))
            .chain(words(&["--"]))
            .chain(words(&self.asked.build.only));
        self.run(arguments, bake::parse)
    }

    /// Services that were asked for are built with what they need, and that may be an image of any
    /// other: so all are asked for. One that is only there if it is named, because of its profile, is
    /// named.
    fn compose(&self) -> Result<Description, Fault> {
        let only = &self.asked.build.only;
        let mut project = self.project(&[])?;
        if !only.iter().all(|it| project.services.contains_key(it)) {
            project = self.project(only)?;
        }
        project.describe(&self.default_platform()?)
    }

    /// The files with variables that compose reads for a project in this folder.
    fn variable_files(&self, project: &Path) -> Vec<PathBuf> {
        let listed = self.asked.around.variable(ENV_FILES);
        match (&self.asked.build.env_files[..], listed) {
            ([], Some(list)) => list.split(',').map(PathBuf::from).collect(),
            ([], None) => vec![project.join(".env")],
            (named, _) => named.to_vec(),
        }
    }

    /// The folder of the project: that of its first file.
    fn project_folder(&self) -> PathBuf {
        let around = self.asked.around;
        let separator = around.variable(SEPARATOR).map_or(":", String::as_str);
        let listed = around.variable(COMPOSE_FILE);
        let listed = listed.and_then(|list| list.split(separator).next());
        let named = self.asked.build.files.first().map(PathBuf::as_path);
        let first = named.or(listed.map(Path::new));
        let folder = first.and_then(Path::parent).unwrap_or(Path::new(""));
        self.asked.folder.join(folder)
    }

    /// The platform of services that name none. compose takes it from such a file too, and alone knows how
    /// to read one: a project of one service shows it.
    fn default_platform(&self) -> Result<String, Fault> {
        let (build, folder) = (self.asked.build, &self.asked.folder);
        if let Some(set) = self.asked.around.environment.get(DEFAULT_PLATFORM) {
            return Ok(set.clone());
        }
        let project = self.project_folder();
        let files = self.variable_files(&project);
        let texts = files.iter().map(|file| read(&folder.join(file), file));
        let mut texts = texts.flatten();
        if !texts.any(|text| String::from_utf8_lossy(&text).contains(DEFAULT_PLATFORM)) {
            return Ok(String::new());
        }
        let text = format!(
            r#"{{"services":{{"{PROBE}":{{"image":"{PROBE}","platform":"${{{DEFAULT_PLATFORM}:-}}"}}}}}}"#
        );
        let probe = NamedTempFile::new().and_then(|file| fs::write(&file, text).map(|()| file));
        let probe =
            probe.map_err(|error| Fault::of(Blame::Ours, format!("no temporary file: {error}")))?;
        let (project, probe) = ([project], [probe.path()]);
        let arguments = words(&["compose"])
            .chain(each("--project-directory", &project))
            .chain(each("--env-file", &build.env_files))
            .chain(each("-f", &probe))
            .chain(words(&["config", "--format", "json"]));
        let mut services = self.run(arguments, Project::parse)?.services;
        let platform = services.remove(PROBE).map(|probe| probe.platform);
        Ok(platform.unwrap_or_default())
    }

    fn project(&self, names: &[String]) -> Result<Project, Fault> {
        self.config(&[], names).or_else(|fault| {
            // Newer versions build where a file with variables for containers is missing, and this is
            // how they are told to write the project then; older ones do not know it.
            let again = self.config(&["--no-env-resolution"], names);
            again.map_err(|_| fault)
        })
    }

    fn config(&self, more: &[&str], names: &[String]) -> Result<Project, Fault> {
        let arguments = words(&["compose"])
            .chain(each("-f", &self.asked.build.files))
            .chain(each("--profile", &self.asked.build.profiles))
            .chain(each("--env-file", &self.asked.build.env_files))
            .chain(words(&["config", "--format", "json"]))
            .chain(words(more))
            .chain(words(&["--"]))
            .chain(words(names));
        self.run(arguments, Project::parse)
    }

    /// What the tool prints.
    fn run<'s, T>(
        &self,
        arguments: impl Iterator<Item = &'s OsStr>,
        parse: fn(&str) -> serde_json::Result<T>,
    ) -> Result<T, Fault> {
        let answer = self.docker(arguments)?;
        if answer.status.success() {
            return parse(&String::from_utf8_lossy(&answer.stdout)).map_err(|error| {
                let print = self.tool.print;
                let message = format!("what `{print}` prints is not understood: {error}");
                Fault::of(Blame::Ours, message)
            });
        }
        // Whether the plugin is there is asked only now: docker itself says that in many ways.
        let version = self.tool.command.split(' ').skip(1).chain(["version"]);
        let version = self.docker(version.map(OsStr::new))?;
        if !version.status.success() {
            return Err(self.tool.missing(true));
        }
        Err(self.refusal(&answer.stderr))
    }

    fn docker<'s>(&self, arguments: impl Iterator<Item = &'s OsStr>) -> Result<Output, Fault> {
        let program = programs::find("docker", &self.asked.around.path);
        let mut command = Command::new(program.ok_or_else(|| self.tool.missing(false))?);
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment())
            // Go asks it for the current folder, and compose writes that into what it says.
            .env("PWD", &self.asked.folder)
            .current_dir(&self.asked.folder);
        ask(&mut command, "", LIMITS).map_err(|error| {
            let message = format!("`{}`: {error}", self.tool.command);
            Fault::of(Blame::Ours, message)
        })
    }

    fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.asked.around.environment.iter();
        all.filter(|(name, _)| !name.starts_with(OURS) && !OF_AN_ENGINE.contains(&name.as_str()))
            .map(|(name, value)| {
                let is_withheld = self.asked.around.withheld.contains(name);
                (name.as_str(), if is_withheld { WITHHELD } else { value })
            })
    }

    /// Whether a message may quote a file that is not in the checkout: it names one, or one of the tool's files
    /// is a link to one. compose quotes lines of the files with variables that it cannot read.
    fn is_of_elsewhere(&self, words: &str) -> bool {
        let build = self.asked.build;
        let seen = [self.asked.checkout(), Checkout::around(&self.asked.folder)];
        let read = build
            .files
            .iter()
            .chain(&build.env_files)
            .map(PathBuf::as_path);
        let usual = USUAL_FILES.iter().map(Path::new);
        let mut all = read.chain(usual).chain(paths(words));
        all.any(|path| {
            let path = self.asked.folder.join(path);
            // Folders and devices have no lines to quote.
            path.is_file() && !seen.iter().any(|folder| folder.holds(&path))
        })
    }

    /// What the tool has against its files, in its own words.
    fn refusal(&self, error: &[u8]) -> Fault {
        let words = last_words(error);
        if self.is_of_elsewhere(&words) {
            let file = self.asked.build.files.first();
            let why = format!(
                "`{}` refuses it, with words about a file outside of the checkout, which are not shown; run it to \
                 see them",
                self.tool.command
            );
            return file.map_or_else(|| Fault::option(&why), |file| Fault::file(file, &why));
        }
        let mut fault = match (place(&words), &self.asked.build.files[..]) {
            (Some((file, line, column, why)), _) => Fault {
                line: Some(line),
                column: Some(column),
                ..Fault::file(Path::new(file), why)
            },
            (None, [file, ..]) => Fault::file(file, words),
            (None, []) => Fault::option(words),
        };
        fault.message = format!("`{}` says: {}", self.tool.command, fault.message);
        fault
    }
}

/// The paths that a message names, as far as it can be told: what stands between spaces, quotes, and marks.
fn paths(words: &str) -> impl Iterator<Item = &Path> {
    let parts = words.split(|c: char| c.is_whitespace() || "\"'`,;()[]=".contains(c));
    // `.env: line 1`, `compose.yaml:3`.
    let parts = parts.flat_map(|part| [part, part.split(':').next().unwrap_or(part)]);
    parts.filter(|part| !part.is_empty()).map(Path::new)
}

fn words(words: &[impl AsRef<OsStr>]) -> impl Iterator<Item = &OsStr> {
    words.iter().map(AsRef::as_ref)
}

fn each<'a>(option: &'a str, values: &'a [impl AsRef<OsStr>]) -> impl Iterator<Item = &'a OsStr> {
    words(values).flat_map(move |value| [OsStr::new(option), value])
}

/// The last line of what a program says of its failure, without its advice to ask for help.
fn last_words(error: &[u8]) -> String {
    let text = String::from_utf8_lossy(error);
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| {
        !(line.is_empty() || line.starts_with("See '") || line.starts_with("Run '"))
    });
    let last = lines
        .next_back()
        .unwrap_or("it failed, and does not say why");
    let last = last.strip_prefix("ERROR: ").unwrap_or(last);
    shortened(last.chars().filter(|c| !c.is_control()).collect())
}

/// `FILE:LINE,COLUMN-END: WHY`, as HCL writes it (hcl `diagnostic.go`, `Diagnostic.Error`).
fn place(words: &str) -> Option<(&str, u32, u32, &str)> {
    let (place, why) = words.split_once(": ")?;
    let (file, range) = place.rsplit_once(':')?;
    let (line, columns) = range.split_once(',')?;
    let (column, _) = columns.split_once('-')?;
    Some((file, line.parse().ok()?, column.parse().ok()?, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_one_plain_line() {
        for (said, words) in [
            ("", "it failed, and does not say why"),
            ("#1 reading\nERROR: a: b\n\n", "a: b"),
            (
                "unknown flag: --x\nSee 'docker --help'.\n",
                "unknown flag: --x",
            ),
            ("a\u{1b}]0;b\u{7}c\r\n", "a]0;bc"),
        ] {
            assert_eq!(last_words(said.as_bytes()), words);
        }
        let long = "x".repeat(100_000);
        assert!(last_words(long.as_bytes()).len() < 1_000);
    }

    #[test]
    fn a_message_names_paths() {
        let said = "failed to read /app/.env: line 1: unexpected character \"$\" in variable \"root:$6$x\"";
        let named: Vec<&Path> = paths(said).collect();
        assert!(named.contains(&Path::new("/app/.env")), "{named:?}");
        for said in ["(/etc/x)", "a='/etc/x'", "/etc/x:3,1-2: Invalid"] {
            assert!(
                paths(said).any(|path| path == Path::new("/etc/x")),
                "{said}"
            );
        }
    }

    #[test]
    fn a_place_is_read() {
        let words = "a:b.hcl:3,9-12: Call to unknown function; no \"md6\"";
        let why = "Call to unknown function; no \"md6\"";
        assert_eq!(place(words), Some(("a:b.hcl", 3, 9, why)));
        let over_lines = "b.hcl:1,65-2,1: Invalid";
        assert_eq!(place(over_lines), Some(("b.hcl", 1, 65, "Invalid")));
        assert_eq!(place("failed to find target default"), None);
        assert_eq!(place("yaml: line 2: did not find"), None);
    }
}
