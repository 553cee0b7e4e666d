//! Lineages: the lines along which snapshots follow each other, and whose changes these hold.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What makes two jobs share snapshots: the same project, job, scope and compatibility key.
///
/// One key for a whole repository is a known disaster: the fastest job wins the head, and the long
/// build never finds its own state again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lineage {
    /// The project, by default the path of its git remote.
    pub project: String,
    /// The engine that can use the state, for example `linux-amd64-overlay2-docker26`.
    pub compatibility: String,
    /// Whose changes the state holds, as [`Scope`] writes it: `branch/main`, `pull/7`.
    pub scope: String,
    /// The job of the pipeline.
    pub job: String,
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {} @ {}", self.project, self.job, self.scope)
    }
}

/// Whose changes a job runs on. A job writes to its own scope alone, so whoever can have a job run in a scope can
/// change what later jobs there start from.
///
/// A branch, a tag and a pull request are different kinds: nobody gets into the scope of one by calling another like
/// it. A branch `pull/7` is `branch/pull/7`, a tag `main` is `tag/main`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Scope {
    /// A branch of the repository itself: `branch/main`.
    Branch(String),
    /// A tag: `tag/v1`.
    Tag(String),
    /// A pull or merge request, by its number: `pull/7`. Without one, by the fork and its branch.
    Pull(String),
    /// One commit, where nobody says which branch it is of: `commit/3f2a…`.
    Commit(String),
    /// What runs on behalf of anybody, such as a comment, although its reference is a branch's:
    /// `event/issue_comment`.
    Event(String),
    /// A name that was given by hand, as it is.
    Named(String),
}

type OfKind = fn(String) -> Scope;

/// What the names of these kinds begin with.
const KINDS: [(&str, OfKind); 5] = [
    ("branch/", Scope::Branch),
    ("tag/", Scope::Tag),
    ("pull/", Scope::Pull),
    ("commit/", Scope::Commit),
    ("event/", Scope::Event),
];

impl Scope {
    /// The scopes that a job reads beside this one, if nobody names others: the branch that a pull request wants
    /// to go to, and the default branch. Never one that is written on behalf of others; and a scope of that name
    /// that was given by hand only beside another such.
    pub fn usual_fallback(&self, target: Option<&str>, default_branch: &str) -> Vec<Self> {
        let branches = target.into_iter().chain([default_branch]);
        match self {
            Self::Named(_) => branches.flat_map(Self::meant_by).collect(),
            _ => branches.map(|name| Self::Branch(name.to_owned())).collect(),
        }
    }

    /// The scopes that a name may mean where somebody wants to read them: `main` is a scope that was named so by
    /// hand, else the branch.
    pub fn meant_by(name: &str) -> Vec<Self> {
        match Self::from(name.to_owned()) {
            Self::Named(name) => vec![Self::Named(name.clone()), Self::Branch(name)],
            of_a_kind => vec![of_a_kind],
        }
    }
}

impl From<String> for Scope {
    /// The scope of this name. One that names no kind was given by hand.
    fn from(name: String) -> Self {
        for (kind, of) in KINDS {
            if let Some(rest) = name.strip_prefix(kind).filter(|rest| !rest.is_empty()) {
                return of(rest.to_owned());
            }
        }
        Self::Named(name)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(name) => write!(f, "branch/{name}"),
            Self::Tag(name) => write!(f, "tag/{name}"),
            Self::Pull(name) => write!(f, "pull/{name}"),
            Self::Commit(name) => write!(f, "commit/{name}"),
            Self::Event(name) => write!(f, "event/{name}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_never_mixed_up() {
        let own = |text: &str| text.to_owned();
        let scopes = [
            (Scope::Branch(own("main")), "branch/main"),
            (Scope::Branch(own("pull/7")), "branch/pull/7"),
            (Scope::Branch(own("branch/main")), "branch/branch/main"),
            (Scope::Tag(own("main")), "tag/main"),
            (Scope::Pull(own("7")), "pull/7"),
            (Scope::Named(own("main")), "main"),
            (Scope::Named(own("branch/")), "branch/"),
            (Scope::Named(own("feature/x")), "feature/x"),
        ];
        for (scope, name) in scopes {
            assert_eq!(scope.to_string(), name);
            assert_eq!(Scope::from(name.to_owned()), scope);
        }
    }

    #[test]
    fn only_branches_are_read_unasked() {
        let branch = |name: &str| Scope::Branch(name.to_owned());
        for own in [branch("main"), Scope::Pull("7".to_owned())] {
            let read = own.usual_fallback(Some("release"), "main");
            assert_eq!(read, [branch("release"), branch("main")]);
        }
        let meant = [Scope::Named("main".to_owned()), branch("main")];
        assert_eq!(Scope::meant_by("main"), meant);
        let topic = Scope::Named("topic".to_owned());
        assert_eq!(topic.usual_fallback(None, "main"), meant);
        assert_eq!(Scope::meant_by("pull/7"), [Scope::Pull("7".to_owned())]);
    }
}
