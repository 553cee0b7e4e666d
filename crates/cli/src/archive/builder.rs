//! Who builds, and how that builder finds restored steps. `docs/ENGINES.md` has the measurements
//! behind this table.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use larder_docker::{About, ImageStore};
use serde::Serialize;

use crate::exit::{Done, Failure};
use crate::settings::BuildChoice;

/// The first docker command that builds with `BuildKit` unless told otherwise.
const BUILDKIT_DEFAULT_MAJOR: u32 = 23;
/// The buildx driver that builds in the engine itself.
const ENGINE_DRIVER: &str = "docker";

/// Who runs the steps of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Builder {
    /// The engine's older builder: each step is an image.
    Classic,
    /// `BuildKit` in the engine.
    Buildkit,
    /// `BuildKit` beside the engine.
    Beside {
        /// The buildx driver, for example `docker-container`.
        driver: String,
    },
}

/// How a builder finds restored steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// By the loaded images' own chain of parents.
    Parents,
    /// `--cache-from` with the image of every stage.
    StageImages,
    /// An inline cache in an image of every stage, and `--cache-from` with these.
    InlineCache,
    /// `BuildKit`'s cache in a folder, by way of the client.
    CacheFolder,
}

impl Strategy {
    /// What `larder build` adds to the arguments of `docker build`.
    pub fn adds(self) -> &'static str {
        match self {
            Self::Parents => "nothing",
            Self::StageImages => "--cache-from ID for each",
            Self::InlineCache => {
                "--build-arg BUILDKIT_INLINE_CACHE=1, --cache-from NAME for each, and a build with \
                 --target for each stage"
            }
            Self::CacheFolder => "--cache-from and --cache-to",
        }
    }
}

impl fmt::Display for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classic => f.write_str("the classic builder"),
            Self::Buildkit => f.write_str("BuildKit in the engine"),
            Self::Beside { driver } => write!(f, "BuildKit by the {driver} driver"),
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parents => "the parents of loaded images",
            Self::StageImages => "--cache-from with the image of every stage",
            Self::InlineCache => "an inline cache in an image of every stage",
            Self::CacheFolder => "BuildKit's cache in a folder (type=local, mode=max)",
        })
    }
}

/// Which builder `docker build` uses: docker/cli `cli/command/cli.go`, `BuildKitEnabled`, and
/// `cmd/docker/builder.go`, `processBuilder`.
pub fn find(choice: &BuildChoice, about: &About, docker: &Docker) -> Done<Builder> {
    let wanted = match choice.buildkit.as_deref() {
        None | Some("") => None,
        Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Some(false),
        Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Some(true),
        Some(other) => {
            return Err(Failure::input(format!(
                "DOCKER_BUILDKIT={other:?} is neither true nor false; write 1 or 0"
            )));
        }
    };
    let by_default = if docker.major >= BUILDKIT_DEFAULT_MAJOR {
        docker.has_buildx
    } else {
        about.prefers_buildkit
    };
    if !wanted.unwrap_or(by_default) {
        return Ok(Builder::Classic);
    }
    // `docker build` uses the engine's own BuildKit, whatever `docker buildx use` says, unless a
    // builder is named.
    let named = choice.builder.as_deref().filter(|name| !name.is_empty());
    Ok(match named.and_then(|name| docker.driver(name)) {
        Some(driver) if driver != ENGINE_DRIVER => Builder::Beside { driver },
        _ => Builder::Buildkit,
    })
}

/// How this builder finds restored steps on this engine; why it cannot.
pub fn strategy(builder: &Builder, about: &About, docker: &Docker) -> Done<Strategy> {
    match (builder, about.image_store.kind()) {
        (Builder::Classic, ImageStore::Overlay2) if about.trusts_loaded_parents() => {
            Ok(Strategy::Parents)
        }
        (Builder::Classic, ImageStore::Overlay2) => Ok(Strategy::StageImages),
        (Builder::Classic, ImageStore::Containerd) => Err(Failure::input(
            "the classic builder cannot use restored images on the containerd image store: it \
             fails on the first metadata instruction (`failed to read diff archive: \"\" failed \
             validation`); build with BuildKit: set DOCKER_BUILDKIT=1 and install docker-buildx",
        )),
        (Builder::Buildkit, ImageStore::Overlay2) => Ok(Strategy::InlineCache),
        (Builder::Buildkit, ImageStore::Containerd) | (Builder::Beside { .. }, _) => {
            if docker.has_buildx && docker.major >= BUILDKIT_DEFAULT_MAJOR {
                return Ok(Strategy::CacheFolder);
            }
            Err(Failure::machine(format!(
                "BuildKit's cache comes and goes by buildx, which `docker build` uses from \
                 {BUILDKIT_DEFAULT_MAJOR}.0 on; this is {}: install docker-cli and docker-buildx",
                docker.version
            )))
        }
    }
}

/// The docker command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Docker {
    /// The program.
    pub program: PathBuf,
    /// Its version.
    pub version: String,
    /// The first number of that.
    pub major: u32,
    /// Whether it has buildx.
    pub has_buildx: bool,
}

impl Docker {
    /// Finds the command and asks what it is.
    pub fn find(search: &[PathBuf]) -> Done<Self> {
        let program = search
            .iter()
            .map(|folder| folder.join("docker"))
            .find(|program| program.is_file())
            .ok_or_else(|| {
                Failure::machine("there is no docker command here; install docker-cli")
            })?;
        // Of the client alone: `docker version` fails where the engine does not answer.
        let said = said(&program, &["--version"]).ok_or_else(|| {
            Failure::machine(format!("{} does not say its version", program.display()))
        })?;
        let version = version_of(&said);
        let major = version.split('.').next().and_then(|text| text.parse().ok());
        Ok(Self {
            has_buildx: self::said(&program, &["buildx", "version"]).is_some(),
            major: major.unwrap_or_default(),
            version,
            program,
        })
    }

    /// The driver of a builder that buildx knows.
    fn driver(&self, builder: &str) -> Option<String> {
        let said = said(&self.program, &["buildx", "inspect", builder])?;
        let driver = said.lines().find_map(|line| line.strip_prefix("Driver:"));
        driver.map(|driver| driver.trim().to_owned())
    }
}

/// `Docker version 26.1.5+dfsg1, build a72d7cd`.
fn version_of(said: &str) -> String {
    let number = said.trim().strip_prefix("Docker version ").unwrap_or(said);
    let end = number.find([',', ' ']).unwrap_or(number.len());
    number[..end].to_owned()
}

/// What a command prints if it succeeds.
fn said(program: &PathBuf, arguments: &[impl AsRef<OsStr>]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        // With a wrong value docker does not even say its version; [`find`] says what is wrong.
        .env_remove("DOCKER_BUILDKIT")
        .stdin(Stdio::null())
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_cut_out_of_what_docker_says() {
        for (said, version) in [
            (
                "Docker version 26.1.5+dfsg1, build a72d7cd\n",
                "26.1.5+dfsg1",
            ),
            (
                "Docker version 20.10.24+dfsg1, build 297e128",
                "20.10.24+dfsg1",
            ),
            ("podman 5", "podman"),
        ] {
            assert_eq!(version_of(said), version);
        }
    }
}
