//! Save and restore as verbs of their own, and what they say.

use std::fs;

use larder_docker::ImageStore;
use serde_json::Value;

use crate::application::{DOCKERFILE, Work};
use crate::engines::{Version, must};

/// Two steps before the source, two from there.
const ONE_STAGE: &str = "FROM base:1\n\
    COPY package.json /app/\n\
    RUN mkdir modules && for i in $(seq 300); do echo $i > modules/$i; done\n\
    COPY src /app/src\n\
    RUN cat /app/src/* > out\n";
const OVERLAY2: ImageStore = ImageStore::Overlay2;

/// What `larder restore --flags` says for one of the two builders.
fn flags(site: &crate::kit::Site<'_>, buildkit: &str) -> crate::kit::Said {
    let mut restore = site.larder("restore");
    restore.env("DOCKER_BUILDKIT", buildkit).arg("--flags");
    site.run(restore).done()
}

/// Builds an image without layers, which keeps no other from being saved.
fn build_without_layers(site: &crate::kit::Site<'_>) {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "FROM scratch\nLABEL a=1\n";
    fs::write(folder.path().join("Dockerfile"), text).expect("a file");
    let mut build = site.engine.docker(&["build", "-t", "label"]);
    must(build.env("DOCKER_BUILDKIT", "0").arg(folder.path()));
}

#[test]
fn a_pipeline_of_its_own_steps() {
    let work = Work::new();
    let build = |site: &crate::kit::Site<'_>, more: &str| {
        let mut build = site
            .engine
            .docker(&["build", "--network=none", "-t", "app"]);
        build.env("DOCKER_BUILDKIT", "0");
        build.args(more.split_whitespace());
        must(build.arg(&work.context))
    };
    let first = work.site("a", Version::Current, OVERLAY2);
    first
        .run(first.larder("restore"))
        .done()
        .says("no archive yet");
    build(&first, "");
    build_without_layers(&first);
    let saved = first.run(first.larder("save")).done();
    saved.says("saved shop / default @ main");
    // Without an image named, all but the base are saved: the three stages.
    saved.says(": 3 images of ");
    first
        .run(first.larder("save"))
        .done()
        .says("nothing changed, nothing saved");
    assert_eq!(work.objects("archives").len(), 1);
    let mut ls = first.larder("ls");
    ls.args(["--archives", "--json"]);
    let listed: Value = serde_json::from_str(&first.run(ls).done().out).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(
        listed[0]["contents"]["images"]["images"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );

    let second = work.site("b", Version::Current, OVERLAY2);
    let restored = flags(&second, "0");
    restored.says("restored ").says("2 layers already there");
    assert_eq!(
        restored.out.matches("--cache-from=").count(),
        3,
        "{restored:?}"
    );
    let said = build(&second, &restored.out);
    assert_eq!(said.matches("Using cache").count(), 14, "{said}");
    // BuildKit would ask a registry for what has an id alone.
    let for_buildkit = flags(&second, "1").out;
    assert!(
        for_buildkit.contains("--cache-from=app") && !for_buildkit.contains("sha256:"),
        "{for_buildkit}"
    );
    let measured = |at: usize| -> Value {
        let archives = work.objects("archives");
        let text = fs::read(&archives[at]).expect("it is there");
        serde_json::from_slice::<Value>(&text).expect("JSON")["measured"].clone()
    };
    work.change_source("second");
    build(&second, &restored.out);
    second.run(second.larder("save")).done().says("saved ");
    assert_eq!(work.objects("archives").len(), 2);
    // The newest is the first by name. The first job built without an archive, the second with one.
    assert!(measured(1)["build_without_ms"].is_u64() && measured(1)["restore_ms"].is_null());
    assert!(measured(0)["restore_ms"].is_u64() && measured(0)["build_with_ms"].is_u64());
    assert_eq!(
        measured(0)["build_without_ms"],
        measured(1)["build_without_ms"]
    );
}

