//! The CI systems that have a template.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A CI system, or a shell script for any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // their names say it
pub enum System {
    Github,
    Gitlab,
    Circleci,
    Buildkite,
    Jenkins,
    Azure,
    Bitbucket,
    Shell,
}

/// A word that names no system.
#[derive(Debug, Clone, thiserror::Error)]
#[error("use github, gitlab, circleci, buildkite, jenkins, azure, bitbucket or shell")]
pub struct UnknownSystem;

impl System {
    /// All of them, in the order in which a repository is looked through for their files.
    pub const ALL: [Self; 8] = [
        Self::Github,
        Self::Gitlab,
        Self::Circleci,
        Self::Buildkite,
        Self::Jenkins,
        Self::Azure,
        Self::Bitbucket,
        Self::Shell,
    ];

    /// Its name as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Circleci => "circleci",
            Self::Buildkite => "buildkite",
            Self::Jenkins => "jenkins",
            Self::Azure => "azure",
            Self::Bitbucket => "bitbucket",
            Self::Shell => "shell",
        }
    }

    /// The file that it reads; GitHub's reads all of a folder.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Github => ".github/workflows/larder.yml",
            Self::Gitlab => ".gitlab-ci.yml",
            Self::Circleci => ".circleci/config.yml",
            Self::Buildkite => ".buildkite/pipeline.yml",
            Self::Jenkins => "Jenkinsfile",
            Self::Azure => "azure-pipelines.yml",
            Self::Bitbucket => "bitbucket-pipelines.yml",
            Self::Shell => "larder.sh",
        }
    }

    pub(super) fn template(self) -> &'static str {
        match self {
            Self::Github => include_str!("templates/github.yml"),
            Self::Gitlab => include_str!("templates/gitlab.yml"),
            Self::Circleci => include_str!("templates/circleci.yml"),
            Self::Buildkite => include_str!("templates/buildkite.yml"),
            Self::Jenkins => include_str!("templates/jenkins.groovy"),
            Self::Azure => include_str!("templates/azure.yml"),
            Self::Bitbucket => include_str!("templates/bitbucket.yml"),
            Self::Shell => include_str!("templates/shell.sh"),
        }
    }

    /// Whether its steps share no variables, so that the command itself is run by Larder.
    pub(super) fn runs_commands(self) -> bool {
        !matches!(self, Self::Github | Self::Gitlab | Self::Circleci)
    }

    /// How an engine remembers here.
    pub(super) fn door(self) -> &'static str {
        match self {
            Self::Github => {
                "volume: GitHub's machines give root, so the job gets an engine of its own that remembers all"
            }
            Self::Gitlab => {
                "volume: a privileged container, as docker:dind needs it too, gets an engine of its own that remembers all"
            }
            Self::Circleci => {
                "volume: the machine executor gives root, so the job gets an engine of its own that remembers all"
            }
            Self::Bitbucket => {
                "API: the engine is a service without root, so images and build cache are saved and loaded"
            }
            Self::Buildkite | Self::Jenkins | Self::Azure | Self::Shell => {
                "volume: with sudo the job gets an engine of its own that remembers all; without it use `larder build`"
            }
        }
    }

    /// Whose changes a job runs on.
    pub(super) fn scope(self) -> &'static str {
        match self {
            Self::Shell => {
                "the branch that is checked out; on a CI system as it says, or by LARDER_SCOPE"
            }
            Self::Gitlab => {
                "as GitLab says: branch/NAME, or pull/N of a merge request, which starts from its target"
            }
            _ => {
                "as the CI system says: branch/NAME, or pull/N, which starts from the branch it goes to"
            }
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for System {
    type Err = UnknownSystem;

    fn from_str(name: &str) -> Result<Self, UnknownSystem> {
        let mut all = Self::ALL.into_iter();
        all.find(|system| system.name() == name)
            .ok_or(UnknownSystem)
    }
}
