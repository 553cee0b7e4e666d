//! larder.toml: settings that belong to a repository.
//!
//! A file that was found by looking is part of a commit, and whoever wrote that commit may be anybody. So it
//! decides nothing about where root reads and writes, whose state is used, or whom registries are asked through.

use std::collections::BTreeMap;
use std::fs::File as Opened;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use larder_local::checkout::Checkout;
use serde::Deserialize;

use super::{Environment, variable};
use crate::exit::{Done, Failure};

const NAME: &str = "larder.toml";
/// A longer file holds something else.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// Defines the keys, each with who may set it. A key is the option of the same name.
///
/// - `anybody`: whoever writes a commit. The worst that such a key can do is to make that author's own job slow,
///   or to fail it.
/// - `owner`: whoever names the file, with `--config` or `LARDER_CONFIG`. In a file that was found these are left out.
macro_rules! keys {
    ($($who:ident $key:ident: $kind:ty,)*) => {
        /// The file's content.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(super) struct File {
            $(pub $key: Option<$kind>,)*
        }

        /// Their names, with `_`.
        pub(super) const KEYS: &[&str] = &[$(stringify!($key),)*];

        impl File {
            /// Leaves out what only an owner may set; the names of those keys.
            fn distrust(&mut self) -> Vec<String> {
                let mut left_out = Vec::new();
                $(if keys!(@is_owner $who) && self.$key.take().is_some() {
                    left_out.push(stringify!($key).replace('_', "-"));
                })*
                left_out
            }
        }
    };
    (@is_owner owner) => { true };
    (@is_owner anybody) => { false };
}

keys! {
    owner store: String,
    // What else is in the store is removed.
    owner single: bool,
    // It is written to.
    owner near: String,
    owner near_size: String,
    owner state: String,
    owner project: String,
    // Its own scope is all that a job writes to, whatever the job is called.
    anybody job: String,
    owner scope: String,
    owner fallback: Vec<String>,
    // A word: it names no program.
    anybody engine: String,
    // Whose files a job's are.
    owner podman_user: String,
    anybody builder: bool,
    anybody image_store: String,
    // Within the limits of a volume, which is sparse.
    anybody size: String,
    anybody keep: String,
    // What is in them would be saved: databases, secrets.
    owner keep_volumes: bool,
    // What is fetched early is of the job's own store, within the free disk.
    anybody prefetch: String,
    anybody prefetch_budget: String,
    // When it is stored, not what or where.
    anybody background_upload: String,
    // Who is believed.
    owner sign_key: String,
    owner trust: Vec<String>,
    owner max_snapshot_age: String,
    // What the store can be read with.
    owner encrypt_key: String,
    anybody strict: bool,
    // The command is the job's own.
    anybody retry_empty: String,
    anybody fresh: String,
    // By the usual rules, or not at all.
    anybody gc: String,
    // Below the checkout.
    anybody plan: Vec<PathBuf>,
    owner insecure_registries: Vec<String>,
    owner registry_mirrors: BTreeMap<String, Vec<String>>,
}

/// A file, and what is to be said about it.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub file: File,
    /// Which keys were left out, and what to do.
    pub warning: Option<String>,
}

impl From<File> for Read {
    fn from(file: File) -> Self {
        let warning = None;
        Self { file, warning }
    }
}

impl File {
    /// Reads the file that was named, or the nearest one up to the repository's root; none is fine.
    pub(super) fn find(
        option: Option<PathBuf>,
        environment: &Environment,
        folder: &Path,
    ) -> Done<Read> {
        let named = option.or_else(|| Some(variable(environment, "LARDER_CONFIG")?.into()));
        let Some(path) = named.clone().or_else(|| nearest(folder)) else {
            return Ok(Read::default());
        };
        let home = folder.join(path.parent().unwrap_or(Path::new("")));
        let read = if named.is_some() {
            Self::read(&path).map(Read::from)
        } else {
            Self::read_of_commit(&path, &home)
        };
        let mut read = read?;
        if home != folder {
            read.file.begin_at(&home);
        }
        Ok(read)
    }

