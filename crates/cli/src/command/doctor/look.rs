//! Looking at the machine, the store and the registries.

use std::time::Duration;

use larder_archive::builder::{self, Docker};
use larder_archive::{ArchiveError, job};
use larder_bases::images::{self, Asking};
use larder_docker::About;
use larder_local::clock::now_ms;
use larder_local::disk;
use larder_local::people::size;
use larder_model::snapshot::Snapshot;
use larder_session::{Tenant, machine};
use larder_settings::Settings;
use larder_settings::exit::{Done, Failure};
use larder_store::{Tried, catalog};

use super::{
    Ability, Build, Disk, Engine, Finding, Findings, Podman, Registries, Store, TakenFor, Volume,
};
use crate::command::refused;

/// How long a store may be in trouble while somebody waits for an answer.
const STORE_PATIENCE: Duration = Duration::from_secs(10);
/// The most time that registries are given.
const REGISTRY_LIMIT: Duration = Duration::from_secs(20);
/// An engine with a few images fits; with less the first build fails.
const FREE_MIN_BYTES: u64 = 4 << 30;

pub(super) async fn look(settings: &Settings) -> Findings {
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
        Err(failure) => Err(refused(failure, &settings.docker).await),
        found => found,
    };
    let (store, registries) = tokio::join!(store(settings), registries(settings));
    Findings {
        volume: volume.into(),
        podman: podman(settings).into(),
        directories: directories(settings).into(),
        builder: machine::builder(&settings.session.path).into(),
        engine: engine.into(),
        docker: docker.into(),
        build,
        store: store.into(),
        registries: registries.into(),
        job: of_job(settings),
        disk: of_disk(settings).into(),
        door: Finding::Missing(String::new()),
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

fn podman(settings: &Settings) -> Done<Podman> {
    let tenant = settings.for_podman()?;
    let mut settings = settings.session.clone();
    settings.tenant = tenant;
    machine::check(&settings)?;
    let program = machine::podman(&settings.path)?;
    Ok(Podman {
        version: program.version.to_string(),
    })
}

fn directories(settings: &Settings) -> Done<()> {
    let mut settings = settings.session.clone();
    settings.tenant = Tenant::Folders(Vec::new());
    Ok(machine::check(&settings)?)
}

/// Whether snapshots can be found and restored; what that needs and is refused is why not. What else a job does with
/// a store is tried as well.
async fn store(settings: &Settings) -> Done<Store> {
    let project = settings.project();
    let objects = project.store.open()?;
    objects.patience().set(STORE_PATIENCE);
    let lineage = project.descent.lineage("doctor");
    catalog::head::<Snapshot>(&objects, &lineage, now_ms()).await?;
    let name = format!("{:016x}-{}", now_ms(), std::process::id());
    let tried = objects.probe(&name).await.into_iter();
    let tried: Vec<Ability> = tried.map(|one| with_permission(one, settings)).collect();
    let mut refused = tried.iter().filter(|one| one.tried.why.is_some());
    if let Some(needed) = refused
        .clone()
        .find(|one| one.tried.ability.is_needed_to_restore())
    {
        let url = &project.store;
        return Err(Failure::failed(format!("{url}: {}", needed.trouble())));
    }
    Ok(Store {
        url: project.store.to_string(),
        saves: !refused.any(|one| one.tried.ability == larder_store::Ability::Write),
        tried,
    })
}

fn with_permission(tried: Tried, settings: &Settings) -> Ability {
    let location = settings.project().store.location();
    let refused = tried.why.is_some();
    Ability {
        permission: refused.then(|| location.permission(tried.ability)),
        tried,
    }
}

impl Ability {
    /// What is refused, and what would allow it.
    pub(super) fn trouble(&self) -> String {
        let why = self.tried.why.as_deref().unwrap_or_default();
        let permission = self.permission.unwrap_or_default();
        format!("{why}; to {}, it takes {permission}", self.tried.ability)
    }
}

/// What registries say of the base images of the builds here, if there are any.
async fn registries(settings: &Settings) -> Result<Registries, String> {
    let drafted = settings.request().drafts();
    if let Some(fault) = drafted.faults.first() {
        return Err(format!("a build here cannot be planned: {fault}"));
    }
    let asking = Asking {
        registries: &settings.project().registries,
        max_age: None,
        offline: false,
        deadline: REGISTRY_LIMIT,
        shared: None,
    };
    let resolved = images::resolve(&drafted.drafts, &asking, &[]).await;
    let answers = resolved.map_err(|fault| fault.to_string())?.answers;
    if let Some(unknown) = answers.unknown.first() {
        return Err(format!("{}: {}", unknown.reference.familiar(), unknown.why));
    }
    let known = answers.known.iter();
    Ok(Registries {
        images: known.map(|known| known.reference.familiar()).collect(),
    })
}

fn of_job(settings: &Settings) -> TakenFor {
    let descent = &settings.project().descent;
    TakenFor {
        project: descent.project.clone(),
        job: descent.job.clone(),
        scope: descent.scope.to_string(),
        said: settings.said.clone(),
    }
}

fn of_disk(settings: &Settings) -> Result<Disk, String> {
    let folder = settings.session.state.named();
    let free_bytes = disk::free_bytes(folder).map_err(|error| error.to_string())?;
    if free_bytes < FREE_MIN_BYTES {
        return Err(format!(
            "{} are free for {}; name a directory on a disk with more room with --state",
            size(free_bytes),
            folder.display()
        ));
    }
    Ok(Disk {
        folder: folder.display().to_string(),
        free_bytes,
        write_bytes_per_second: disk::bytes_per_second(folder).ok(),
    })
}
