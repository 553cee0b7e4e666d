//! Who runs the steps of `docker build`, and how that builder finds restored ones; the command's
//! [`arguments`], what it prints as it goes ([`progress`]), and the images that its [`stages`] get. `docs/ENGINES.md` has the measurements
//! behind this table.

pub mod arguments;
pub mod progress;
pub mod stages;

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use larder_docker::{About, ImageStore};
use larder_local::child::{Limits, ask};
use larder_local::programs;
use larder_model::go;
use larder_model::go::json::Object;
use larder_model::reference::ImageReference;
use serde::Serialize;

use crate::document::Sources;
use crate::{ArchiveError, Result};

/// The first docker command that builds with `BuildKit` unless told otherwise.
const BUILDKIT_DEFAULT_MAJOR: u32 = 23;
/// The buildx driver that builds in the engine itself.
const ENGINE_DRIVER: &str = "docker";

/// docker answers in a tenth of a second; a builder far away is asked over its network.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(30),
    ..Limits::QUICK
};

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

/// Which builder the environment asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildChoice {
    /// `DOCKER_BUILDKIT`.
    pub buildkit: Option<String>,
    /// `BUILDX_BUILDER`, or `--builder`.
    pub builder: Option<String>,
    /// The docker command's folder of settings.
    pub config: Option<PathBuf>,
}

impl BuildChoice {
    /// Whether `docker buildx install` made `docker build` another name of `docker buildx build`, which
    /// builds by whatever builder `docker buildx use` chose.
    fn has_alias(&self) -> bool {
        let path = self
            .config
            .as_ref()
            .map(|folder| folder.join("config.json"));
        let text = path
            .and_then(|path| fs::read(path).ok())
            .unwrap_or_default();
        let config = Object::read(&text).unwrap_or_default();
        let mut aliases = config.map("aliases").into_iter();
        let builder = aliases.rfind(|(name, _)| *name == "builder");
        builder.is_some_and(|(_, plugin)| plugin.text() == Some("buildx"))
    }
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
    /// `BuildKit`'s cache in a directory of the client.
    CacheFolder,
    /// Not at all.
    Nothing,
}

impl Strategy {
    /// The arguments of `docker build` that name what was restored. `cache` is the folder of `BuildKit`'s
    /// cache.
    pub fn cache_from(self, sources: &Sources, cache: Option<&Path>) -> Vec<String> {
        let folder = cache.filter(|_| self == Self::CacheFolder && sources.cache);
        let folder = folder.map(|it| format!("--cache-from=type=local,src={}", it.display()));
        let images = sources.images.iter().filter(|image| is_image(image));
        let images = images.filter(|image| match self {
            Self::Parents | Self::CacheFolder | Self::Nothing => false,
            Self::StageImages => true,
            // BuildKit takes names alone: an id would be asked for in a registry.
            Self::InlineCache => !image.starts_with("sha256:"),
        });
        let images = images.map(|image| format!("--cache-from={image}"));
        images.chain(folder).collect()
    }

    /// The argument of `docker build` that has `BuildKit`'s cache written to a folder.
    pub fn cache_to(folder: &Path) -> String {
        format!(
            "--cache-to=type=local,mode=max,compression=uncompressed,ignore-error=true,dest={}",
            folder.display()
        )
    }

    /// What `larder build` adds to the arguments of `docker build`.
    pub fn adds(self) -> &'static str {
        match self {
            Self::Parents | Self::Nothing => "nothing",
            Self::StageImages => "--cache-from ID for each",
            Self::InlineCache => {
                "--build-arg BUILDKIT_INLINE_CACHE=1, --cache-from NAME for each, and a build with \
                 --target for each stage"
            }
            Self::CacheFolder => "--cache-from and --cache-to",
        }
    }
}

/// Whether a text is an image's name or id. They come from a store's document, and become arguments of a command,
/// and words of a shell: whoever wrote it must not add options.
fn is_image(text: &str) -> bool {
    match text.strip_prefix("sha256:") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => ImageReference::parse(text).is_ok(),
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
            Self::CacheFolder => "BuildKit's cache in a directory (type=local, mode=max)",
            Self::Nothing => "nothing",
        })
    }
}

