//! An engine that is stopped, scrubbed and started again still has everything a build needs, and
//! nothing that is only this machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use larder_docker::ImageStore;
use larder_engine::EngineConfig;
use larder_engine::holders::holders;
use larder_engine::quiesce::QuiesceOptions;
use larder_engine::scrub::{ScrubOptions, Scrubbed, scrub};
use larder_model::compatibility::{self, Family};

use crate::machine::{DEADLINE, Docker, Machine, context};
use crate::own::{program, start, taken_over};
use crate::room::Room;

const STEPS: usize = 4;
/// A container's environment, a network's name, a build's argument and its output.
const SECRETS: [&str; 4] = [
    "in-environment",
    "of-this-machine",
    "in-argument",
    "in-2-log",
];
const DOCKERFILE: &str = "FROM scratch\n\
    COPY busybox /busybox\n\
    RUN [\"/busybox\", \"sh\", \"-c\", \"/busybox echo one > /one; /busybox echo in-$((1+1))-log\"]\n\
    ENV KEY=value\n\
    RUN [\"/busybox\", \"sh\", \"-c\", \"/busybox echo two > /two\"]\n";

#[tokio::test]
async fn overlay2_remembers() {
    remembers(ImageStore::Overlay2).await;
}

#[tokio::test]
async fn the_containerd_store_remembers() {
    remembers(ImageStore::Containerd).await;
}

async fn remembers(store: ImageStore) {
    let machine = Machine::new();
    let room = Room::new(true);
    let config = machine.engine_config(&room, "own", store);
    let context = context(machine.directory.path(), DOCKERFILE);

    let engine = start(&room, &config).await;
    let facts = engine.facts();
    assert_eq!(
        (facts.image_store, facts.version.is_empty()),
        (store, false),
        "{facts:?}"
    );
    assert!(
        facts
            .version
            .starts_with(&config.program.version.to_string()),
        "{facts:?}"
    );
    let docker = machine.docker(engine.socket());
    for buildkit in [true, false] {
        let said = docker.build(
            &context,
            buildkit,
            "first",
            &["--build-arg", "GIVEN=in-argument"],
        );
        assert_eq!(hits(&said, buildkit), 0, "{said}");
    }
    leave_things_behind(&docker);
    let warnings = engine
        .quiesce(QuiesceOptions { networks: true }, DEADLINE)
        .await;
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(docker.run(&["ps", "-aq"]), "");
    assert_eq!(
        docker.run(&["network", "ls", "-q", "--filter", "type=custom"]),
        ""
    );
    let report = engine.stop(DEADLINE).await;
    assert!(report.is_clean(), "{report:?}");
    assert_scrubbed(&room, &config);

    let engine = start(&room, &config).await;
    let docker = machine.docker(engine.socket());
    assert_eq!(docker.run(&["ps", "-aq"]), "");
    for buildkit in [true, false] {
        let said = docker.build(&context, buildkit, "second", &[]);
        assert_eq!(
            hits(&said, buildkit),
            if buildkit { STEPS - 1 } else { STEPS },
            "{said}"
        );
    }
    assert!(engine.stop(DEADLINE).await.is_clean());
}

/// What a job may leave that is this machine's alone.
fn leave_things_behind(docker: &Docker) {
    // Containers' network needs a way out, which this room has not.
    docker.run(&[
        "run",
        "-d",
        "--network=host",
        "--restart=always",
        "-e",
        "K=in-environment",
        "first",
        "/busybox",
        "sleep",
        "600",
    ]);
    docker.run(&["network", "create", "of-this-machine"]);
}

/// How many steps came from the cache. BuildKit does not count ENV as a step.
fn hits(said: &str, buildkit: bool) -> usize {
    said.matches(if buildkit {
        " CACHED"
    } else {
        "---> Using cache"
    })
    .count()
}

fn assert_scrubbed(room: &Room, config: &EngineConfig) {
    let config = config.clone();
    room.run(move || {
        let device = rustix::fs::stat(&config.volume)
            .expect("it is mounted")
            .st_dev;
        // A shim ends by itself, some time after its container.
        let device = (rustix::fs::major(device), rustix::fs::minor(device));
        let begin = Instant::now();
        while !holders(device).is_empty() {
            assert!(begin.elapsed() < DEADLINE, "{:?}", holders(device));
            std::thread::yield_now();
        }
        let published = || SECRETS.map(|secret| files_with(&config.volume, secret));
        let before = published();
        // Of the environment only free pages of databases tell, which may have been written again.
        assert!(
            !before[1..].iter().any(Vec::is_empty),
            "nothing to scrub: {before:?}"
        );
        let scrubbed = scrub(&config.volume, config.image_store, ScrubOptions::default())
            .expect("it is stopped");
        let Scrubbed::Fit {
            removed,
            warning: None,
            ..
        } = &scrubbed
        else {
            panic!("{scrubbed:?}")
        };
        assert!(removed.contains(&PathBuf::from("network")), "{removed:?}");
        let after = published();
        assert!(
            after.iter().all(Vec::is_empty),
            "{SECRETS:?} are in {after:?}"
        );
    });
}

fn files_with(directory: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if path.is_file() {
            let bytes = fs::read(&path).expect("readable");
            if bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
            {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn this_machines_engine_continues_its_own_volumes() {
    let program = program();
    assert_eq!(
        compatibility::refusal(Family::Docker, program.version, program.version),
        None
    );
    let key = program.compatibility(ImageStore::Overlay2);
    assert!(
        key.ends_with(&format!("-overlay2-docker{}", program.version.major)),
        "{key}"
    );
}

const SETTINGS: &str = r#"{
    "registry-mirrors": ["https://mirror.test"],
    "data-root": "/nowhere",
    "no-new-privileges": true,
    "default-shm-size": "128M",
    "default-ulimits": { "nofile": { "Name": "nofile", "Soft": 242, "Hard": 242 } },
    "runtimes": { "traced": { "path": "/usr/sbin/runc" } },
    "default-runtime": "traced",
    "ipv6": true,
    "fixed-cidr-v6": "fd00:77::/64",
    "host-gateway-ip": "192.0.2.7"
}"#;

/// Containers behave as the machine's administrator said.
#[tokio::test]
async fn the_administrators_settings_are_taken_over() {
    let machine = Machine::new();
    let room = Room::new(true);
    let mut config = machine.engine_config(&room, "own", ImageStore::Overlay2);
    config.taken_over = taken_over(&machine, &config, SETTINGS);
    let engine = start(&room, &config).await;
    let docker: Docker = machine.docker(engine.socket());
    let format = "{{.RegistryConfig.Mirrors}} {{.DefaultRuntime}} {{.SecurityOptions}}";
    let info = docker.run(&["info", "--format", format]);
    for told in ["https://mirror.test/", " traced ", "name=no-new-privileges"] {
        assert!(info.contains(told), "{info}");
    }
    let context = context(
        machine.directory.path(),
        "FROM scratch\nCOPY busybox /busybox\n",
    );
    docker.build(&context, true, "app", &[]);
    let look = "ulimit -n; /busybox df -k /dev/shm; /busybox cat /proc/self/status /etc/hosts";
    let seen = docker.run(&[
        "run",
        "--rm",
        "--add-host=here:host-gateway",
        "app",
        "/busybox",
        "sh",
        "-c",
        look,
    ]);
    for told in ["242\n", " 131072 ", "NoNewPrivs:\t1", "192.0.2.7\there"] {
        assert!(seen.contains(told), "{seen}");
    }
    assert!(engine.stop(DEADLINE).await.is_clean());
}
