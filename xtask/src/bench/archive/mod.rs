//! `bench archive`: images saved and restored through an engine's API, against `docker save | gzip`
//! and `gunzip | docker load` of the same images in the same run, with the engine's own export and
//! its own unpacking beside them as the floor.

mod commands;
mod layer;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::disk::Disk;
use super::measure::drop_page_cache;
use super::table::{Common, Rounds};
use crate::dockerd::{Dockerd, ImageStore};
use crate::job::application::{Application, IMAGE};
use crate::say;
use commands::{Cost, Engine, Larder};
use layer::Dependencies;

/// Images through an engine's API, against `docker save | gzip` and `gunzip | docker load`
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    repeated: Rounds,
    /// Writes every round to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Saving some images by both, and what the engine's part of it is.
#[derive(Serialize)]
struct Saving {
    larder: Cost,
    peer: Cost,
    /// `docker save` to nowhere: no save through the API is faster.
    export: f64,
}

/// Loading these images into a fresh engine.
#[derive(Serialize)]
struct Loading {
    larder: Cost,
    peer: f64,
    /// `docker load` of a tar that is not compressed.
    unpacking: f64,
}

/// What one round measured.
#[derive(Serialize)]
struct Round {
    first: Saving,
    changed: Saving,
    restore: Loading,
}

/// All rounds, and what is the same in each of them.
#[derive(Serialize)]
struct Measured {
    rounds: Vec<Round>,
    dependencies: Dependencies,
}

/// Runs the benchmark.
pub(super) fn run(args: &Args) -> Result<()> {
    let (machine, folder, program) = args.common.place()?;
    let bench = Bench {
        program,
        application: Application::create(folder.path().join("context"))?,
        disk: Disk::create(folder.path())?,
        folder: folder.path(),
    };
    bench.application.make_classic()?;
    let dependencies = say::timed("built the images", || bench.prepare(&machine.base_tar))?;
    let mut rounds = Vec::new();
    for number in 1..=args.repeated.rounds {
        let what = format!("round {number}");
        rounds.push(say::timed(&what, || bench.round(number))?);
    }
    let measured = Measured {
        rounds,
        dependencies,
    };
    if let Some(path) = &args.json {
        fs::write(path, serde_json::to_vec_pretty(&measured)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    args.common.show("archive", &table::of(&measured)?)
}

struct Bench<'a> {
    folder: &'a Path,
    program: PathBuf,
    application: Application,
    /// The disk of the machine that builds.
    disk: Disk,
}

impl Bench<'_> {
    /// Builds the images, and the dependencies a second time after one was added; saves both.
    fn prepare(&self, base_tar: &Path) -> Result<Dependencies> {
        let folder = self.folder("dependencies")?;
        let running = Dockerd::start(&self.disk.root(), ImageStore::Overlay2)?;
        let engine = Engine::new(&running, &folder);
        engine.import(base_tar)?;
        engine.build(&self.application)?;
        let larder = self.larder(&engine, &folder.join("store"));
        larder.save(&[&commands::stage("dependencies")])?;
        let before = layer::top(&engine, &commands::stage("dependencies"), "before")?;

        let other = Application::create(folder.join("context"))?;
        other.make_classic()?;
        other.add_dependency()?;
        let again = format!("{IMAGE}:dependencies-again");
        engine.build_stage(&other, "dependencies", &again)?;
        let cost = larder.save(&[&again])?;
        let after = layer::top(&engine, &again, "after")?;
        running.stop()?;
        layer::compare(&before, &after, cost.bytes)
    }

    /// One round, in stores and on machines of its own.
    fn round(&self, number: u32) -> Result<Round> {
        let folder = self.folder(&format!("round-{number}"))?;
        let running = Dockerd::start(&self.disk.root(), ImageStore::Overlay2)?;
        let engine = Engine::new(&running, &folder);
        let larder = self.larder(&engine, &folder.join("store"));
        let first = save(&engine, &larder)?;
        self.application.change_source(number)?;
        engine.build(&self.application)?;
        let changed = save(&engine, &larder)?;
        let ids = engine.ids()?;
        running.stop()?;
        Ok(Round {
            first,
            changed,
            restore: self.load(&folder, &ids)?,
        })
    }

    /// Loads what the round saved last into fresh engines.
    fn load(&self, folder: &Path, ids: &str) -> Result<Loading> {
        let archive = commands::archive(folder);
        let tar = folder.join("images.tar");
        commands::unzip(&archive, &tar)?;
        let peer = on_fresh(folder, "peer", ids, |engine| engine.load_gz(&archive))?;
        let unpacking = on_fresh(folder, "floor", ids, |engine| engine.load(&tar))?;
        let larder = on_fresh(folder, "larder", ids, |engine| {
            self.larder(engine, &folder.join("store")).restore()
        })?;
        // Several hundred MB that nobody needs any more.
        fs::remove_file(&tar).with_context(|| format!("cannot remove {}", tar.display()))?;
        Ok(Loading {
            larder,
            peer,
            unpacking,
        })
    }

    fn larder<'a>(&'a self, engine: &'a Engine, store: &Path) -> Larder<'a> {
        Larder {
            program: &self.program,
            store: store.to_owned(),
            engine,
        }
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }
}

/// Saves the engine's images by both. A job saves what it has just built: all of it is in the page
/// cache, after a first export that does not count.
fn save(engine: &Engine, larder: &Larder) -> Result<Saving> {
    let images = commands::images();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    engine.export(&images)?;
    let larder = larder.save(&images)?;
    let peer = engine.save_gz(&images)?;
    Ok(Saving {
        larder,
        peer,
        export: engine.export(&images)?,
    })
}

/// Measures on an engine that has never seen an image, and looks whether it has these then.
fn on_fresh<T>(
    folder: &Path,
    name: &str,
    ids: &str,
    measure: impl FnOnce(&Engine) -> Result<T>,
) -> Result<T> {
    let folder = folder.join(name);
    fs::create_dir_all(&folder)?;
    let disk = Disk::create(&folder)?;
    let running = Dockerd::start(&disk.root(), ImageStore::Overlay2)?;
    let engine = Engine::new(&running, &folder);
    drop_page_cache()?;
    let measured = measure(&engine)?;
    let loaded = engine.ids()?;
    running.stop()?;
    ensure!(
        loaded == ids,
        "{name}: the engine has other images than were saved:\n{loaded}\ninstead of\n{ids}"
    );
    Ok(measured)
}
