//! What is asked of an engine before it is stopped: containers, networks, images and build cache removed.

use std::time::Duration;

use larder_docker::{Endpoint, ImageStore, Remote, running_containers};

use crate::engines::{Plain, Version, must};
use crate::machine::{DEADLINE, Machine, context};

const SLEEPER: &str = "FROM scratch\nCOPY busybox /busybox\n\
    RUN [\"/busybox\", \"dd\", \"if=/dev/zero\", \"of=/x\", \"bs=1k\", \"count=64\"]\nCMD [\"/busybox\", \"sleep\", \"600\"]\n";

/// How many steps of a build with `BuildKit` come from the cache.
fn cached(machine: &Machine, engine: &Plain) -> usize {
    let image = context(machine.directory.path(), SLEEPER);
    let mut build = engine.docker(&["build", "--network=none", "-t", "sleeper"]);
    let said = must(build.env("DOCKER_BUILDKIT", "1").arg(image));
    said.matches(" CACHED").count()
}

async fn running(engine: &Plain) -> usize {
    let counted = running_containers(Endpoint::unix(&engine.socket), DEADLINE).await;
    counted.expect("it answers")
}

#[tokio::test]
async fn engines_of_both_versions_come_to_rest() {
    let machine = Machine::new();
    for (name, version, store) in [
        ("o", Version::Older, ImageStore::Overlay2),
        ("g", Version::Current, ImageStore::Overlay2),
        ("c", Version::Current, ImageStore::Containerd),
    ] {
        let engine = Plain::start(&machine, name, version, store, &[]);
        let api = engine.connect().await;
        assert_eq!(cached(&machine, &engine), 0);
        assert_eq!(running(&engine).await, 0);
        must(&mut engine.docker(&["run", "-d", "--network=none", "sleeper"]));
        must(&mut engine.docker(&["create", "--network=none", "sleeper"]));
        assert_eq!(running(&engine).await, 1);
        let containers = api.containers().await.expect("listed");
        assert_eq!(containers.len(), 2);
        for id in &containers {
            assert!(api.remove_container(id).await.expect("removed"));
            assert!(!api.remove_container(id).await.expect("gone already"));
        }
        assert_eq!(running(&engine).await, 0);

        must(&mut engine.docker(&["network", "create", "made"]));
        api.prune_networks().await.expect("removed");
        api.prune_networks().await.expect("nothing to remove");
        let networks = must(&mut engine.docker(&["network", "ls", "--format", "{{.Name}}"]));
        assert!(!networks.contains("made"), "{networks}");

        assert_eq!(cached(&machine, &engine), 2, "{name}");
        let records = api.build_cache().await.expect("listed");
        let ids: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
        assert!(
            records.iter().all(|record| record.used_ms > 0),
            "{records:?}"
        );
        let others = ["nothing".to_owned(), ids[0][1..].to_owned()];
        let dropped = api.drop_build_cache(&others).await;
        assert_eq!(dropped.expect("asked"), 0, "{name}");
        assert_eq!(cached(&machine, &engine), 2, "{name}");
        // What an image holds is not the cache's to free.
        let images = api.images(true).await.expect("listed");
        assert!(api.remove_whole(&images[0].id).await.expect("removed"));
        assert!(!api.remove_whole(&images[0].id).await.expect("gone already"));
        assert_eq!(api.drop_build_cache(&ids).await.expect("asked"), ids.len());
        assert_eq!(cached(&machine, &engine), 0, "{name}");
    }
}

/// An engine that takes connections and says nothing.
#[tokio::test]
async fn one_that_hangs_is_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("s");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    let limit = Duration::from_millis(50);
    let counted = running_containers(Endpoint::unix(&socket), limit).await;
    let error = counted.expect_err("nobody answers").to_string();
    assert_eq!(error, "the engine did not list containers within 50ms");
    let connected = Remote::connect(Endpoint::unix(&socket), limit).await;
    assert!(connected.is_err());
}