/// Which builder `docker build` uses: docker/cli `cli/command/cli.go`, `BuildKitEnabled`, and
/// `cmd/docker/builder.go`, `processBuilder`.
pub fn find(choice: &BuildChoice, about: &About, docker: &Docker) -> Result<Builder> {
    let wanted = match choice.buildkit.as_deref() {
        None | Some("") => None,
        Some(text) => Some(
            go::parse_bool(text).ok_or_else(|| ArchiveError::BuildkitVariable(text.to_owned()))?,
        ),
    };
    let has_alias = choice.has_alias();
    let by_default = if docker.major >= BUILDKIT_DEFAULT_MAJOR {
        docker.has_buildx
    } else {
        has_alias || about.prefers_buildkit
    };
    if !wanted.unwrap_or(by_default) {
        return Ok(Builder::Classic);
    }
    // `docker build` uses the engine's own BuildKit, whatever `docker buildx use` says, unless a
    // builder is named.
    let named = choice.builder.as_deref().filter(|name| !name.is_empty());
    let named = named.map(Some).or_else(|| has_alias.then_some(None));
    Ok(match named.and_then(|name| docker.driver(name)) {
        Some(driver) if driver != ENGINE_DRIVER => Builder::Beside { driver },
        _ => Builder::Buildkit,
    })
}

/// How this builder finds restored steps on this engine; why it cannot.
pub fn strategy(builder: &Builder, about: &About, docker: &Docker) -> Result<Strategy> {
    match (builder, about.image_store.kind()) {
        (Builder::Classic, ImageStore::Overlay2) if about.trusts_loaded_parents() => {
            Ok(Strategy::Parents)
        }
        (Builder::Classic, ImageStore::Overlay2) => Ok(Strategy::StageImages),
        (Builder::Classic, ImageStore::Containerd) => Err(ArchiveError::ClassicOnContainerd),
        (Builder::Buildkit, ImageStore::Overlay2) => Ok(Strategy::InlineCache),
        (Builder::Buildkit, ImageStore::Containerd) | (Builder::Beside { .. }, _) => {
            if docker.has_buildx && docker.major >= BUILDKIT_DEFAULT_MAJOR {
                return Ok(Strategy::CacheFolder);
            }
            let version = docker.version.clone();
            Err(ArchiveError::NeedsBuildx(BUILDKIT_DEFAULT_MAJOR, version))
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
    pub fn find(search: &[PathBuf]) -> Result<Self> {
        let program = programs::find("docker", search).ok_or(ArchiveError::NoDocker)?;
        // Of the client alone: `docker version` fails where the engine does not answer.
        let Some(said) = said(&program, &["--version"]) else {
            return Err(ArchiveError::SilentDocker(program));
        };
        let version = version_of(&said);
        let major = version.split('.').next().and_then(|text| text.parse().ok());
        Ok(Self {
            has_buildx: self::said(&program, &["buildx", "version"]).is_some(),
            major: major.unwrap_or_default(),
            version,
            program,
        })
    }

    /// The driver of a builder that buildx knows, or of the one that is in use.
    fn driver(&self, builder: Option<&str>) -> Option<String> {
        let inspect = ["buildx", "inspect"].into_iter().chain(builder);
        let said = said(&self.program, &inspect.collect::<Vec<_>>())?;
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
    let mut command = Command::new(program);
    // With a wrong value docker does not even say its version; [`find`] says what is wrong.
    command.args(arguments).env_remove("DOCKER_BUILDKIT");
    let output = ask(&mut command, "", LIMITS).ok();
    let output = output.filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buildkit_is_given_names_and_the_classic_builder_ids_too() {
        let sources = Sources {
            images: [
                "sha256:5b70",
                "app:1",
                "a --output=/",
                "type=local,src=/",
                "sha256:$(x)",
            ]
            .map(str::to_owned)
            .into(),
            cache: true,
        };
        let folder = Path::new("/cache");
        let told = |strategy: Strategy| strategy.cache_from(&sources, Some(folder));
        assert!(told(Strategy::Parents).is_empty());
        assert_eq!(
            told(Strategy::StageImages),
            ["--cache-from=sha256:5b70", "--cache-from=app:1"]
        );
        assert_eq!(told(Strategy::InlineCache), ["--cache-from=app:1"]);
        assert_eq!(
            told(Strategy::CacheFolder),
            ["--cache-from=type=local,src=/cache"]
        );
        let none = Strategy::CacheFolder.cache_from(&Sources::default(), Some(folder));
        assert!(none.is_empty(), "an empty folder is no source");
    }

    #[test]
    fn buildx_is_an_alias_where_docker_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let choice = BuildChoice {
            config: Some(folder.path().to_owned()),
            ..BuildChoice::default()
        };
        assert!(!choice.has_alias());
        for (config, expected) in [
            (r#"{"aliases":{"builder":"buildx"}}"#, true),
            (r#"{"Aliases":{"builder":"buildx"}}"#, true),
            (r#"{"aliases":{"builder":"other"}}"#, false),
            (r#"{"aliases":{}}"#, false),
        ] {
            fs::write(folder.path().join("config.json"), config).expect("written");
            assert_eq!(choice.has_alias(), expected, "{config}");
        }
    }

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
