//! Which lineages a job continues: its project, its job, its scope and what it reads beside that.

use std::path::Path;

use larder_ci::git::{self, Repository};
use larder_ci::{Ci, detect};
use larder_local::people::Voice;
use larder_model::ladder::Descent;
use larder_model::lineage::Scope;

use super::{Choices, Settings};
use crate::args::Where;
use crate::exit::{Done, Failure};

/// The default branch, if neither CI system nor git name one.
const MAIN: &str = "main";
/// The scope of a folder that is no checkout, on a machine that is no CI system's.
const LOCAL: &str = "local";

/// Nobody says whose changes a job runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The commit is known. It is a scope of its own.
    OfCommit,
    /// Nothing is known.
    Whole,
}

impl Settings {
    /// Says it if nobody knows whose changes the job runs on. Where not even the commit is known, saving in any
    /// scope might give a stranger's state to a branch that is trusted, so the job is not begun.
    pub(super) fn doubt_scope(&self, voice: &dyn Voice) -> Done<()> {
        const CURE: &str =
            "name it: --scope \"branch/$BRANCH\" or --scope \"pull/$NUMBER\", or LARDER_SCOPE";
        match self.scope_doubt {
            None => {}
            Some(Doubt::OfCommit) => voice.warning(&format!(
                "nothing says which branch or pull request this job is for, so its scope is {}, which jobs of \
                 other commits do not read; {CURE}",
                self.project().descent.scope
            )),
            Some(Doubt::Whole) => {
                return Err(Failure::input(format!(
                    "nothing says which branch or pull request this job of a CI system is for, so its scope is \
                     not known; {CURE}"
                )));
            }
        }
        Ok(())
    }
}

impl Choices {
    /// Which lineages the job continues: by the settings, else as the CI system or git says.
    pub(super) fn descent(&self, which: &Where) -> (Descent, Option<Doubt>) {
        let ci = detect(&self.environment);
        let repository = git::find(&self.folder).unwrap_or_default();
        let fallback = self.fallback(which).map(|names| {
            let meant = names.iter().flat_map(|name| Scope::meant_by(name));
            meant.collect()
        });
        let (scope, doubt) = match self.told_scope(which) {
            Some(name) => (Scope::from(name), None),
            None => guessed_scope(&ci, &repository),
        };
        let fallback = fallback.unwrap_or_else(|| usual_fallback(&scope, &ci, &repository));
        let project = self.named_project(which).or(ci.project);
        let job = self.text(&which.job, "LARDER_JOB", &self.file.job);
        let job = job.or(ci.job).unwrap_or_else(|| "default".to_owned());
        let descent = Descent {
            fallback,
            scope,
            project: project
                .or(repository.project)
                .unwrap_or_else(|| folder_name(&self.folder)),
            job: match ci.leg {
                Some(leg) => format!("{job}/{leg}"),
                None => job,
            },
        };
        (descent, doubt)
    }

    pub(super) fn told_scope(&self, which: &Where) -> Option<String> {
        self.text(&which.scope, "LARDER_SCOPE", &self.file.scope)
    }

    fn fallback(&self, which: &Where) -> Option<Vec<String>> {
        let from_variable = self.environment.get("LARDER_FALLBACK");
        let mut named = which
            .fallback
            .clone()
            .or_else(|| Some(from_variable?.split(',').map(str::to_owned).collect()))
            .or_else(|| self.file.fallback.clone())?;
        named.retain(|name| !name.is_empty());
        Some(named)
    }
}

/// The scope of a job whose scope nobody named. A CI system's job is only that of a branch if the system itself
/// says so: the checkout of a pull request may stand on the branch that it wants to go to.
fn guessed_scope(ci: &Ci, repository: &Repository) -> (Scope, Option<Doubt>) {
    if let Some(scope) = &ci.scope {
        return (scope.clone(), None);
    }
    match (&repository.branch, &repository.commit) {
        (Some(branch), _) if !ci.is_there => (Scope::Branch(branch.clone()), None),
        (_, Some(commit)) => (Scope::Commit(commit.clone()), Some(Doubt::OfCommit)),
        _ if ci.is_there => (Scope::Named("unknown".to_owned()), Some(Doubt::Whole)),
        _ => (Scope::Named(LOCAL.to_owned()), None),
    }
}

/// The pull request's target, and the default branch.
fn usual_fallback(scope: &Scope, ci: &Ci, repository: &Repository) -> Vec<Scope> {
    let default = ci.default_branch.as_ref();
    let default = default.or(repository.default_branch.as_ref());
    let default = default.map_or(MAIN, String::as_str);
    scope.usual_fallback(ci.target.as_deref(), default)
}

fn folder_name(folder: &Path) -> String {
    let name = folder.file_name();
    name.map_or_else(|| "project".into(), |name| name.to_string_lossy())
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(
        is_there: bool,
        branch: Option<&str>,
        commit: Option<&str>,
    ) -> (String, Option<Doubt>) {
        let ci = Ci {
            is_there,
            ..Ci::default()
        };
        let repository = Repository {
            branch: branch.map(str::to_owned),
            commit: commit.map(str::to_owned),
            ..Repository::default()
        };
        let (scope, doubt) = guessed_scope(&ci, &repository);
        (scope.to_string(), doubt)
    }

    #[test]
    fn what_is_not_known_is_no_branch() {
        let own = |text: &str| text.to_owned();
        assert_eq!(
            guessed(false, Some("main"), Some("3f")),
            (own("branch/main"), None)
        );
        assert_eq!(guessed(false, None, None), (own("local"), None));
        let of_commit = (own("commit/3f"), Some(Doubt::OfCommit));
        assert_eq!(guessed(false, None, Some("3f")), of_commit);
        // A pull request's checkout may stand on main.
        assert_eq!(guessed(true, Some("main"), Some("3f")), of_commit);
        assert_eq!(guessed(true, Some("main"), None).1, Some(Doubt::Whole));
    }
}