    /// Reads a file that nobody named, below its folder.
    fn read_of_commit(path: &Path, home: &Path) -> Done<Read> {
        let checkout = Checkout::around(home);
        if !checkout.holds(path) {
            return Err(Failure::input(format!(
                "{}: a link leads out of the checkout, so it is not read; name the file with --config",
                path.display()
            )));
        }
        let mut file = Self::read(path)?;
        let mut left_out = file.distrust();
        let mut plans = file.plan.iter().flatten();
        if plans.any(|plan| leads_out(plan, home, &checkout)) {
            file.plan = None;
            left_out.push("plan (it leads out of the checkout)".to_owned());
        }
        let warning = (!left_out.is_empty()).then(|| {
            format!(
                "{}: left out, because a commit can change this file: {}; set it by option or variable, or \
                 name the file with --config or LARDER_CONFIG",
                path.display(),
                left_out.join(", ")
            )
        });
        Ok(Read { file, warning })
    }

    /// Makes relative paths those below the file's folder, from wherever it is read.
    fn begin_at(&mut self, home: &Path) {
        let keys = self.sign_key.iter_mut().chain(&mut self.encrypt_key);
        let keys = keys.filter(|key| !key.starts_with("env:"));
        let stores = self.store.iter_mut().chain(&mut self.near);
        for path in stores.chain(&mut self.state).chain(keys) {
            if !path.is_empty() && !path.contains("://") {
                *path = home.join(&*path).to_string_lossy().into_owned();
            }
        }
        for path in self.plan.iter_mut().flatten() {
            *path = home.join(&*path);
        }
    }

    fn read(path: &Path) -> Done<Self> {
        let mut text = String::new();
        let read = Opened::open(path)
            .and_then(|file| file.take(FILE_MAX_BYTES).read_to_string(&mut text))
            .map_err(|error| error.to_string());
        // The error shows line, column and the line itself.
        read.and_then(|_| toml::from_str(&text).map_err(|error| error.to_string()))
            .map_err(|why| Failure::input(format!("{}: {why}", path.display())))
    }
}

/// Whether a path leads out of the checkout. One that is not there yet may only be spelt as below the folder.
fn leads_out(path: &Path, folder: &Path, checkout: &Checkout) -> bool {
    let full = folder.join(path);
    let goes_up = path.components().any(|part| part == Component::ParentDir);
    let is_below = path.is_relative() && !goes_up;
    !checkout.holds(&full) && (full.symlink_metadata().is_ok() || !is_below)
}

