//! What the instructions of a Dockerfile say, after the checks that need no variables.

use serde::Serialize;

use crate::dockerfile::error::Span;

/// An instruction with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// In capitals.
    pub keyword: &'static str,
    pub kind: Kind,
    pub span: Span,
}

/// The instructions. Field order is part of the canonical form that keys are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Kind {
    Add(Copy),
    Arg(Vec<Arg>),
    Cmd(Command),
    Copy(Copy),
    Entrypoint(Command),
    Env(Vec<(String, String)>),
    Expose(Vec<String>),
    From(From),
    Healthcheck(Healthcheck),
    Label(Vec<(String, String)>),
    Maintainer(String),
    Onbuild(String),
    Run(Run),
    Shell(Vec<String>),
    Stopsignal(String),
    User(String),
    Volume(Vec<String>),
    Workdir(String),
}

/// `FROM [--platform=P] BASE [AS NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct From {
    pub base: String,
    /// In lower case.
    pub name: Option<String>,
    pub platform: Option<String>,
}

/// One name of an `ARG`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Arg {
    pub key: String,
    pub default: Option<String>,
}

/// A command line in its shell form (one text) or exec form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Command {
    pub args: Vec<String>,
    pub exec: bool,
}

/// A here-document that a `COPY`, `ADD` or `RUN` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Inline {
    pub name: String,
    pub text: String,
    pub expand: bool,
}

/// `COPY` or `ADD`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub(crate) struct Copy {
    pub from: Option<String>,
    pub chown: Option<String>,
    pub chmod: Option<String>,
    pub checksum: Option<String>,
    pub link: bool,
    pub parents: bool,
    pub keep_git_dir: Option<bool>,
    pub unpack: Option<bool>,
    pub exclude: Vec<String>,
    pub sources: Vec<String>,
    pub inline: Vec<Inline>,
    pub dest: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Run {
    /// `--mount` values as written: their variables are replaced later.
    pub mounts: Vec<String>,
    /// The `from` of each mount.
    #[serde(skip)]
    pub mount_sources: Vec<Option<String>>,
    pub devices: Vec<String>,
    pub network: String,
    pub security: String,
    pub command: Command,
    pub heredocs: Vec<Inline>,
    /// The file has bytes here that are no UTF-8.
    #[serde(skip)]
    pub has_raw_bytes: bool,
}

/// `HEALTHCHECK`; durations in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub(crate) struct Healthcheck {
    /// Nothing for `NONE`.
    pub command: Option<Command>,
    pub interval: i64,
    pub timeout: i64,
    pub start_period: i64,
    pub start_interval: i64,
    pub retries: i32,
}
