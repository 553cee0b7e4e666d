//! Asking the tools of record: what compose and bake files mean is what `docker compose` and `docker
//! buildx` of this machine say, as they will when they build.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::bake::Print;
use crate::child::{self, Answer};
use crate::compose::Project;
use crate::describe::Description;
use crate::fault::{Fault, shortened};
use crate::options::DEFAULT_PLATFORM;
use crate::request::{Build, Surroundings};

/// Either tool answers within a tenth of a second. A remote `include` is fetched, which takes longer.
const DEADLINE: Duration = Duration::from_secs(30);
/// A longer answer describes no project that anybody has.
const ANSWER_MAX_BYTES: usize = 64 << 20;
/// Our own settings, which no tool needs.
const OURS: &str = "LARDER_";
/// What a tool sees in the place of a value that is none of its business: a file that demands the
/// variable (`${AWS_SECRET_ACCESS_KEY:?}`) is still read.
const WITHHELD: &str = "withheld";

/// The one service of a project that shows what a variable is.
const PROBE: &str = "larder";

/// A plugin of the docker command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Compose,
    Bake,
}

impl Tool {
    /// The command, as people write it.
    fn command(self) -> &'static str {
        match self {
            Self::Compose => "docker compose",
            Self::Bake => "docker buildx",
        }
    }

    /// What it reads, and the command that says what it means.
    fn reads(self) -> (&'static str, &'static str) {
        match self {
            Self::Compose => ("compose files", "docker compose config --format json"),
            Self::Bake => ("bake files", "docker buildx bake --print"),
        }
    }

    /// The packages that bring it: Docker's own, Ubuntu's and Debian's.
    fn packages(self) -> &'static str {
        match self {
            Self::Compose => {
                "docker-compose-plugin (Docker), docker-compose-v2 (Ubuntu) or docker-compose (Debian 13)"
            }
            Self::Bake => "docker-buildx-plugin (Docker) or docker-buildx (Ubuntu, Debian 13)",
        }
    }

    fn missing(self, docker: bool) -> Fault {
        let (files, answer) = self.reads();
        let (what, cure) = if docker {
            (
                format!("the docker command here has no `{}`", self.command()),
                format!("install {}", self.packages()),
            )
        } else {
            (
                "there is no docker command here".to_owned(),
                format!("install docker-cli and {}", self.packages()),
            )
        };
        Fault::missing(format!(
            "{files} are read by `{}`, and {what}: {cure}; or write the output of `{answer}` to a \
             file elsewhere and name that with -f",
            self.command()
        ))
    }
}

/// One question to a tool.
pub(crate) struct Question<'a> {
    pub(crate) tool: Tool,
    pub(crate) build: &'a Build,
    pub(crate) around: &'a Surroundings,
    /// Where it is asked: the tools find their usual files there.
    pub(crate) folder: &'a Path,
}