#[test]
fn what_costs_more_than_it_saves_is_not_restored() {
    let work = Work::new();
    let first = work.site("a", Version::Current, OVERLAY2);
    first.build(true);
    let path = work.objects("archives").remove(0);
    let mut archive: Value =
        serde_json::from_slice(&fs::read(&path).expect("it is there")).expect("JSON");
    archive["measured"] = serde_json::json!({
        "restore_ms": 9000, "build_with_ms": 1000, "build_without_ms": 5000,
    });
    // As another job of the same lineage would have published it: by the digest of its bytes.
    let bytes = serde_json::to_vec(&archive).expect("JSON");
    let id = blake3::hash(&bytes).to_hex();
    let name = path
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    fs::remove_file(&path).expect("removed");
    let time = name.split_once('-').expect("a time").0.to_owned();
    fs::write(path.with_file_name(format!("{time}-{id}.json")), bytes).expect("written");

    let second = work.site("b", Version::Current, OVERLAY2);
    let said = second.run(second.larder("restore")).done();
    said.says("is not restored: restoring took 9.0 s and made the build 4.0 s shorter; --always");
    assert!(
        must(
            &mut second
                .engine
                .docker(&["images", "-q", "larder.invalid/shop/default"])
        )
        .is_empty()
    );
    let mut always = second.larder("restore");
    // The last of both counts, so that a pipeline's variable can add to what stands there.
    always.args(["--if-worth", "--always"]);
    second.run(always).done().says("restored ");
}

#[test]
fn a_pipeline_of_its_own_steps_with_an_inline_cache() {
    let work = Work::new();
    fs::write(work.context.join("Dockerfile"), ONE_STAGE).expect("written");
    let build = |site: &crate::kit::Site<'_>, more: &str| {
        let mut build = site.engine.docker(&["build", "--network=none"]);
        build.args(["-t", "app", "--build-arg", "BUILDKIT_INLINE_CACHE=1"]);
        build
            .env("DOCKER_BUILDKIT", "1")
            .args(more.split_whitespace());
        let said = must(build.arg(&work.context));
        said.lines()
            .filter(|line| line.ends_with(" CACHED"))
            .count()
    };
    let id = |site: &crate::kit::Site<'_>| {
        must(&mut site.engine.docker(&["inspect", "-f", "{{.Id}}", "app"]))
    };
    let mut before: Option<String> = None;
    // All but the first find the steps before the change, whatever the job before them found.
    for (name, changed, found) in [
        ("a", false, 0),
        ("b", true, 2),
        ("c", true, 2),
        ("d", false, 4),
        ("e", false, 4),
        ("f", true, 2),
    ] {
        if changed {
            work.change_source(name);
        }
        let site = work.site(name, Version::Current, OVERLAY2);
        let mut restore = site.larder("restore");
        // Even where so small a build is faster without.
        restore.args(["--always", "--flags"]);
        let restored = site.run(restore).done();
        if let Some(before) = &before {
            restored.says("restored ");
            // The image itself is what was built.
            assert_eq!(id(&site), *before);
        }
        let flags = restored.out;
        assert_eq!(build(&site, &flags), found, "{name}: {flags}");
        before = Some(id(&site));
        site.run(site.larder("save")).done();
    }
}

#[test]
fn a_failed_build_passes_its_code_on_and_saves_nothing() {
    let work = Work::new();
    let site = work.site("a", Version::Current, OVERLAY2);
    fs::write(
        work.context.join("Dockerfile"),
        format!("{DOCKERFILE}RUN exit 3\n"),
    )
    .expect("written");
    for buildkit in [false, true] {
        let said = site.run(site.build_command(buildkit, &[], &[]));
        assert!(said.code != 0, "{said:?}");
        assert_eq!(
            said.report["exit_code"].as_i64(),
            Some(i64::from(said.code))
        );
        said.says("the build failed; nothing saved");
    }
    assert!(work.objects("archives").is_empty());
}

