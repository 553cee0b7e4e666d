//! What can change between two plans, as data and as sentences.

use std::fmt;

use serde::Serialize;

use crate::dockerfile::Platform;
use crate::identity::BaseIdentity;

/// The difference of two plans.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Every change, in the order in which a build meets it.
    pub changes: Vec<Change>,
    /// The stages that are rebuilt, in the file's order.
    pub rebuilt: Vec<Rebuilt>,
}

/// A stage that is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// The stage.
    pub stage: String,
    /// The line of the first instruction that is run again.
    pub from_line: u32,
}

/// How something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "was added",
            Self::Removed => "was removed",
            Self::Changed => "changed",
        })
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Change {
    /// The build is for another platform.
    Platform {
        /// Before.
        old: Platform,
        /// Now.
        new: Platform,
    },
    /// An image of the same name is another one now.
    Base {
        /// The full reference.
        reference: String,
        /// The platform.
        platform: Platform,
        /// Before.
        old: BaseIdentity,
        /// Now.
        new: BaseIdentity,
        /// The stages that use it.
        stages: Vec<String>,
    },
    /// A stage starts from something else.
    From {
        /// The stage.
        stage: String,
        /// The line of its `FROM` now.
        line: u32,
        /// Before.
        old: String,
        /// Now.
        new: String,
    },
    /// A stage is new or gone.
    Stage {
        /// The stage.
        stage: String,
        /// The line of its `FROM`; the former line if it is gone.
        line: u32,
        /// How.
        how: How,
    },
    /// A build argument has another value.
    Argument {
        /// Its name.
        name: String,
        /// How.
        how: How,
        /// The stages that declare it.
        stages: Vec<String>,
    },
    /// An option that commands run with is another.
    Option {
        /// Its name.
        name: String,
        /// How.
        how: How,
        /// The stages that run commands.
        stages: Vec<String>,
    },
    /// An instruction differs.
    Instruction {
        /// The stage.
        stage: String,
        /// The line; the former line if it is gone.
        line: u32,
        /// The keyword.
        keyword: String,
        /// How.
        how: How,
    },
    /// A file that the build is said to depend on differs.
    Extra {
        /// Its path.
        path: String,
        /// How.
        how: How,
        /// The stages that may read it.
        stages: Vec<String>,
    },
    /// A named context is another one.
    Context {
        /// Its name.
        name: String,
        /// How.
        how: How,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform { old, new } => {
                write!(f, "the build is for {new}, it was for {old}")
            }
            Self::Base {
                reference,
                platform,
                old,
                new,
                stages,
            } => {
                write!(
                    f,
                    "base image {reference} ({platform}) moved: {old:.12} -> {new:.12}"
                )?;
                used_by(f, "used by", stages)
            }
            Self::From {
                stage,
                line,
                old,
                new,
            } => {
                write!(
                    f,
                    "line {line}: stage {stage} starts from {new}, it was {old}"
                )
            }
            Self::Stage { stage, line, how } => write!(f, "line {line}: stage {stage} {how}"),
            Self::Argument { name, how, stages } => {
                write!(f, "build argument {name} {how}")?;
                used_by(f, "used by", stages)
            }
            Self::Option { name, how, stages } => {
                write!(f, "option {name} {how}")?;
                used_by(f, "used by", stages)
            }
            Self::Instruction {
                stage,
                line,
                keyword,
                how,
            } => {
                write!(f, "line {line}: {keyword} in stage {stage} {how}")
            }
            Self::Extra { path, how, stages } => {
                write!(f, "file {path} {how}")?;
                used_by(f, "read by", stages)
            }
            Self::Context { name, how } => write!(f, "build context {name} {how}"),
        }
    }
}

fn used_by(f: &mut fmt::Formatter<'_>, verb: &str, stages: &[String]) -> fmt::Result {
    if stages.is_empty() {
        return Ok(());
    }
    write!(f, ", {verb} {}", stages.join(", "))
}

impl fmt::Display for Rebuilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "stage {} is rebuilt from line {}",
            self.stage, self.from_line
        )
    }
}
