//! What CI systems say about a job in its environment.
//!
//! A pull request's job gets the scope `pull/N`, never the name of its branch: a fork's branch may
//! be called `main` too. Sources: each system's page of predefined variables.

use super::{Environment, variable};

/// What a CI system says. Everything may be absent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ci {
    pub project: Option<String>,
    pub job: Option<String>,
    /// The branch, or `pull/N`.
    pub scope: Option<String>,
    /// The branch that a pull request wants to go to.
    pub target: Option<String>,
    pub default_branch: Option<String>,
}

type System = fn(Variables<'_>) -> Ci;

pub(super) fn detect(environment: &Environment) -> Ci {
    let of = Variables(environment);
    let systems: [(&str, System); 7] = [
        ("GITHUB_ACTIONS", github),
        ("GITLAB_CI", gitlab),
        ("CIRCLECI", circle),
        ("BUILDKITE", buildkite),
        ("BITBUCKET_BUILD_NUMBER", bitbucket),
        ("TF_BUILD", azure),
        ("JENKINS_URL", jenkins),
    ];
    let known = systems.iter().find(|(mark, _)| of.get(mark).is_some());
    known.map_or_else(Ci::default, |(_, system)| system(of))
}

#[derive(Clone, Copy)]
struct Variables<'a>(&'a Environment);

impl Variables<'_> {
    fn get(self, name: &str) -> Option<String> {
        variable(self.0, name)
    }

    /// The first of these variables that says something.
    fn first(self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.get(name))
    }

    /// All of these variables as a path; nothing if one of them says nothing.
    fn joined(self, names: &[&str]) -> Option<String> {
        let parts: Option<Vec<_>> = names.iter().map(|name| self.get(name)).collect();
        Some(parts?.join("/"))
    }

    /// The pull request whose number a variable has, else the branch.
    fn scope(self, pull: &str, branch: Option<String>) -> Option<String> {
        let number = self.get(pull).filter(|value| value != "false");
        number.map(|number| format!("pull/{number}")).or(branch)
    }
}

fn without_scheme(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}

fn github(of: Variables<'_>) -> Ci {
    // `pull_request_target` runs with the base branch as its ref, on behalf of the pull request.
    let event = of.get("GITHUB_EVENT_NAME").unwrap_or_default();
    let reference = of.get("GITHUB_REF").unwrap_or_default();
    let number = reference.strip_prefix("refs/pull/");
    let scope = match number.and_then(|rest| rest.split('/').next()) {
        Some(number) => Some(format!("pull/{number}")),
        None if event.starts_with("pull_request") => {
            let branch = of.get("GITHUB_HEAD_REF");
            branch.map(|branch| format!("pull-head/{branch}"))
        }
        None => of.get("GITHUB_REF_NAME"),
    };
    let server = of.get("GITHUB_SERVER_URL");
    let server = server.as_deref().map_or("github.com", without_scheme);
    let repository = of.get("GITHUB_REPOSITORY");
    let event = of.get("GITHUB_EVENT_PATH");
    Ci {
        project: repository.map(|name| format!("{server}/{name}")),
        job: of.get("GITHUB_JOB"),
        scope,
        target: of.get("GITHUB_BASE_REF"),
        default_branch: event.and_then(|path| default_branch_of_event(&path)),
    }
}

/// GitHub tells the default branch only in the event's payload, a file of some kilobytes.
fn default_branch_of_event(path: &str) -> Option<String> {
    let payload = std::fs::read(path).ok()?;
    let payload: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    let branch = payload["repository"]["default_branch"].as_str()?;
    Some(branch.to_owned())
}

fn gitlab(of: Variables<'_>) -> Ci {
    Ci {
        project: of.joined(&["CI_SERVER_HOST", "CI_PROJECT_PATH"]),
        job: of.get("CI_JOB_NAME"),
        scope: of.scope("CI_MERGE_REQUEST_IID", of.get("CI_COMMIT_REF_NAME")),
        target: of.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"),
        default_branch: of.get("CI_DEFAULT_BRANCH"),
    }
}

fn circle(of: Variables<'_>) -> Ci {
    // CIRCLE_PR_NUMBER is set for forks; their CIRCLE_BRANCH is `pull/N` already.
    let branch = of.first(&["CIRCLE_BRANCH", "CIRCLE_TAG"]);
    Ci {
        project: of.joined(&["CIRCLE_PROJECT_USERNAME", "CIRCLE_PROJECT_REPONAME"]),
        job: of.get("CIRCLE_JOB"),
        scope: of.scope("CIRCLE_PR_NUMBER", branch),
        ..Ci::default()
    }
}