#[test]
fn wrong_input_is_told() {
    let work = Work::new();
    let site = work.site("a", Version::Current, OVERLAY2);
    let refused = |verb: &str, arguments: &[&str], why: &str| {
        let mut command = site.larder(verb);
        command.args(arguments);
        let said = site.run(command);
        assert_eq!(said.code, 2, "{said:?}");
        said.says(why);
    };
    refused(
        "save",
        &["nothing:here"],
        "the engine has no image \"nothing:here\"",
    );
    refused("build", &["-t", "app"], "\"app\" is the value of --tag");
    refused("build", &["a", "b"], "two contexts");
    refused(
        "build",
        &[".", "--no-save"],
        "--no-save is an option of Larder",
    );
    refused("save", &["--json", "/no/such/file"], "/no/such/file");
    let mut nowhere = site.larder("restore");
    nowhere.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let said = site.run(nowhere);
    assert_eq!(said.code, 3, "{said:?}");
    said.says("/nowhere/docker.sock");
}

#[test]
fn secrets_are_told_and_can_be_denied() {
    let work = Work::new();
    let site = work.site("a", Version::Current, OVERLAY2);
    let token = ["q7Vx2", "Lw9Tz4", "Kp8Rm3Nd6"].concat();
    let dockerfile =
        format!("FROM base:1\nARG TOKEN\nENV NPM_TOKEN={token}\nRUN echo $TOKEN > /x\n");
    fs::write(work.context.join("Dockerfile"), dockerfile).expect("written");
    let argument = format!("--build-arg=TOKEN={token}");
    let said = site.run(site.build_command(true, &[], &[&argument])).done();
    said.says("warning").says("--secret");
    // BuildKit shows the step itself.
    let mut ours = said
        .error
        .lines()
        .filter(|line| line.starts_with("larder:"));
    assert!(!ours.any(|line| line.contains(&token)), "{said:?}");
    assert!(!said.report["leaks"].as_array().expect("a list").is_empty());
    assert_eq!(work.objects("archives").len(), 1);
    let said = site.run(site.build_command(true, &["--deny-secrets"], &[&argument]));
    assert_eq!(said.code, 2, "{said:?}");
    said.says("--deny-secrets");
    assert_eq!(work.objects("archives").len(), 1);
}

#[test]
fn stages_are_not_built_again_for_their_images() {
    let work = Work::new();
    let stamp = "date +%s; cat /proc/uptime /proc/sys/kernel/random/uuid";
    let dockerfile = format!(
        "FROM base:1 AS one\nRUN ({stamp}) > /stamp\nFROM base:1\nCOPY --from=one /stamp /stamp\n"
    );
    fs::write(work.context.join("Dockerfile"), dockerfile).expect("written");
    let site = work.site("a", Version::Current, OVERLAY2);
    // Once with an inline export of the user's own: BuildKit takes only one.
    let options = ["--no-cache", "--pull=false", "--cache-to=type=inline"];
    site.run(site.build_command(true, &[], &options)).done();
    let copy = work.context.join("stamp");
    // Not what a container says: of one that ends at once a busy engine may lose it.
    let stamp = |image: &str| {
        let container = must(&mut site.engine.docker(&["create", image, "cat"]));
        let file = format!("{}:/stamp", container.trim());
        must(site.engine.docker(&["cp", &file]).arg(&copy));
        fs::read_to_string(&copy).expect("it was copied")
    };
    let mut list = site
        .engine
        .docker(&["images", "--format={{.Repository}}:{{.Tag}}"]);
    let images = must(&mut list);
    let one = images.lines().find(|name| name.ends_with(":stage-one"));
    assert_eq!(stamp("app"), stamp(one.expect("an image of the stage")));
}

#[test]
fn a_wrong_value_for_docker_is_named() {
    let work = Work::new();
    let site = work.site("a", Version::Current, OVERLAY2);
    let mut build = site.larder("build");
    let said = site.run({
        build.env("DOCKER_BUILDKIT", "2").arg(".");
        build
    });
    assert_eq!(said.code, 2, "{said:?}");
    said.says("DOCKER_BUILDKIT=\"2\"");
}
