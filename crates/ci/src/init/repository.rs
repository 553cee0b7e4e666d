//! What a repository has of CI systems, builds and lock files. Other tools' files are not read, but for words.

use std::fs;
use std::path::{Path, PathBuf};

use super::system::System;
use crate::git;

/// Folders below the root that are looked through for Dockerfiles.
const DEPTH_MAX: usize = 3;
/// Folders whose files are somebody else's, or made.
const NOT_OURS: [&str; 4] = ["node_modules", "vendor", "target", "dist"];
/// `DefaultFileNames` of compose-go `cli/options.go`.
const COMPOSE: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
/// Of buildx `bake/bake.go`, `defaultFilenames`, those that are bake's own.
const BAKE: [&str; 2] = ["docker-bake.hcl", "docker-bake.json"];
const WORKFLOWS: &str = ".github/workflows";

/// Lock files, who writes them, and where that one keeps its cache as root.
const LOCKS: [(&str, &str, &str); 9] = [
    ("package-lock.json", "npm", "/root/.npm"),
    ("pnpm-lock.yaml", "pnpm", "/root/.local/share/pnpm/store"),
    ("yarn.lock", "Yarn", "/usr/local/share/.cache/yarn"),
    ("Cargo.lock", "Cargo", "/usr/local/cargo/registry"),
    ("go.sum", "Go", "/go/pkg/mod"),
    ("poetry.lock", "Poetry", "/root/.cache/pypoetry"),
    ("uv.lock", "uv", "/root/.cache/uv"),
    ("requirements.txt", "pip", "/root/.cache/pip"),
    ("Gemfile.lock", "Bundler", "/root/.bundle/cache"),
];

pub(super) struct Repository {
    root: PathBuf,
    /// From the root, the nearest first.
    dockerfiles: Vec<PathBuf>,
    /// The name of its remote: host and path.
    project: Option<String>,
}

/// A CI system's file that is there.
pub(super) struct There {
    /// From the root.
    pub path: PathBuf,
    /// The line that builds an image, if one does.
    pub build: Option<Line>,
}

pub(super) struct Line {
    pub number: usize,
    pub text: String,
}

impl Repository {
    pub(super) fn look(root: &Path) -> Self {
        let mut dockerfiles = Vec::new();
        gather(root, Path::new(""), &mut dockerfiles);
        dockerfiles.sort_by_key(|path| (path.components().count(), path.clone()));
        Self {
            root: root.to_owned(),
            dockerfiles,
            project: git::find(root).and_then(|found| found.project),
        }
    }

    /// The host of its remote.
    pub(super) fn host(&self) -> Option<&str> {
        self.project.as_deref()?.split('/').next()
    }

    pub(super) fn uses(&self, system: System) -> bool {
        match system {
            System::Github => !self.workflows().is_empty(),
            System::Shell => false,
            other => self.root.join(other.file()).exists(),
        }
    }

    /// The file of a system that is there. Of GitHub's, which may be many, the one that builds.
    pub(super) fn file_of(&self, system: System) -> Option<There> {
        let own = PathBuf::from(system.file());
        // An empty one is what a shell has made for our output.
        let meta = fs::metadata(self.root.join(&own));
        if meta.is_ok_and(|meta| meta.len() > 0) {
            return Some(self.there(own));
        }
        if system != System::Github {
            return None;
        }
        let all = self.workflows().into_iter().map(|path| self.there(path));
        all.into_iter().find(|there| there.build.is_some())
    }

    fn there(&self, path: PathBuf) -> There {
        let text = self.text(&path);
        There {
            build: text
                .lines()
                .enumerate()
                .find_map(|(at, line)| builds(at, line)),
            path,
        }
    }

