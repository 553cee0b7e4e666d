//! Changes the volume of a project's newest snapshot, as root may on a machine of his own, and publishes it as a newer
//! one: `forge STORE PROJECT SCRIPT`. The script is a shell's; it stands in the volume's root. For `cargo xtask campaign
//! attacks`.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use larder_model::snapshot::Snapshot;
use larder_store::{Location, Source, catalog};
use larder_volume::{Prefetch, Room, Volume, VolumeOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [store, project, script] = &words[..] else {
        return Err("usage: forge STORE PROJECT SCRIPT".into());
    };
    let objects = Location::folder(Path::new(store)).open(&[])?;
    let (found, _) = catalog::list::<Snapshot>(&objects).await?;
    let mine = |one: &&catalog::Found| {
        let lineage = &one.document.lineage;
        lineage.project == *project && lineage.scope.starts_with("branch/")
    };
    let newest = found.iter().find(mine).ok_or("there is no snapshot")?;
    let source = Source::open(objects.clone(), newest.document.map, None).await?;
    let state = std::env::temp_dir().join(format!("forge-{}", std::process::id()));
    let room = Arc::new(Room::new(false)?);
    let options = VolumeOptions {
        folder: state.join("volume"),
        fuse: state.join("fuse"),
        mount: state.join("mount"),
    };
    let mount = options.mount.clone();
    let volume = Volume::open(options, Arc::clone(&room), Arc::new(source), Prefetch::Hot).await?;
    let mut forging = Command::new("sh");
    forging.args(["-uc", script]).current_dir(mount);
    // What of it can be done is done.
    tokio::task::block_in_place(|| room.run(move || forging.status()))?;
    let packed = volume.close().await?.pack(Arc::default()).await?;
    let document = Snapshot {
        map: packed.map,
        hot: packed.hot,
        created_ms: newest.document.created_ms + 1,
        parent: Some(newest.id),
        ..newest.document.clone()
    };
    catalog::publish(&objects, &document).await?;
    std::fs::remove_dir_all(state)?;
    Ok(())
}