fn buildkite(of: Variables<'_>) -> Ci {
    Ci {
        project: of.joined(&["BUILDKITE_ORGANIZATION_SLUG", "BUILDKITE_PIPELINE_SLUG"]),
        job: of.first(&["BUILDKITE_STEP_KEY", "BUILDKITE_LABEL"]),
        scope: of.scope("BUILDKITE_PULL_REQUEST", of.get("BUILDKITE_BRANCH")),
        target: of.get("BUILDKITE_PULL_REQUEST_BASE_BRANCH"),
        default_branch: of.get("BUILDKITE_PIPELINE_DEFAULT_BRANCH"),
    }
}

fn bitbucket(of: Variables<'_>) -> Ci {
    let name = of.get("BITBUCKET_REPO_FULL_NAME");
    let branch = of.first(&["BITBUCKET_BRANCH", "BITBUCKET_TAG"]);
    Ci {
        project: name.map(|name| format!("bitbucket.org/{name}")),
        scope: of.scope("BITBUCKET_PR_ID", branch),
        target: of.get("BITBUCKET_PR_DESTINATION_BRANCH"),
        ..Ci::default()
    }
}

fn azure(of: Variables<'_>) -> Ci {
    // BUILD_SOURCEBRANCHNAME is the last part alone: `main` of a branch `feature/main`.
    let branch = of.get("BUILD_SOURCEBRANCH").map(|full| {
        let mut prefixes = ["refs/heads/", "refs/tags/"].iter();
        let name = prefixes.find_map(|it| full.strip_prefix(it));
        name.unwrap_or(&full).to_owned()
    });
    Ci {
        project: of.joined(&["SYSTEM_TEAMPROJECT", "BUILD_REPOSITORY_NAME"]),
        job: of.joined(&["SYSTEM_STAGENAME", "SYSTEM_JOBNAME"]),
        scope: of.scope("SYSTEM_PULLREQUEST_PULLREQUESTID", branch),
        target: of.get("SYSTEM_PULLREQUEST_TARGETBRANCHNAME"),
        ..Ci::default()
    }
}

fn jenkins(of: Variables<'_>) -> Ci {
    Ci {
        job: of.get("STAGE_NAME"),
        scope: of.scope("CHANGE_ID", of.get("BRANCH_NAME")),
        target: of.get("CHANGE_TARGET"),
        ..Ci::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_pull_request_from_a_branch_called_main_is_not_main() {
        let jobs = [
            vec![
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_EVENT_NAME", "pull_request"),
                ("GITHUB_REF", "refs/pull/7/merge"),
                ("GITHUB_HEAD_REF", "main"),
                ("GITHUB_BASE_REF", "main"),
                ("GITHUB_REF_NAME", "7/merge"),
            ],
            vec![
                ("GITLAB_CI", "true"),
                ("CI_MERGE_REQUEST_IID", "7"),
                ("CI_COMMIT_REF_NAME", "main"),
                ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main"),
            ],
            vec![
                ("BUILDKITE", "true"),
                ("BUILDKITE_PULL_REQUEST", "7"),
                ("BUILDKITE_BRANCH", "main"),
                ("BUILDKITE_PULL_REQUEST_BASE_BRANCH", "main"),
            ],
        ];
        for job in jobs {
            let found = detect(&environment(&job));
            assert_eq!(found.scope.as_deref(), Some("pull/7"), "{job:?}");
            assert_eq!(found.target.as_deref(), Some("main"), "{job:?}");
        }
        let target = environment(&[
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", "pull_request_target"),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_REF_NAME", "main"),
            ("GITHUB_HEAD_REF", "main"),
        ]);
        assert_eq!(detect(&target).scope.as_deref(), Some("pull-head/main"));
    }

    #[test]
    fn a_push_has_its_branch_and_job() {
        let found = detect(&environment(&[
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "shop/web"),
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_REF", "refs/heads/feature/x"),
            ("GITHUB_REF_NAME", "feature/x"),
            ("GITHUB_JOB", "build"),
        ]));
        assert_eq!(found.project.as_deref(), Some("github.com/shop/web"));
        assert_eq!(found.scope.as_deref(), Some("feature/x"));
        assert_eq!(found.job.as_deref(), Some("build"));
        let circle = detect(&environment(&[
            ("CIRCLECI", "true"),
            ("CIRCLE_BRANCH", "main"),
            ("CIRCLE_JOB", "b"),
        ]));
        assert_eq!(circle.scope.as_deref(), Some("main"));
        let buildkite = detect(&environment(&[
            ("BUILDKITE", "true"),
            ("BUILDKITE_PULL_REQUEST", "false"),
            ("BUILDKITE_BRANCH", "main"),
        ]));
        assert_eq!(buildkite.scope.as_deref(), Some("main"));
        let azure = detect(&environment(&[
            ("TF_BUILD", "True"),
            ("BUILD_SOURCEBRANCH", "refs/heads/feature/main"),
            ("BUILD_SOURCEBRANCHNAME", "main"),
        ]));
        assert_eq!(azure.scope.as_deref(), Some("feature/main"));
        assert_eq!(detect(&Environment::new()), Ci::default());
    }
}
