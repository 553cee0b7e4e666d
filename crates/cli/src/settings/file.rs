//! larder.toml: settings that belong to a repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Environment, variable};
use crate::exit::{Done, Failure};

const NAME: &str = "larder.toml";

/// The file's content. Each key is the option of the same name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    pub store: Option<String>,
    pub state: Option<String>,
    pub project: Option<String>,
    pub job: Option<String>,
    pub scope: Option<String>,
    pub fallback: Option<Vec<String>>,
    pub engine: Option<String>,
    pub image_store: Option<String>,
    pub size: Option<String>,
    pub keep: Option<String>,
    pub keep_volumes: Option<bool>,
    pub prefetch: Option<String>,
    pub prefetch_budget: Option<String>,
    pub background_upload: Option<String>,
    pub strict: Option<bool>,
    pub retry_empty: Option<String>,
    pub fresh: Option<String>,
    pub plan: Option<Vec<PathBuf>>,
    pub insecure_registries: Option<Vec<String>>,
    pub registry_mirrors: Option<BTreeMap<String, Vec<String>>>,
}

impl File {
    /// Reads the file that was named, or the nearest one up to the repository's root; none is fine.
    pub(super) fn find(
        option: Option<PathBuf>,
        environment: &Environment,
        folder: &Path,
    ) -> Done<Self> {
        let named = option.or_else(|| Some(variable(environment, "LARDER_CONFIG")?.into()));
        let Some(path) = named.or_else(|| nearest(folder)) else {
            return Ok(Self::default());
        };
        let mut file = Self::read(&path)?;
        let home = folder.join(path.parent().unwrap_or(Path::new("")));
        if home != folder {
            file.begin_at(&home);
        }
        Ok(file)
    }

    /// Makes relative paths those below the file's folder, from wherever it is read.
    fn begin_at(&mut self, home: &Path) {
        for path in self.store.iter_mut().chain(&mut self.state) {
            if !path.is_empty() && !path.contains("://") {
                *path = home.join(&*path).to_string_lossy().into_owned();
            }
        }
        for path in self.plan.iter_mut().flatten() {
            *path = home.join(&*path);
        }
    }

    fn read(path: &Path) -> Done<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        // The error shows line, column and the line itself.
        text.and_then(|text| toml::from_str(&text).map_err(|error| error.to_string()))
            .map_err(|why| Failure::input(format!("{}: {why}", path.display())))
    }
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
    use super::*;

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
        std::fs::write(folder.path().join(NAME), text).expect("a file");
        let from = |folder: &Path| File::find(None, &Environment::new(), folder).expect("read");
        let file = from(&below);
        let store = folder.path().join("cache");
        assert_eq!(file.store.as_deref(), store.to_str());
        assert_eq!(file.state.as_deref(), Some("/s"));
        assert_eq!(file.plan, Some(vec![folder.path().join("Dockerfile")]));
        // Beside the file a plan keeps the name that it was given: records have it.
        assert_eq!(from(folder.path()).plan, Some(vec!["Dockerfile".into()]));
        std::fs::write(folder.path().join(NAME), "store = \"s3://b/p\"").expect("a file");
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
        let job = |from: &Path| {
            File::find(None, &Environment::new(), from)
                .expect("read")
                .job
        };
        assert_eq!(job(&below), None);
        std::fs::write(folder.path().join("repo").join(NAME), "job = \"inside\"").expect("a file");
        assert_eq!(job(&below).as_deref(), Some("inside"));
    }
}
