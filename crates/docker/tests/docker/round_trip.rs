//! For each kind of engine and builder: what is built on one machine, saved, and loaded on a fresh
//! one is built again there, with as many steps from the cache as where it was built first.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use larder_docker::{Chains, ImageStore, Remote};

use crate::application::Work;
use crate::engines::{Plain, Version, both, must};
use crate::shelf::{Shelf, restore, save, save_images};

/// Those of the application that have a name.
const STAGES: [&str; 2] = ["build", "assets"];
/// Steps of the classic builder that are not FROM; those that `BuildKit` runs.
const CLASSIC_STEPS: usize = 14;
const BUILDKIT_STEPS: usize = 10;

impl Work {
    fn build(&self, engine: &Plain, buildkit: bool, more: &[String]) -> String {
        must(&mut self.build_command(engine, buildkit, more))
    }

    fn build_command(&self, engine: &Plain, buildkit: bool, more: &[String]) -> Command {
        let mut command = engine.docker(&["build", "--network=none"]);
        command
            .env("DOCKER_BUILDKIT", if buildkit { "1" } else { "0" })
            .args(more)
            .arg(&self.context);
        command
    }
}

fn arguments(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn cached(said: &str) -> usize {
    let line = |line: &&str| line.ends_with("Using cache") || line.ends_with(" CACHED");
    said.lines().filter(line).count()
}

/// The image that each stage of a classic build ended with: the last ` ---> id` before the next FROM.
fn stage_images(said: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut last = None;
    for line in said.lines() {
        let from = line.starts_with("Step ") && line.contains(" : FROM ");
        if from || line.starts_with("Successfully built ") {
            found.extend(last.take());
        }
        if let Some(id) = line.strip_prefix(" ---> ") {
            let hex = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            last = hex.then(|| id.to_owned()).or(last);
        }
    }
    found
}

#[tokio::test]
async fn the_older_classic_builder_finds_loaded_parents() {
    let work = Work::new();
    let (older, store) = (Version::Older, ImageStore::Overlay2);
    let plain = arguments("-t app");
    let first = work.engine("a", older, store);
    assert_eq!(cached(&work.build(&first, false, &plain)), 0);
    assert_eq!(cached(&work.build(&first, false, &plain)), CLASSIC_STEPS);
    let api = first.connect().await;
    assert!(api.about().trusts_loaded_parents());
    let saved = save(&api, &["base:1"], Chains::Parents, None).await;
    let base = saved.contents.images.iter().find(|it| it.parent.is_none());
    assert_eq!(base.expect("the base is there, nameless").tags, [""; 0]);

    let second = work.engine("b", older, store);
    let restored = restore(&second.connect().await, &saved).await;
    assert_eq!(restored.plan.layers_held, 2, "the base's");
    assert_eq!(restored.plan.left_out, []);
    assert!(restored.loaded.contains(&"app:latest".to_owned()));
    assert_eq!(cached(&work.build(&second, false, &plain)), CLASSIC_STEPS);

    work.change_source("second");
    let expected = cached(&work.build(&first, false, &plain));
    assert_eq!(cached(&work.build(&second, false, &plain)), expected);
    let again = save(
        &second.connect().await,
        &["base:1"],
        Chains::Parents,
        Some(&saved),
    )
    .await;
    let layers = |shelf: &Shelf| {
        shelf
            .blobs
            .keys()
            .filter(|it| it.ends_with("layer.tar"))
            .count()
    };
    assert!(
        again
            .blobs
            .keys()
            .all(|it| !it.ends_with("layer.tar") || again.contents.blobs.contains_key(it)),
        "every layer has its recorded name"
    );
    assert_eq!(
        layers(&again) - layers(&saved),
        4,
        "only the changed steps' layers are new"
    );

    let third = work.engine("c", older, store);
    restore(&third.connect().await, &again).await;
    assert_eq!(cached(&work.build(&third, false, &plain)), CLASSIC_STEPS);
}

#[tokio::test]
async fn the_classic_builder_takes_stages_as_cache_sources() {
    let work = Work::new();
    let (version, store) = (Version::Current, ImageStore::Overlay2);
    let plain = arguments("-t app");
    let first = work.engine("a", version, store);
    work.build(&first, false, &plain);
    let said = work.build(&first, false, &plain);
    assert_eq!(cached(&said), CLASSIC_STEPS);
    let stages = stage_images(&said);
    assert_eq!(stages.len(), 3, "{said}");
    let api = first.connect().await;
    assert!(!api.about().trusts_loaded_parents());
    let selected = api.select(&["base:1".to_owned()], Chains::Tops).await;
    let selected = selected.expect("listed").images;
    assert_eq!(selected.len(), 3, "the same images: {selected:?}");
    let saved = save_stages(&api, &stages, None).await;

    let second = work.engine("b", version, store);
    let restored = restore(&second.connect().await, &saved).await;
    assert_eq!(restored.plan.layers_held, 2);
    assert_eq!(
        cached(&work.build(&second, false, &plain)),
        0,
        "as CVE-2024-24557 has it"
    );
    let mut with = from(&stages);
    // One that is gone is passed over.
    with.push("--cache-from=123456789abc".to_owned());
    let said = work.build(&second, false, &with);
    assert_eq!(cached(&said), CLASSIC_STEPS);

    work.change_source("second");
    let expected = cached(&work.build(&first, false, &with));
    let said = work.build(&second, false, &with);
    assert_eq!(cached(&said), expected);
    let stages = stage_images(&said);
    let again = save_stages(&second.connect().await, &stages, Some(&saved)).await;
    assert_eq!(again.contents.images.len(), 3);

    let third = work.engine("c", version, store);
    restore(&third.connect().await, &again).await;
    assert_eq!(
        cached(&work.build(&third, false, &from(&stages))),
        CLASSIC_STEPS
    );
}

async fn save_stages(api: &Remote, stages: &[String], parent: Option<&Shelf>) -> Shelf {
    let mut ids = Vec::new();
    for stage in stages {
        ids.push(
            api.inspect(stage)
                .await
                .expect("it answers")
                .expect("it is there")
                .id,
        );
    }
    save_images(api, &ids, parent).await
}

fn from(stages: &[String]) -> Vec<String> {
    let sources = stages.iter().map(|stage| format!("--cache-from={stage}"));
    arguments("-t app").into_iter().chain(sources).collect()
}

#[tokio::test]
async fn buildkit_takes_inline_caches_of_loaded_stages() {
    inline_cache(Version::Current).await;
}

#[tokio::test]
async fn the_older_buildkit_takes_inline_caches_of_loaded_stages() {
    inline_cache(Version::Older).await;
}

async fn inline_cache(version: Version) {
    let work = Work::new();
    let store = ImageStore::Overlay2;
    let names: Vec<String> = STAGES
        .iter()
        .chain(&["final"])
        .map(|stage| format!("larder.local/app:{stage}"))
        .collect();
    let build = |engine: &Plain, sources: bool| {
        let mut common = arguments("--build-arg=BUILDKIT_INLINE_CACHE=1");
        if sources {
            common.extend(names.iter().map(|name| format!("--cache-from={name}")));
        }
        // The application first: it is what the job waits for. The stages then are all hits.
        let mut whole = common.clone();
        whole.extend(["-t".to_owned(), names[2].clone()]);
        let said = work.build(engine, true, &whole);
        for (stage, name) in STAGES.iter().zip(&names) {
            let mut one = common.clone();
            one.extend(arguments(&format!("--target={stage} -t {name}")));
            let said = work.build(engine, true, &one);
            let steps = if *stage == "build" { 5 } else { 1 };
            assert_eq!(cached(&said), steps, "{said}");
        }
        said
    };
    let first = work.engine("a", version, store);
    assert_eq!(cached(&build(&first, false)), 0);
    let said = build(&first, false);
    assert_eq!(cached(&said), BUILDKIT_STEPS, "{said}");
    let mut saved = save_images(&first.connect().await, &names, None).await;

    // Each machine is fresh. A save after a build that came out of the cache knows as much as others.
    for (name, changed) in [("b", false), ("c", true), ("d", true), ("e", false)] {
        let mut expected = BUILDKIT_STEPS;
        if changed {
            work.change_source(name);
            expected = cached(&build(&first, false));
            assert!(0 < expected && expected < BUILDKIT_STEPS, "{expected}");
        }
        let fresh = work.engine(name, version, store);
        let api = fresh.connect().await;
        restore(&api, &saved).await;
        let said = build(&fresh, true);
        assert_eq!(cached(&said), expected, "{name}: {said}");
        saved = save_images(&api, &names, Some(&saved)).await;
    }
}

#[tokio::test]
async fn buildkit_on_containerds_store_takes_a_local_cache() {
    let work = Work::new();
    let (version, store) = (Version::Current, ImageStore::Containerd);
    let cache = work.machine.path("cache").display().to_string();
    // An export through an image first leaves its compression to that image.
    let to = arguments(&format!(
        "-t app --output=type=image,compression=uncompressed \
         --cache-to=type=local,mode=max,compression=uncompressed,dest={cache}"
    ));
    let with: Vec<String> = arguments(&format!("--cache-from=type=local,src={cache}"))
        .into_iter()
        .chain(to.clone())
        .collect();
    let first = work.engine("a", version, store);
    assert_eq!(cached(&work.build(&first, true, &to)), 0);
    let layers = layer_types(Path::new(&cache));
    assert!(
        layers == ["application/vnd.oci.image.layer.v1.tar"; 12],
        "{layers:?}"
    );
    assert_eq!(cached(&work.build(&first, true, &to)), BUILDKIT_STEPS);

    let second = work.engine("b", version, store);
    let before = files(Path::new(&cache));
    let said = work.build(&second, true, &with);
    assert_eq!(cached(&said), BUILDKIT_STEPS, "{said}");
    let after = files(Path::new(&cache));
    assert!(after.is_superset(&before), "blobs are written once");
    work.change_source("second");
    let said = work.build(&second, true, &with);
    let expected = cached(&work.build(&first, true, &arguments("-t app")));
    assert_eq!(cached(&said), expected, "{said}");

    let third = work.engine("c", version, store);
    let said = work.build(&third, true, &with);
    assert_eq!(cached(&said), BUILDKIT_STEPS, "{said}");
}

/// The blobs of a local cache: a file that is written anew has another number.
fn files(cache: &Path) -> BTreeSet<(String, u64)> {
    let blobs = fs::read_dir(cache.join("blobs/sha256")).expect("it is there");
    let blob = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.expect("an entry");
        let number = entry.metadata().expect("it is there").ino();
        (entry.file_name().to_string_lossy().into_owned(), number)
    };
    blobs.map(blob).collect()
}