    fn workflows(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.join(WORKFLOWS))
            .into_iter()
            .flatten();
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut paths: Vec<PathBuf> = names.map(|name| Path::new(WORKFLOWS).join(name)).collect();
        paths.retain(|path| {
            path.extension()
                .is_some_and(|end| end == "yml" || end == "yaml")
        });
        paths.sort();
        paths
    }

    /// The text of a file; nothing of one that is no text.
    fn text(&self, path: &Path) -> String {
        fs::read_to_string(self.root.join(path)).unwrap_or_default()
    }

    /// The command that builds its images.
    pub(super) fn build(&self) -> String {
        let composed = COMPOSE.iter().find(|name| self.root.join(name).exists());
        let builds = composed.is_some_and(|name| {
            let text = self.text(Path::new(name));
            text.lines()
                .any(|line| line.trim_start().starts_with("build:"))
        });
        if BAKE.iter().any(|name| self.root.join(name).exists()) {
            "docker buildx bake".to_owned()
        } else if builds {
            "docker compose build".to_owned()
        } else {
            format!("docker {}", self.build_of_dockerfile())
        }
    }

    /// The arguments of docker, or of larder, that build the nearest Dockerfile.
    pub(super) fn build_of_dockerfile(&self) -> String {
        let plain = self
            .dockerfiles
            .iter()
            .find_map(|path| Some((path, path.to_str()?)));
        match plain {
            None | Some((_, "Dockerfile")) => "build -t image .".to_owned(),
            Some((path, file)) => {
                let folder = path.parent().and_then(Path::to_str).unwrap_or_default();
                let folder = if folder.is_empty() { "." } else { folder };
                format!("build -t image -f {file} {folder}")
            }
        }
    }

    /// A package manager's cache that builds could keep, and do not.
    pub(super) fn hint(&self) -> Option<String> {
        let (lock, who, cache) = LOCKS
            .iter()
            .find(|(name, ..)| self.root.join(name).exists())?;
        let mut texts = self.dockerfiles.iter().map(|path| self.text(path));
        let keeps = self.dockerfiles.is_empty() || texts.any(|text| text.contains("type=cache"));
        (!keeps).then(|| {
            format!(
                "hint   {lock}: with RUN --mount=type=cache,target={cache} {who} keeps its cache, and Larder \
                 keeps that from job to job"
            )
        })
    }
}

/// A line that builds an image, as a command or an action.
fn builds(at: usize, line: &str) -> Option<Line> {
    const WORDS: [&str; 7] = [
        "docker build ",
        "docker buildx build",
        "docker buildx bake",
        "docker compose build",
        "docker-compose build",
        "docker/build-push-action",
        "docker/bake-action",
    ];
    let text = line.trim();
    let is_comment = text.starts_with('#') || text.starts_with("//");
    let is = !is_comment && WORDS.iter().any(|word| text.contains(word));
    is.then(|| Line {
        number: at + 1,
        text: text.to_owned(),
    })
}

/// The Dockerfiles below a folder, as far as a configuration can name them without quoting.
fn gather(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(root.join(folder)).into_iter().flatten();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_plain(name)) else {
            continue;
        };
        let path = folder.join(name);
        // Links are not followed: they may lead round in circles.
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_file() && is_dockerfile(name) {
            found.push(path);
        } else if kind.is_dir()
            && !NOT_OURS.contains(&name)
            && path.components().count() <= DEPTH_MAX
        {
            gather(root, &path, found);
        }
    }
}

fn is_plain(name: &str) -> bool {
    let mut odd = name
        .chars()
        .filter(|c| !c.is_ascii_alphanumeric() && !"._-".contains(*c));
    !name.starts_with(['.', '-']) && odd.next().is_none()
}

fn is_dockerfile(name: &str) -> bool {
    let ends = ["Dockerfile", "Containerfile"];
    let stem = name.strip_suffix(".dockerignore").map_or(name, |_| "");
    ends.iter().any(|end| {
        stem == *end || stem.starts_with(&format!("{end}.")) || stem.ends_with(&format!(".{end}"))
    })
}
