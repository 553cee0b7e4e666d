//! What was found, for people: a verdict, of what, and why or how.

use comfy_table::Table;
use larder_local::people::size;
use larder_store::Ability;

use super::{Finding, Findings, Store, TakenFor};
use crate::report::{name, table};

/// Images that are named; of more their number is said.
const IMAGES_MAX: usize = 6;
/// Another part of the world.
const FAR_MS: u64 = 150;
/// A disk that is shared, or turns.
const SLOW_BYTES: u64 = 30 << 20;

pub(super) fn about(findings: &Findings) -> Table {
    let mut table = table::plain();
    table.add_row(row("volume", &findings.volume, |volume| {
        format!(
            "larder up and run work here: dockerd {}, containerd {}, {}",
            volume.dockerd, volume.containerd, volume.image_store
        )
    }));
    table.add_row(row("podman", &findings.podman, |podman| {
        format!(
            "larder up and run --engine podman work here: podman {}",
            podman.version
        )
    }));
    table.add_row(row("directories", &findings.directories, |()| {
        "larder mount and run --dir work here".to_owned()
    }));
    table.add_row(row("builder", &findings.builder, |builder| {
        format!("buildkitd {}, for --builder", builder.version)
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
    table.add_row(row("store", &findings.store, of_store));
    if let Finding::Ok(store) = &findings.store {
        let others = store.tried.iter().filter(|one| one.tried.why.is_some());
        table.add_rows(others.map(|one| {
            let what = of_lesser(one.tried.ability);
            ["--", "store", &format!("{}; {what}", one.trouble())].map(str::to_owned)
        }));
        table.add_rows(is_far(store));
    }
    table.add_row(row("registries", &findings.registries, |found| {
        of_images(&found.images)
    }));
    table.add_rows(of_job(&findings.job));
    table.add_row(row("disk", &findings.disk, |disk| {
        let speed = disk.write_bytes_per_second;
        let speed = speed.map(|speed| format!(", written at {} a second", size(speed)));
        let (free, folder) = (size(disk.free_bytes), &disk.folder);
        format!("{free} are free for {folder}{}", speed.unwrap_or_default())
    }));
    if let Finding::Ok(disk) = &findings.disk
        && disk
            .write_bytes_per_second
            .is_some_and(|speed| speed < SLOW_BYTES)
    {
        let cure = "that is slow for an engine; name a directory on a faster disk with --state";
        table.add_row(["--", "disk", cure]);
    }
    table.add_row(row("door", &findings.door, Clone::clone));
    table
}

fn row<T>(what: &str, finding: &Finding<T>, text: impl Fn(&T) -> String) -> [String; 3] {
    let (is, text) = match finding {
        Finding::Ok(found) => ("ok", text(found)),
        Finding::Missing(why) => ("no", why.clone()),
    };
    [is.to_owned(), what.to_owned(), name(&text)]
}

/// Each miss of a build waits for such a request.
fn is_far(store: &Store) -> Option<[String; 3]> {
    let mut tried = store.tried.iter().map(|one| &one.tried);
    let range = tried.find(|one| one.ability == Ability::Range && one.ms > FAR_MS)?;
    let text = format!(
        "it is far: a part of an object takes {} ms; take a store near the machines",
        range.ms
    );
    Some(["--", "store", &text].map(str::to_owned))
}

fn of_store(store: &Store) -> String {
    let can = store.tried.iter().filter(|one| one.tried.why.is_none());
    let can = can.map(|one| format!("{} {} ms", one.tried.ability, one.tried.ms));
    let can: Vec<String> = can.collect();
    format!("{} answers: {} (1 MiB)", store.url, can.join(", "))
}

/// What is not done without an ability that restoring does not need.
fn of_lesser(ability: Ability) -> &'static str {
    match ability {
        Ability::Write => {
            "jobs with these credentials restore and save nothing, as those of untrusted authors should"
        }
        Ability::Delete => {
            "garbage is not collected by these credentials, so let other jobs do that"
        }
        _ => "nothing is lost: what has the same name has the same bytes",
    }
}

fn of_images(images: &[String]) -> String {
    match images {
        [] => "no build here names an image; nothing was asked".to_owned(),
        few if few.len() <= IMAGES_MAX => format!("they know {}", few.join(", ")),
        many => format!("they know all {} base images", many.len()),
    }
}

/// Which job it is, and what of the environment helps nobody.
fn of_job(job: &TakenFor) -> Vec<[String; 3]> {
    let TakenFor {
        project,
        job: called,
        scope,
        said,
    } = job;
    let who = if said.on_ci {
        "the CI system's job"
    } else {
        "this job"
    };
    let is = if said.scope_is_told || !said.on_ci {
        "ok"
    } else {
        "no"
    };
    let cure = match is {
        "ok" => "",
        _ => "; nothing says whose changes it runs on: name that with --scope or LARDER_SCOPE",
    };
    let first = format!("{who} is {called} @ {scope} of {project}{cure}");
    let mut rows = vec![[is.to_owned(), "job".to_owned(), name(&first)]];
    if !said.of_stores.is_empty() {
        let names = said.of_stores.join(", ");
        rows.push(["ok", "job", &format!("for the store: {names}")].map(str::to_owned));
    }
    for unknown in &said.unknown {
        let text =
            format!("{unknown} is a variable that nobody reads; README.md has those that are");
        rows.push(["--", "job", &text].map(str::to_owned));
    }
    rows
}
