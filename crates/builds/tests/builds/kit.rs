//! What the tests share: a project in a folder of its own, and the tools themselves.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use larder_builds::{Build, Draft, Fault, Surroundings};
use larder_model::dockerfile::ImageConfigs;
use serde_json::Value;
use tempfile::TempDir;

/// Where docker is looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The folder of the cases.
pub(crate) fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// A project in a folder of its own, with an environment of its own.
pub(crate) struct Project {
    folder: TempDir,
    environment: BTreeMap<String, String>,
}

impl Project {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("app")).expect("a folder");
        let project = Self {
            folder,
            environment: [("PATH", PATH), ("HOME", "/nonexistent")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    /// A copy of a folder.
    pub(crate) fn copied(from: &Path) -> Self {
        let project = Self::new(&[]);
        copy(from, &project.path());
        project
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn around(&self) -> Surroundings {
        Surroundings {
            path: std::env::split_paths(&self.environment["PATH"]).collect(),
            environment: self.environment.clone(),
            withheld: Vec::new(),
            folder: self.path(),
            named_project: None,
        }
    }

    pub(crate) fn drafts(&self, build: &Build) -> Result<Vec<Draft>, Fault> {
        build.drafts(&self.around())
    }

    /// Name, platform and images of each build.
    #[track_caller]
    pub(crate) fn shown(&self, build: &Build) -> Vec<String> {
        let drafts = self
            .drafts(build)
            .unwrap_or_else(|fault| panic!("{fault}; are the tools there? `cargo xtask engine`"));
        drafts.iter().map(show).collect()
    }

    /// What a tool prints, as JSON.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Value {
        let output = Command::new("docker")
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .envs(&self.environment)
            .output()
            .expect("there is a docker command; `cargo xtask engine` installs it");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "docker {arguments:?} failed; `cargo xtask engine` installs docker-compose and \
             docker-buildx: {error}"
        );
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

fn show(draft: &Draft) -> String {
    let named = draft.plan(&ImageConfigs::new()).expect("a plan");
    let images = named.plan.images.iter().filter(|image| image.reached);
    let images: Vec<String> = images.map(|image| image.reference.familiar()).collect();
    let name = named.name.unwrap_or_default();
    format!("{name} {} {}", named.plan.platform, images.join(" "))
}

/// Makes a file a program.
pub(crate) fn allow(project: &Project, name: &str) {
    let path = project.path().join(name);
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("allowed");
}

pub(crate) fn files(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(PathBuf::from).collect()
}

pub(crate) fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The build of these files.
pub(crate) fn of(names: &[&str]) -> Build {
    Build {
        files: files(names),
        ..Build::default()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}