impl Question<'_> {
    /// What is built.
    pub(crate) fn ask(&self) -> Result<Description, Fault> {
        match self.tool {
            Tool::Compose => self.compose(),
            Tool::Bake => {
                let said = self.run(self.bake_arguments())?;
                let print = Print::parse(&said).map_err(|error| self.odd(&error))?;
                Ok(print.describe(&[]))
            }
        }
    }

    /// Services that were asked for are built with what they need, and that may be an image of any
    /// other: so all are asked for. One that is only there if it is named, because of its profile, is
    /// named.
    fn compose(&self) -> Result<Description, Fault> {
        let only = &self.build.only;
        let mut project = self.project(&[])?;
        if only.iter().any(|name| !project.has(name)) {
            project = self.project(only)?;
        }
        let usual = self.default_platform()?;
        project.describe(only, usual.as_deref(), self.around)
    }

    /// The platform of services that name none. compose takes it from a `.env` too, and alone knows how
    /// to read one: a project of one service shows it.
    fn default_platform(&self) -> Result<Option<String>, Fault> {
        if let Some(set) = self.around.environment.get(DEFAULT_PLATFORM) {
            return Ok(Some(set.clone()));
        }
        let folder = self.build.files.first().and_then(|file| file.parent());
        let folder = self.folder.join(folder.unwrap_or(Path::new("")));
        let usual = [folder.join(".env")];
        let files = match &self.build.env_files[..] {
            [] => &usual,
            named => named,
        };
        let mut texts = files
            .iter()
            .flat_map(|file| fs::read_to_string(self.folder.join(file)));
        if !texts.any(|text| text.contains(DEFAULT_PLATFORM)) {
            return Ok(None);
        }
        let failed = |error: io::Error| Fault::failed(format!("no temporary file: {error}"));
        let mut probe = tempfile::Builder::new()
            .suffix(".yaml")
            .tempfile()
            .map_err(failed)?;
        let text = format!(
            r#"{{"services":{{"{PROBE}":{{"image":"{PROBE}","platform":"${{{DEFAULT_PLATFORM}:-}}"}}}}}}"#
        );
        probe.write_all(text.as_bytes()).map_err(failed)?;
        let mut arguments: Vec<OsString> = vec!["compose".into()];
        arguments.extend(["--project-directory".into(), folder.into_os_string()]);
        for file in &self.build.env_files {
            arguments.extend(["--env-file".into(), file.into()]);
        }
        arguments.extend(["-f".into(), probe.path().into()]);
        arguments.extend(["config", "--format", "json"].map(OsString::from));
        let said = self.run(arguments)?;
        let project = Project::parse(&said).map_err(|error| self.odd(&error))?;
        Ok(project.platform(PROBE).map(str::to_owned))
    }

    fn project(&self, names: &[String]) -> Result<Project, Fault> {
        let said = self.run(self.compose_arguments(&[], names));
        let said = said.or_else(|fault| {
            // Newer versions build where a file with variables for containers is missing, and this is
            // how they are told to write the project then; older ones do not know it.
            let again = self.compose_arguments(&["--no-env-resolution"], names);
            self.run(again).map_err(|_| fault)
        })?;
        Project::parse(&said).map_err(|error| self.odd(&error))
    }

    fn compose_arguments(&self, more: &[&str], names: &[String]) -> Vec<OsString> {
        let mut arguments = vec!["compose".into()];
        let files = self.build.files.iter().map(|file| ("-f", file.into()));
        let profiles = self.build.profiles.iter();
        let profiles = profiles.map(|name| ("--profile", name.into()));
        let env_files = self.build.env_files.iter();
        let env_files = env_files.map(|file| ("--env-file", file.into()));
        for (option, value) in files.chain(profiles).chain(env_files) {
            arguments.extend([option.into(), value]);
        }
        arguments.extend(["config", "--format", "json"].map(OsString::from));
        arguments.extend(more.iter().map(OsString::from));
        arguments.push("--".into());
        arguments.extend(names.iter().map(OsString::from));
        arguments
    }

    fn bake_arguments(&self) -> Vec<OsString> {
        let options = ["buildx", "bake", "--print", "--progress=plain"];
        let mut arguments: Vec<OsString> = options.map(OsString::from).into();
        let files = self.build.files.iter().map(|file| ("-f", file.into()));
        let overrides = self.build.overrides.iter();
        let overrides = overrides.map(|value| ("--set", value.into()));
        for (option, value) in files.chain(overrides) {
            arguments.extend([option.into(), value]);
        }
        arguments.push("--".into());
        arguments.extend(self.build.only.iter().map(OsString::from));
        arguments
    }

    /// What the tool prints.
    fn run(&self, arguments: Vec<OsString>) -> Result<String, Fault> {
        let answer = self.docker(arguments)?;
        if answer.success {
            return String::from_utf8(answer.out).map_err(|error| self.odd(&error));
        }
        // Whether the plugin is there is asked only now: docker itself says that in many ways.
        let own = match self.tool {
            Tool::Compose => "compose",
            Tool::Bake => "buildx",
        };
        let version = self.docker(vec![own.into(), "version".into()])?;
        if !version.success {
            return Err(self.tool.missing(true));
        }
        Err(self.refusal(&answer.error))
    }

    fn docker(&self, arguments: Vec<OsString>) -> Result<Answer, Fault> {
        let program = larder_local::programs::find("docker", &self.around.path);
        let program = program.ok_or_else(|| self.tool.missing(false))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment())
            // Go asks it for the current folder, and compose writes that into what it says.
            .env("PWD", self.folder)
            .current_dir(self.folder);
        child::ask(&mut command, DEADLINE, ANSWER_MAX_BYTES)
            .map_err(|error| Fault::failed(format!("`{}`: {error}", self.tool.command())))
    }

    fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.around.environment.iter();
        all.filter(|(name, _)| !name.starts_with(OURS))
            .map(|(name, value)| {
                let is_withheld = self.around.withheld.contains(name);
                (name.as_str(), if is_withheld { WITHHELD } else { value })
            })
    }

    /// What the tool has against its files, in its own words.
    fn refusal(&self, error: &[u8]) -> Fault {
        let words = last_words(error);
        let fault = match place(&words) {
            Some((file, line, column, why)) => Fault::file(Path::new(file), why).at(line, column),
            None => match &self.build.files[..] {
                [file, ..] => Fault::file(file, words),
                [] => Fault::option(words),
            },
        };
        let message = format!("`{}` says: {}", self.tool.command(), fault.message);
        Fault { message, ..fault }
    }

    fn odd(&self, error: &dyn std::error::Error) -> Fault {
        let (_, answer) = self.tool.reads();
        Fault::failed(format!("what `{answer}` prints is not understood: {error}"))
    }
}

/// The last line of what a program says of its failure, without its advice to ask for help.
fn last_words(error: &[u8]) -> String {
    let text = String::from_utf8_lossy(error);
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| {
        let is_advice = line.starts_with("See '") || line.starts_with("Run '");
        !line.is_empty() && !is_advice
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
