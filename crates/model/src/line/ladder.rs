//! The ladder: the lineages to try for a restore, in order.

use serde::{Deserialize, Serialize};

use crate::lineage::{Lineage, Scope};

/// Which lineages a job continues, whatever the engine that it gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descent {
    /// The project.
    pub project: String,
    /// The job.
    pub job: String,
    /// The scope.
    pub scope: Scope,
    /// Scopes to try next, in order.
    pub fallback: Vec<Scope>,
}

impl Descent {
    /// The job's own lineage, of an engine of this compatibility.
    pub fn lineage(&self, compatibility: &str) -> Lineage {
        Lineage {
            project: self.project.clone(),
            compatibility: compatibility.to_owned(),
            scope: self.scope.to_string(),
            job: self.job.clone(),
        }
    }

    /// The lineages to try for a restore into an engine of this compatibility.
    pub fn ladder(&self, compatibility: &str) -> Vec<Rung> {
        let fallbacks: Vec<String> = self.fallback.iter().map(Scope::to_string).collect();
        ladder(&self.lineage(compatibility), &fallbacks)
    }
}

/// One step of a ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rung {
    /// Snapshots of exactly this lineage.
    Lineage(Lineage),
    /// Snapshots of all other jobs in this project, compatibility and scope. The lineage's own have a rung
    /// before.
    AnyJob(Lineage),
}

/// The ladder of a lineage: the same job in its own scope and then in each fallback, and only then
/// any job, in the same order of scopes.
///
/// Scopes that are not named are never looked at, so what a pull request's job wrote is read by
/// that pull request's jobs alone.
pub fn ladder(own: &Lineage, fallbacks: &[String]) -> Vec<Rung> {
    let mut scopes = vec![&own.scope];
    for scope in fallbacks {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    let lineages = scopes.into_iter().map(|scope| Lineage {
        scope: scope.clone(),
        ..own.clone()
    });
    let same_job = lineages.clone().map(Rung::Lineage);
    same_job.chain(lineages.map(Rung::AnyJob)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_job_everywhere_comes_before_any_job() {
        let own = Lineage {
            project: "shop".into(),
            compatibility: "c".into(),
            scope: "pull/7".into(),
            job: "build".into(),
        };
        let main = Lineage {
            scope: "main".into(),
            ..own.clone()
        };
        let rungs = ladder(&own, &["main".into(), "pull/7".into(), "main".into()]);
        let expected = [
            Rung::Lineage(own.clone()),
            Rung::Lineage(main.clone()),
            Rung::AnyJob(own),
            Rung::AnyJob(main),
        ];
        assert_eq!(rungs, expected);
    }
}