/// The media types of the layers of a local cache's newest manifest.
fn layer_types(cache: &Path) -> Vec<String> {
    let read = |path: PathBuf| -> serde_json::Value {
        serde_json::from_slice(&fs::read(path).expect("it is there")).expect("JSON")
    };
    let index = read(cache.join("index.json"));
    let digest = index["manifests"][0]["digest"].as_str().expect("a digest");
    let manifest = read(cache.join("blobs").join(digest.replace(':', "/")));
    let list = manifest["manifests"].as_array().expect("a list");
    let types = list.iter().filter_map(|it| it["mediaType"].as_str());
    types
        .filter(|it| it.contains("layer"))
        .map(str::to_owned)
        .collect()
}

/// What goes wrong, and how it is told apart: a defect of the engine that later versions share.
#[tokio::test]
async fn the_classic_builder_on_containerds_store_fails_on_loaded_sources() {
    let work = Work::new();
    let (version, store) = (Version::Current, ImageStore::Containerd);
    let plain = arguments("-t app");
    let first = work.engine("a", version, store);
    work.build(&first, false, &plain);
    let said = work.build(&first, false, &plain);
    assert_eq!(cached(&said), CLASSIC_STEPS);
    let stages = stage_images(&said);
    let saved = save_stages(&first.connect().await, &stages, None).await;

    let second = work.engine("b", version, store);
    restore(&second.connect().await, &saved).await;
    assert_eq!(cached(&work.build(&second, false, &plain)), 0);
    let third = work.engine("c", version, store);
    restore(&third.connect().await, &saved).await;
    let failed = work.build_command(&third, false, &from(&stages)).output();
    let failed = failed.expect("it starts");
    let said = both(&failed);
    assert!(!failed.status.success(), "{said}");
    assert!(
        said.contains("failed to restore cached image")
            && said.contains("failed to read diff archive: \"\" failed validation"),
        "{said}"
    );
}
