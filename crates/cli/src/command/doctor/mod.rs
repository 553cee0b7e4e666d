//! `larder doctor`: what this machine, its engine, the store and the registries can do, and how builds are remembered
//! here.

mod look;
mod text;

use std::process::ExitCode;

use larder_archive::builder::{Builder, Docker, Strategy};
use larder_session::machine::BuilderProgram;
use larder_settings::args::{Doctor, Door};
use larder_settings::exit::{Done, LACKING};
use larder_settings::{Said, Settings};
use larder_store::Tried;
use serde::Serialize;

use crate::report::{Report, table};

/// What was found. What is missing says how to get it.
#[derive(Debug, Serialize)]
struct Findings {
    /// Whether `larder up` and `run` can work here.
    volume: Finding<Volume>,
    /// Whether they can with `--engine podman`.
    podman: Finding<Podman>,
    /// Whether `larder mount` can.
    directories: Finding<()>,
    /// Whether they can have a builder.
    builder: Finding<BuilderProgram>,
    /// The engine that the docker command uses.
    engine: Finding<Engine>,
    docker: Finding<Docker>,
    /// Who builds, and how `larder build` remembers that builder's steps.
    build: Finding<Build>,
    store: Finding<Store>,
    /// Whether registries say what the base images of the builds here are.
    registries: Finding<Registries>,
    /// What the environment says.
    job: TakenFor,
    disk: Finding<Disk>,
    /// By which door this job can have an engine that remembers.
    door: Finding<String>,
}

/// Something that is there, or why it is not.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Finding<T> {
    Ok(T),
    /// It is not; the text holds the cure.
    Missing(String),
}

#[derive(Debug, Serialize)]
struct Volume {
    dockerd: String,
    containerd: String,
    image_store: String,
}

#[derive(Debug, Serialize)]
struct Podman {
    version: String,
}

#[derive(Debug, Serialize)]
struct Engine {
    endpoint: String,
    version: String,
    api: String,
    image_store: String,
    platform: String,
    trusts_loaded_parents: bool,
}

#[derive(Debug, Serialize)]
struct Build {
    builder: Builder,
    strategy: Strategy,
    /// What `larder build` adds to the arguments of `docker build`.
    adds: &'static str,
}

/// A store that restores.
#[derive(Debug, Serialize)]
struct Store {
    url: String,
    /// Whether these credentials may save there, too.
    saves: bool,
    tried: Vec<Ability>,
}

#[derive(Debug, Serialize)]
struct Ability {
    #[serde(flatten)]
    tried: Tried,
    /// What must be allowed, where it is refused.
    permission: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Registries {
    /// The base images that were asked for, as people write them.
    images: Vec<String>,
}

/// What the job is taken for.
#[derive(Debug, Serialize)]
struct TakenFor {
    project: String,
    job: String,
    scope: String,
    #[serde(flatten)]
    said: Said,
}

/// The state directory's.
#[derive(Debug, Serialize)]
struct Disk {
    folder: String,
    free_bytes: u64,
    /// Nothing for whoever may not write there.
    write_bytes_per_second: Option<u64>,
}

impl<T, E: ToString> From<Result<T, E>> for Finding<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(found) => Self::Ok(found),
            Err(why) => Self::Missing(why.to_string()),
        }
    }
}

impl<T> Finding<T> {
    fn is_ok(&self) -> bool {
        matches!(self, Self::Ok(_))
    }
}

/// Looks at everything, whatever is missing.
pub(crate) fn run(verb: &Doctor, report: &Report) -> Done {
    let settings = Settings::decide(&verb.which, None, report)?;
    let mut findings = super::block_on(look::look(&settings))?;
    findings.door = findings.door_of(verb.door.unwrap_or_default()).into();
    if verb.json {
        report.json(&findings);
    } else {
        report.answer(&table::text(&text::about(&findings)));
    }
    Ok(match findings.door {
        Finding::Ok(_) => ExitCode::SUCCESS,
        Finding::Missing(_) => ExitCode::from(LACKING),
    })
}

impl Findings {
    /// The door that is open, of those that are wanted.
    fn door_of(&self, wanted: Door) -> Result<String, &'static str> {
        let volume = self.volume.is_ok() && self.disk.is_ok();
        let podman = self.podman.is_ok() && self.disk.is_ok();
        let api = self.engine.is_ok() && self.build.is_ok();
        let Finding::Ok(store) = &self.store else {
            return Err("without a store nothing is remembered; see what stands beside it above");
        };
        let open = match wanted {
            Door::Volume | Door::Any if volume => "volume: use larder run, or up and down",
            Door::Api | Door::Any if api => "api: use larder build, or restore and save",
            Door::Podman | Door::Any if podman => {
                "podman: use larder run, or up and down, with --engine podman"
            }
            Door::Podman => {
                return Err("podman cannot be used; see what stands beside it and disk above");
            }
            Door::Volume => {
                return Err("the volume cannot be used; see what stands beside it above");
            }
            Door::Api => {
                return Err("no engine answers that can remember; see what stands beside it above");
            }
            Door::Any => return Err("neither a volume nor an engine can be used; see above"),
        };
        let limit = if store.saves {
            ""
        } else {
            "; jobs here restore, and save nothing"
        };
        Ok(format!("{open}{limit}"))
    }
}
