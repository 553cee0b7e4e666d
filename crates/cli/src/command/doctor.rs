//! `larder doctor`: what this machine and its engine can do, and how builds are remembered here.

use std::process::ExitCode;

use comfy_table::Table;
use larder_archive::builder::{self, Builder, Docker, Strategy};
use larder_archive::{ArchiveError, job};
use larder_docker::About;
use larder_local::clock::now_ms;
use larder_model::snapshot::Snapshot;
use larder_session::{Tenant, machine};
use larder_settings::Settings;
use larder_settings::args::Doctor;
use larder_settings::exit::Done;
use larder_store::catalog;
use serde::Serialize;

use crate::report::{Report, table};

/// What was found. What is missing says how to get it.
#[derive(Debug, Serialize)]
struct Findings {
    /// Whether `larder up` and `run` can work here.
    volume: Finding<Volume>,
    /// Whether `larder mount` can.
    directories: Finding<()>,
    /// The engine that the docker command uses.
    engine: Finding<Engine>,
    docker: Finding<Docker>,
    /// Who builds, and how `larder build` remembers that builder's steps.
    build: Finding<Build>,
    store: Finding<Store>,
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

#[derive(Debug, Serialize)]
struct Store {
    url: String,
}

impl<T, E: ToString> From<Result<T, E>> for Finding<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(found) => Self::Ok(found),
            Err(why) => Self::Missing(why.to_string()),
        }
    }
}

/// Looks at everything, whatever is missing.
pub(crate) fn run(verb: &Doctor, report: &Report) -> Done {
    let settings = Settings::decide(&verb.which, None, report)?;
    let findings = super::block_on(look(&settings))?;
    if verb.json {
        report.json(&findings);
    } else {
        report.answer(&table::text(&about(&findings)));
    }
    Ok(ExitCode::SUCCESS)
}

async fn look(settings: &Settings) -> Findings {
    let docker = Docker::find(&settings.session.path);
    let engine = job::connect(&settings.docker).await;
    let build = match (&docker, &engine) {
        (Ok(docker), Ok(engine)) => build(settings, docker, engine.about()).into(),
        (Err(error), _) | (_, Err(error)) => Finding::Missing(error.to_string()),
    };
    let engine = engine.map(|engine| {
        let about = engine.about();
        Engine {
            endpoint: engine.endpoint().to_string(),
            version: about.version.to_string(),
            api: about.api.to_string(),
            image_store: about.image_store.to_string(),
            platform: format!("{}/{}", about.os, about.arch),
            trusts_loaded_parents: about.trusts_loaded_parents(),
        }
    });
    let volume = match volume(settings) {
        Err(failure) => Err(super::refused(failure, &settings.docker).await),
        found => found,
    };
    Findings {
        volume: volume.into(),
        directories: directories(settings).into(),
        engine: engine.into(),
        docker: docker.into(),
        build,
        store: store(settings).await.into(),
    }
}

fn build(settings: &Settings, docker: &Docker, about: &About) -> Result<Build, ArchiveError> {
    let builder = builder::find(&settings.build_choice, about, docker)?;
    let strategy = builder::strategy(&builder, about, docker)?;
    Ok(Build {
        builder,
        strategy,
        adds: strategy.adds(),
    })
}

fn volume(settings: &Settings) -> Done<Volume> {
    let settings = &settings.session;
    machine::check(settings)?;
    let program = machine::engine(&settings.path)?;
    Ok(Volume {
        dockerd: program.version.to_string(),
        containerd: program.containerd_version.to_string(),
        image_store: settings.image_store(&program).to_string(),
    })
}

fn directories(settings: &Settings) -> Done<()> {
    let mut settings = settings.session.clone();
    settings.tenant = Tenant::Folders(Vec::new());
    Ok(machine::check(&settings)?)
}

async fn store(settings: &Settings) -> Done<Store> {
    let project = settings.project();
    let objects = project.store.open()?;
    let lineage = project.descent.lineage("doctor");
    catalog::head::<Snapshot>(&objects, &lineage, now_ms()).await?;
    Ok(Store {
        url: project.store.to_string(),
    })
}

fn about(findings: &Findings) -> Table {
    let mut table = table::plain();
    table.add_row(row("volume", &findings.volume, |volume| {
        format!(
            "larder up and run work here: dockerd {}, containerd {}, {}",
            volume.dockerd, volume.containerd, volume.image_store
        )
    }));
    table.add_row(row("directories", &findings.directories, |()| {
        "larder mount and run --dir work here".to_owned()
    }));
    table.add_row(row("engine", &findings.engine, |engine| {
        format!(
            "Docker {} ({}, {}, API {}) at {}",
            engine.version, engine.image_store, engine.platform, engine.api, engine.endpoint
        )
    }));
    table.add_row(row("docker", &findings.docker, |docker| {
        let program = docker.program.display();
        let buildx = if docker.has_buildx { "with" } else { "without" };
        format!("{program} {}, {buildx} buildx", docker.version)
    }));
    table.add_row(row("build", &findings.build, |build| {
        format!(
            "{}, remembered by {}; larder build adds {}",
            build.builder, build.strategy, build.adds
        )
    }));
    table.add_row(row("store", &findings.store, |store| {
        format!("{} answers", store.url)
    }));
    table
}

fn row<T>(what: &str, finding: &Finding<T>, text: impl Fn(&T) -> String) -> [String; 3] {
    let (is, text) = match finding {
        Finding::Ok(found) => ("ok", text(found)),
        Finding::Missing(why) => ("no", why.clone()),
    };
    [is.to_owned(), what.to_owned(), text]
}
