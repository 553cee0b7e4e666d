//! A volume that somebody else made, who may write to the store: no engine starts on it, nothing on it
//! reaches the machine, and the job works.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use larder_model::digest::SnapshotId;
use larder_model::lineage::Lineage;
use larder_model::snapshot::Snapshot;
use larder_store::{Location, Source, catalog};
use larder_volume::{Prefetch, Room, Volume, VolumeOptions};

use crate::kit::Store;
use crate::machine::{Job, Machine};

/// A container that dockerd would start with itself.
const CONTAINER: &str = r#"
id=$(printf 'a1%.0s' $(seq 32))
mkdir -p docker/containers/$id
echo '{"ID":"'$id'","State":{"Running":true},"Path":"/x","Config":{"Image":"x"},"Name":"/x","Driver":"overlay2"}' \
    > docker/containers/$id/config.v2.json
echo '{"Privileged":true,"Binds":["/:/host"],"RestartPolicy":{"Name":"always"}}' \
    > docker/containers/$id/hostconfig.json
"#;

/// Changes the volume of a lineage's newest snapshot, as root may on a machine of his own, and publishes it
/// as a newer one.
async fn forge(store: &Path, lineage: &Lineage, script: &str) -> SnapshotId {
    let objects = Location::folder(store).open(&[]).expect("a store");
    let head = catalog::head::<Snapshot>(&objects, lineage, u64::MAX);
    let head = head.await.expect("a listing").expect("a snapshot");
    let found = catalog::read(&objects, &head).await.expect("a snapshot");
    let source = Source::open(objects.clone(), found.document.map, None).await;
    let source = Arc::new(source.expect("a volume"));
    let state = tempfile::tempdir().expect("a folder");
    let room = Arc::new(Room::new(false).expect("root"));
    let options = VolumeOptions {
        folder: state.path().join("volume"),
        fuse: state.path().join("fuse"),
        mount: state.path().join("mount"),
    };
    let mount = options.mount.clone();
    let volume = Volume::open(options, Arc::clone(&room), source, Prefetch::Hot).await;
    let mut forging = Command::new("bash");
    forging.args(["-euc", script]).current_dir(mount);
    let forged = tokio::task::block_in_place(|| room.run(move || forging.status()));
    assert!(forged.expect("it runs").success());
    let seal = volume.expect("a volume").close().await.expect("sealed");
    let packed = seal.pack(Arc::default()).await.expect("stored");
    let document = Snapshot {
        map: packed.map,
        created_ms: found.document.created_ms + 1,
        parent: Some(found.id),
        ..found.document
    };
    let published = catalog::publish(&objects, &document).await;
    published.expect("published")
}

fn lineage_of(job: &Job) -> Lineage {
    serde_json::from_value(job.report["lineage"].clone()).expect("a lineage")
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes() {
    let (store, machine) = (Store::new(), Machine::new());
    let host = tempfile::tempdir().expect("a folder");
    fs::write(host.path().join("kept"), "x").expect("written");
    let links = format!(
        "rm -r docker/volumes && ln -s {} docker/volumes",
        host.path().display()
    );
    let line =
        "echo x > $HOME/file; tar -C $HOME -c file | docker import - image; docker ps -aq | wc -l";
    let mut lineage = lineage_of(&machine.job(&store.url(), &[], line).saved());
    for (name, script, said) in [
        ("a container", CONTAINER, "docker/containers/a1a1"),
        (
            "a link",
            &*links,
            "docker/volumes is neither a directory nor a file",
        ),
    ] {
        let id = forge(store.path(), &lineage, script).await;
        let job = machine.job(&store.url(), &[], line);
        let warning = format!("starting empty, snapshot {id:.12} cannot be used");
        let told = job.said.lines().filter(|line| line.contains(&warning));
        let told: Vec<&str> = told.filter(|line| line.contains(said)).collect();
        assert_eq!(told.len(), 1, "{name}: {}", job.said);
        assert!(job.said.contains("may be forged"), "{name}: {}", job.said);
        assert!(
            job.said.lines().any(|line| line == "0"),
            "{name}: {}",
            job.said
        );
        assert!(job.report["restored"].is_null(), "{name}");
        assert!(host.path().join("kept").exists(), "{name}");
        machine.assert_untouched();
        lineage = lineage_of(&job.saved());
    }
    let job = machine.job(&store.url(), &[], line);
    assert!(!job.report["restored"].is_null(), "{}", job.said);
}
