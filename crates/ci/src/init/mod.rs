//! What a project's CI system has to be told so that its jobs have an engine that remembers.
//!
//! Each system has a template, a whole file of it. `@NAME@` alone on a line begins a section (`@end@` none), so that
//! the same lines can be offered for a file that is there already; elsewhere it is replaced.

mod repository;
mod store;
mod system;
mod template;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use system::System;

use repository::Repository;
use store::Store;
use template::Template;

/// Where the program comes from.
const INSTALLER: &str = "https://github.com/larder-ci/larder/releases/latest/download/install.sh";

/// What is proposed.
#[derive(Debug, Serialize)]
pub struct Proposal {
    /// For which CI system.
    pub system: System,
    /// The file, from the repository's root.
    pub file: PathBuf,
    /// Whether it is there.
    pub exists: bool,
    /// The whole file, as it is where there is none.
    pub text: String,
    /// What to add where it is there.
    pub additions: Vec<Addition>,
    /// What was chosen, and why.
    pub chosen: Vec<String>,
}

/// Lines for a file that is there.
#[derive(Debug, Serialize)]
pub struct Addition {
    /// Where they belong.
    pub place: String,
    /// The lines, indented as they would be in a file of their own.
    pub lines: String,
}

/// Looks at the repository whose root is given, and proposes a configuration; for the system that it is built
/// by if none is named, and with the store that was chosen, if one was.
pub fn propose(root: &Path, system: Option<System>, store: Option<&str>) -> Proposal {
    let repository = Repository::look(root);
    let system = system.unwrap_or_else(|| system_of(&repository));
    let store = Store::of(store);
    let template = Template::of(system, &repository, &store);
    let there = repository.file_of(system);
    let additions = match &there {
        Some(there) => additions(system, &template, there.build.as_ref()),
        None => Vec::new(),
    };
    Proposal {
        chosen: chosen(system, &repository, &store),
        exists: there.is_some(),
        file: there.map_or_else(|| system.file().into(), |there| there.path),
        text: template.whole(),
        additions,
        system,
    }
}

/// The system whose file a repository has, else the one of the host that it comes from.
fn system_of(repository: &Repository) -> System {
    let by_file = System::ALL
        .into_iter()
        .find(|system| repository.uses(*system));
    by_file.unwrap_or_else(|| match repository.host() {
        Some("github.com") => System::Github,
        Some("bitbucket.org") => System::Bitbucket,
        Some(host) if host.starts_with("gitlab.") => System::Gitlab,
        _ => System::Shell,
    })
}

/// Where each part of a template belongs in a file that has a line that builds.
fn additions(
    system: System,
    template: &Template,
    build: Option<&repository::Line>,
) -> Vec<Addition> {
    let builds = build.map_or("what builds the image".to_owned(), |line| {
        format!("line {}: {}", line.number, line.text)
    });
    let last = if system.runs_commands() {
        let place = format!(
            "instead of {builds} (what else uses the image goes into the same `larder run`: -- sh -c '…')"
        );
        (place, "build")
    } else {
        ("at the job's end".to_owned(), "after")
    };
    let places = [
        ("to the job that builds".to_owned(), "variables"),
        (format!("above {builds}"), "before"),
        last,
    ];
    let all = places.into_iter().map(|(place, section)| Addition {
        place,
        lines: template.section(section),
    });
    all.filter(|addition| !addition.lines.is_empty()).collect()
}

