//! What CI systems say about a job in its environment.
//!
//! A scope decides what later jobs start from, so it is taken only from variables that say without doubt on whose
//! behalf the job runs. A pull request's job gets the scope `pull/N`, never the name of a branch: a fork's branch
//! may be called `main` too, and some systems give the branch that the request wants to go to. Where a system
//! says nothing, or is not known, there is no scope: the caller finds one that no trusted branch reads. Sources:
//! each system's page of predefined variables.

mod github;
mod systems;
mod table;

use std::collections::BTreeMap;

use larder_model::lineage::Scope;
use serde_json::Value;

/// The environment of a job.
pub type Environment = BTreeMap<String, String>;

/// What a CI system says. Everything may be absent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ci {
    /// Whether the job runs on a CI system at all, known or not.
    pub is_there: bool,
    /// The project, as forges call it: host and path.
    pub project: Option<String>,
    /// The job, with all by which the system tells the legs of one job apart.
    pub job: Option<String>,
    /// The leg, as the pipeline says it where the system does not.
    pub leg: Option<String>,
    /// Whose changes the job runs on.
    pub scope: Option<Scope>,
    /// The branch that a pull request wants to go to.
    pub target: Option<String>,
    /// The branch that clones get.
    pub default_branch: Option<String>,
}

/// Variables that some CI system or other sets (ci-info `index.js`, `exports.isCI`).
const MARKS: [&str; 9] = [
    "CI",
    "CONTINUOUS_INTEGRATION",
    "BUILD_ID",
    "BUILD_NUMBER",
    "CI_APP_ID",
    "CI_BUILD_ID",
    "CI_BUILD_NUMBER",
    "CI_NAME",
    "RUN_ID",
];

/// What tells one leg of a job from the others, for systems that give all of them the same variables.
const LEG: &str = "LARDER_LEG";

/// What the CI system of this job says.
pub fn detect(environment: &Environment) -> Ci {
    let of = Variables(environment);
    Ci {
        leg: of.get(LEG).and_then(|text| leg(&text)),
        ..system(of)
    }
}

/// A leg's name. A matrix may be given as a whole, as JSON: then it is its values, in the order of their names. A job
/// without one has `null` there.
fn leg(text: &str) -> Option<String> {
    let Ok(matrix) = serde_json::from_str::<BTreeMap<String, Value>>(text) else {
        return (text != "null").then(|| text.to_owned());
    };
    let values = matrix.values().map(|value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let name = values.collect::<Vec<_>>().join(",");
    (!name.is_empty()).then_some(name)
}

fn system(of: Variables<'_>) -> Ci {
    // Runners of other systems may carry out GitHub's jobs, and then have their own variables too.
    if of.get("GITHUB_ACTIONS").is_some() {
        return github::job(of);
    }
    if let Some(ci) = systems::job(of) {
        return ci;
    }
    let denied = of.get("CI").is_some_and(|ci| ci == "false" || ci == "0");
    Ci {
        is_there: !denied && of.first(&MARKS).is_some(),
        ..Ci::default()
    }
}

#[derive(Clone, Copy)]
struct Variables<'a>(&'a Environment);

impl Variables<'_> {
    /// A variable; an empty one says nothing.
    fn get(self, name: &str) -> Option<String> {
        let value = self.0.get(name);
        value.filter(|value| !value.is_empty()).cloned()
    }

    /// The first of these variables that says something.
    fn first(self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.get(name))
    }

    /// All of these variables as a path; nothing if one of them says nothing.
    fn joined(self, names: &[&str]) -> Option<String> {
        let parts: Option<Vec<_>> = names.iter().map(|name| self.get(name)).collect();
        Some(parts?.join("/")).filter(|path| !path.is_empty())
    }
}

/// What a git reference is of, as forges name them.
fn scope_of(reference: &str) -> Option<Scope> {
    const PULLS: [&str; 3] = ["refs/pull/", "refs/merge-requests/", "refs/pull-requests/"];
    if let Some(branch) = reference.strip_prefix("refs/heads/") {
        return Some(Scope::Branch(branch.to_owned()));
    }
    if let Some(tag) = reference.strip_prefix("refs/tags/") {
        return Some(Scope::Tag(tag.to_owned()));
    }
    let pull = PULLS.iter().find_map(|it| reference.strip_prefix(it))?;
    let number = pull.split('/').next().filter(|number| !number.is_empty());
    Some(Scope::Pull(number?.to_owned()))
}

/// A branch, where some say it by its reference.
fn branch_of(name: &str) -> String {
    name.strip_prefix("refs/heads/").unwrap_or(name).to_owned()
}

fn without_scheme(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job's variables, `NAME=VALUE` by spaces.
    pub(super) fn job(variables: &str) -> Ci {
        let pairs = variables.split_whitespace().map(|pair| {
            let (name, value) = pair.split_once('=').expect("NAME=VALUE");
            (name.to_owned(), value.to_owned())
        });
        detect(&pairs.collect())
    }

    pub(super) fn scope(variables: &str) -> Option<String> {
        job(variables).scope.map(|scope| scope.to_string())
    }

    #[test]
    fn what_is_not_known_has_no_scope() {
        assert_eq!(detect(&Environment::new()), Ci::default());
        for variables in ["CI=true", "CI=1 BRANCH=main", "BUILD_NUMBER=3", "CI_NAME=x"] {
            let found = job(variables);
            assert!(found.is_there && found.scope.is_none(), "{variables}");
        }
        assert!(!job("CI=false").is_there);
    }

    #[test]
    fn a_leg_is_what_the_pipeline_calls_it() {
        for (text, expected) in [
            ("", None),
            ("null", None),
            ("{}", None),
            ("arm", Some("arm")),
            ("3", Some("3")),
            (
                r#"{"os":"linux","node":22,"include":{"a":[true]}}"#,
                Some(r#"{"a":[true]},22,linux"#),
            ),
            (r#"{"node":22,"os":"linux"}"#, Some("22,linux")),
        ] {
            let variables = [(LEG.to_owned(), text.to_owned())].into();
            assert_eq!(detect(&variables).leg.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn references_say_what_they_are_of() {
        for (reference, scope) in [
            ("refs/heads/feature/x", Some("branch/feature/x")),
            ("refs/heads/pull/7", Some("branch/pull/7")),
            ("refs/tags/main", Some("tag/main")),
            ("refs/pull/7/merge", Some("pull/7")),
            ("refs/merge-requests/7/head", Some("pull/7")),
            ("refs/changes/07/7/1", None),
            ("refs/pull/", None),
            ("main", None),
        ] {
            let found = scope_of(reference).map(|scope| scope.to_string());
            assert_eq!(found.as_deref(), scope, "{reference}");
        }
    }
}