fn nearest(folder: &Path) -> Option<PathBuf> {
    for folder in folder.ancestors() {
        let file = folder.join(NAME);
        if file.is_file() {
            return Some(file);
        }
        if folder.join(".git").exists() {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What is found from a folder, without naming a file.
    fn found(from: &Path) -> Read {
        File::find(None, &Environment::new(), from).expect("read")
    }

    /// A checkout with this file.
    fn checkout(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join(".git")).expect("a folder");
        std::fs::write(folder.path().join(NAME), text).expect("a file");
        folder
    }

    const EVERY_KEY: &str = r#"
store = "cache"
single = true
near = "n"
near-size = "1GiB"
state = "st"
project = "p"
job = "j"
scope = "main"
fallback = ["main"]
engine = "private"
podman-user = "ci"
builder = true
image-store = "overlay2"
size = "2GiB"
keep = "1GiB"
keep-volumes = true
prefetch = "hot"
prefetch-budget = "1GiB"
background-upload = "off"
sign-key = "s"
trust = ["t"]
max-snapshot-age = "7d"
encrypt-key = "e"
strict = true
retry-empty = "never"
fresh = "never"
gc = "off"
plan = ["Dockerfile"]
insecure-registries = ["h"]
[registry-mirrors]
"docker.io" = ["http://m"]
"#;

    #[test]
    fn a_commit_sets_only_what_hurts_nobody() {
        let folder = checkout(EVERY_KEY);
        let Read { file, warning } = found(folder.path());
        assert!(file.store.is_none() && file.state.is_none() && file.project.is_none());
        assert!(file.scope.is_none() && file.fallback.is_none() && file.keep_volumes.is_none());
        assert!(file.insecure_registries.is_none() && file.registry_mirrors.is_none());
        assert!(file.job.is_some() && file.size.is_some() && file.keep.is_some());
        assert!(file.engine.is_some() && file.image_store.is_some() && file.strict.is_some());
        assert_eq!(file.builder, Some(true));
        assert_eq!(file.plan, Some(vec!["Dockerfile".into()]));
        let warning = warning.expect("it is told");
        let keys = "store, single, near, near-size, state, project, scope, fallback, podman-user, keep-volumes, sign-key, \
            trust, max-snapshot-age, encrypt-key, insecure-registries, registry-mirrors;";
        for key in KEYS {
            assert!(EVERY_KEY.contains(&key.replace('_', "-")), "{key}");
        }
        assert!(
            warning.contains(keys) && warning.contains("--config"),
            "{warning}"
        );
        let named = folder.path().join(NAME);
        let named = File::find(Some(named), &Environment::new(), folder.path()).expect("read");
        assert!(named.warning.is_none() && named.file.store.is_some());
        let variable = folder.path().join(NAME).display().to_string();
        let environment = [("LARDER_CONFIG".to_owned(), variable)].into();
        let named = File::find(None, &environment, folder.path()).expect("read");
        assert_eq!(named.file.scope.as_deref(), Some("main"));
    }

    #[test]
    fn a_commit_plans_nothing_outside_of_its_checkout() {
        let folder = checkout("");
        symlink("/etc/passwd", folder.path().join("link")).expect("linked");
        symlink("/etc", folder.path().join("etc")).expect("linked");
        for path in [
            "/etc/passwd",
            "../x",
            "link",
            "etc/passwd",
            "a/../../x",
            "/no/such",
        ] {
            let text = format!("plan = [\"Dockerfile\", \"{path}\"]");
            std::fs::write(folder.path().join(NAME), text).expect("a file");
            let Read { file, warning } = found(folder.path());
            assert!(file.plan.is_none() && warning.is_some(), "{path}");
        }
        std::fs::create_dir_all(folder.path().join("a/b")).expect("folders");
        std::fs::write(folder.path().join("a").join(NAME), "plan = [\"../x\"]").expect("a file");
        std::fs::write(folder.path().join("x"), "").expect("a file");
        assert!(found(&folder.path().join("a/b")).file.plan.is_some());
    }

    #[test]
    fn a_file_that_a_link_leads_out_of_the_checkout_is_not_read() {
        let folder = checkout("");
        let file = folder.path().join(NAME);
        std::fs::remove_file(&file).expect("removed");
        symlink("/etc/passwd", &file).expect("linked");
        let error = File::find(None, &Environment::new(), folder.path()).expect_err("a link");
        assert!(
            error.message.contains(NAME) && !error.message.contains("root"),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_key_names_file_and_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        std::fs::write(&path, "store = \"s3://b/p\"\nstroe = 1\n").expect("a file");
        let error = File::read(&path).expect_err("an unknown key");
        assert!(error.message.contains("larder.toml"), "{error}");
        assert!(
            error.message.contains("line 2") && error.message.contains("stroe"),
            "{error}"
        );
    }

    #[test]
    fn relative_paths_begin_at_the_files_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(&below).expect("folders");
        let text = "store = \"cache\"\nstate = \"/s\"\nplan = [\"Dockerfile\"]\n";
        let path = folder.path().join(NAME);
        std::fs::write(&path, text).expect("a file");
        let from = |from: &Path| {
            let read = File::find(Some(path.clone()), &Environment::new(), from);
            read.expect("read").file
        };
        let file = from(&below);
        let store = folder.path().join("cache");
        assert_eq!(file.store.as_deref(), store.to_str());
        assert_eq!(file.state.as_deref(), Some("/s"));
        assert_eq!(file.plan, Some(vec![folder.path().join("Dockerfile")]));
        // Beside the file a plan keeps the name that it was given: records have it.
        assert_eq!(from(folder.path()).plan, Some(vec!["Dockerfile".into()]));
        std::fs::write(&path, "store = \"s3://b/p\"").expect("a file");
        assert_eq!(from(&below).store.as_deref(), Some("s3://b/p"));
    }

    #[test]
    fn an_empty_variable_names_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let environment = [("LARDER_CONFIG".to_owned(), String::new())].into();
        assert!(File::find(None, &environment, folder.path()).is_ok());
    }

    #[test]
    fn the_nearest_file_up_to_the_repository_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("repo/a/b");
        std::fs::create_dir_all(&below).expect("folders");
        std::fs::write(folder.path().join(NAME), "job = \"outside\"").expect("a file");
        std::fs::create_dir(folder.path().join("repo/.git")).expect("a folder");
        let job = |from: &Path| found(from).file.job;
        assert_eq!(job(&below), None);
        std::fs::write(folder.path().join("repo").join(NAME), "job = \"inside\"").expect("a file");
        assert_eq!(job(&below).as_deref(), Some("inside"));
    }
}