/// The door, the store and the scope; what else is worth a thought comes after them.
fn chosen(system: System, repository: &Repository, store: &Store) -> Vec<String> {
    let mut lines = vec![
        format!("door   {}", system.door()),
        format!("store  {store}"),
        format!("scope  {}", system.scope()),
    ];
    lines.extend(repository.hint());
    lines
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        folder
    }

    fn proposed(files: &[(&str, &str)]) -> Proposal {
        propose(repository(files).path(), None, None)
    }

    #[test]
    fn the_system_is_the_one_that_the_repository_has() {
        let github = "[remote \"origin\"]\n\turl = git@github.com:shop/web.git\n";
        for (file, text, expected) in [
            (".gitlab-ci.yml", "", System::Gitlab),
            (".circleci/config.yml", "", System::Circleci),
            (".buildkite/pipeline.yml", "", System::Buildkite),
            ("Jenkinsfile", "", System::Jenkins),
            ("azure-pipelines.yml", "", System::Azure),
            ("bitbucket-pipelines.yml", "", System::Bitbucket),
            (".github/workflows/lint.yml", "", System::Github),
            (".git/config", github, System::Github),
            ("README.md", "", System::Shell),
        ] {
            assert_eq!(proposed(&[(file, text)]).system, expected, "{file}");
        }
    }

    #[test]
    fn a_build_is_what_the_repository_can_build() {
        for (files, expected) in [
            (&[("Dockerfile", "")][..], "docker build -t image ."),
            (
                &[
                    ("web/Dockerfile", ""),
                    ("web/node_modules/x/Dockerfile", ""),
                ],
                "docker build -t image -f web/Dockerfile web",
            ),
            (
                &[
                    ("Dockerfile", ""),
                    ("compose.yaml", "services:\n  a:\n    build: .\n"),
                ],
                "docker compose build",
            ),
            (
                &[
                    ("Dockerfile", ""),
                    ("compose.yaml", "services:\n  a:\n    image: b\n"),
                ],
                "docker build -t image .",
            ),
            (&[("docker-bake.hcl", "")], "docker buildx bake"),
            (&[("a b/Dockerfile", "")], "docker build -t image ."),
        ] {
            let text = proposed(files).text;
            assert!(
                text.contains(&format!("-- {expected}\n")),
                "{files:?}: {text}"
            );
        }
    }

    #[test]
    fn a_file_that_is_there_gets_lines_and_places() {
        let workflow = "jobs:\n  a:\n    steps:\n      - run: docker build -t web .\n";
        let found = proposed(&[
            (".github/workflows/a-lint.yml", "jobs: {}\n"),
            (".github/workflows/image.yml", workflow),
        ]);
        assert!(found.exists);
        assert_eq!(found.file, Path::new(".github/workflows/image.yml"));
        let places: Vec<&str> = found
            .additions
            .iter()
            .map(|one| one.place.as_str())
            .collect();
        assert_eq!(places[1], "above line 4: - run: docker build -t web .");
        assert_eq!(places.len(), 3, "{places:?}");
        assert!(found.additions[1].lines.contains("larder up"));
        assert!(found.additions[2].lines.contains("larder down"));
        let printed_to = repository(&[("larder.sh", "")]);
        let found = propose(printed_to.path(), Some(System::Shell), None);
        assert!(!found.exists, "larder init shell --print > larder.sh");
        let other = proposed(&[(".github/workflows/a-lint.yml", "jobs: {}\n")]);
        assert!(
            !other.exists,
            "a workflow that builds no image is not the place"
        );
        assert_eq!(other.file, Path::new(".github/workflows/larder.yml"));
    }

    #[test]
    fn nothing_of_a_template_is_left() {
        let folder = repository(&[("Dockerfile", "")]);
        for system in System::ALL {
            for store in ["s3://b/p", "gs://b/p", "az://c/p", "file:///srv/larder"] {
                let found = propose(folder.path(), Some(system), Some(store));
                assert!(found.text.contains(store), "{}", found.text);
                let needs = !store.starts_with("file:");
                let names = ["AWS_", "GOOGLE_", "AZURE_"].map(|name| found.text.contains(name));
                assert_eq!(names.contains(&true), needs, "{}", found.text);
                for line in found.text.lines() {
                    assert_eq!(line, line.trim_end());
                    let rest = line.replace("checkout@v5", "");
                    assert!(!rest.contains('@') || rest.contains("$@"), "{line}");
                }
                assert_eq!(found.chosen.len(), 3);
            }
        }
    }

    #[test]
    fn lock_files_lead_to_caches() {
        let found = proposed(&[("Dockerfile", "FROM a\n"), ("package-lock.json", "{}")]);
        assert!(found.chosen[3].contains("/root/.npm"), "{:?}", found.chosen);
        let mounted = "RUN --mount=type=cache,target=/root/.npm npm ci\n";
        let found = proposed(&[("Dockerfile", mounted), ("package-lock.json", "{}")]);
        assert_eq!(found.chosen.len(), 3);
    }
}
