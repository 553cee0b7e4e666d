//! What of a storage is saved: layers and images, with those that builds leave for the next one. All else belongs to
//! this machine or job.
//!
//! | path | holds |
//! |---|---|
//! | `overlay`, `overlay-layers`, `overlay-images` | layers and images |
//! | `defaultNetworkBackend` | which program makes networks. Without it podman would choose another one, because there are images |
//! | `volumes/*/_data` | what jobs wrote, if it is to be kept: a volume of the same name finds it |
//! | `overlay-containers`, `libpod`, `db.sql` | containers: environments, logs. No container may be left |
//! | `secrets`, `networks`, … | what else podman keeps for this machine |
//!
//! podman's own database goes as a whole: without containers, pods and volumes it says where the storage is, and
//! nothing else. What is removed must not come back from a snapshot that somebody else made: [`admit`] looks.

use std::path::Path;

use larder_engine::EngineError;
use larder_engine::paths::{file, folder, names_in, read, remove};
use larder_engine::scrub::must_be_plain;
use serde::Deserialize;

use crate::Result;
use crate::storage::{CACHES_ON_VOLUME, ON_VOLUME};

/// What stays of the storage.
const KEPT: [&str; 5] = [
    "overlay",
    "overlay-layers",
    "overlay-images",
    "storage.lock",
    "defaultNetworkBackend",
];
/// Directories whose entries are directories and files. Links among layers are the layers' own.
const PLAIN: [&str; 3] = ["", "overlay-layers", "overlay-images"];
const VOLUMES: &str = "volumes";
const CONTAINERS: &str = "overlay-containers/containers.json";
/// A longer list is none.
const CONTAINERS_MAX_BYTES: u64 = 16 << 20;

#[derive(Deserialize)]
struct Container {
    id: String,
}

/// Removes what is not to be saved from a storage that nobody works in; says why nothing of it may be saved, if so.
pub fn scrub(volume: &Path, keep_volumes: bool) -> Result<Option<String>> {
    let Some(root) = folder(volume, Path::new(ON_VOLUME))? else {
        return Ok(None);
    };
    if let Some(id) = left_container(&root)? {
        return Ok(Some(format!(
            "podman's container {id:.12} is still there: its layer cannot be told from those of images"
        )));
    }
    let mut removed = Vec::new();
    for name in names_in(&root, Path::new(""))? {
        let stays = KEPT.iter().any(|kept| name == *kept) || keep_volumes && name == VOLUMES;
        if !stays {
            remove(&root, Path::new(&name), &mut removed)?;
        }
    }
    // Among volumes podman makes a device node for quotas.
    for folder in [
        &Path::new(ON_VOLUME).join(VOLUMES),
        Path::new(CACHES_ON_VOLUME),
    ] {
        for name in names_in(volume, folder)? {
            let path = folder.join(name);
            let meta = volume.join(&path).symlink_metadata();
            if !meta.is_ok_and(|meta| meta.is_dir()) {
                remove(volume, &path, &mut removed)?;
            }
        }
    }
    tracing::debug!(?removed, "scrubbed");
    Ok(None)
}

fn left_container(root: &Path) -> Result<Option<String>> {
    let Some(path) = file(root, Path::new(CONTAINERS))? else {
        return Ok(None);
    };
    let bytes = read(&path, CONTAINERS_MAX_BYTES).map_err(EngineError::io("cannot read", &path))?;
    // Of none there may be no list.
    if bytes.is_empty() {
        return Ok(None);
    }
    let list: Option<Vec<Container>> =
        serde_json::from_slice(&bytes).map_err(|error| EngineError::Malformed {
            what: "the list of containers",
            path: path.clone(),
            message: error.to_string(),
        })?;
    Ok(list
        .into_iter()
        .flatten()
        .map(|container| container.id)
        .next())
}

/// Says why nobody may work in the storage of this volume, if so: what a scrub removes is there, or something that
/// leads elsewhere.
pub fn admit(volume: &Path) -> Result<()> {
    for plain in PLAIN {
        must_be_plain(volume, Path::new(ON_VOLUME).join(plain))?;
    }
    for layers in ["overlay", "overlay/l"] {
        folder(volume, &Path::new(ON_VOLUME).join(layers))?;
    }
    // A build mounts them into its containers, with what they lead to.
    must_be_plain(volume, CACHES_ON_VOLUME)?;
    let root = volume.join(ON_VOLUME);
    for name in names_in(volume, Path::new(ON_VOLUME))? {
        if name == VOLUMES {
            admit_volumes(&root)?;
        } else if !KEPT.iter().any(|kept| name == *kept) {
            return Err(EngineError::forged(&root.join(name), "is there"));
        }
    }
    Ok(())
}

/// Each volume that was kept is a directory with its content in `_data`, which a container has mounted.
fn admit_volumes(root: &Path) -> Result<()> {
    must_be_plain(root, VOLUMES)?;
    for name in names_in(root, Path::new(VOLUMES))? {
        must_be_plain(root, Path::new(VOLUMES).join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn volume_with(files: &[&str]) -> tempfile::TempDir {
        let volume = tempfile::tempdir().expect("a directory");
        for path in files {
            let path = volume.path().join(path);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, "[]").expect("written");
        }
        volume
    }

    const IMAGES: [&str; 5] = [
        "podman/overlay/abc/diff/etc/passwd",
        "podman/overlay/abc/link",
        "podman/overlay-layers/layers.json",
        "podman/overlay-images/images.json",
        "buildah-cache/0123/file",
    ];

    #[test]
    fn images_stay_and_all_of_containers_goes() {
        let gone = [
            "podman/volumes/backingFsBlockDev",
            "buildah-cache/no-directory",
            "podman/libpod/bolt_state.db",
            "podman/db.sql",
            "podman/overlay-containers/containers.json",
            "podman/secrets/filedriver/secretsdata.json",
            "podman/networks/x.json",
        ];
        let named = "podman/volumes/data/_data/file";
        let volume = volume_with(&[&IMAGES[..], &gone, &[named]].concat());
        assert!(admit(volume.path()).is_err());
        assert_eq!(scrub(volume.path(), true).expect("scrubbed"), None);
        assert!(gone.iter().all(|path| !volume.path().join(path).exists()));
        assert!(volume.path().join(named).exists());
        admit(volume.path()).expect("what a scrub leaves is admitted");
        scrub(volume.path(), false).expect("scrubbed again");
        assert!(!volume.path().join(named).exists());
        assert!(IMAGES.iter().all(|path| volume.path().join(path).exists()));
        admit(volume.path()).expect("admitted");
        admit(volume_with(&[]).path()).expect("an empty one is");
    }

    #[test]
    fn a_container_that_is_left_is_a_doubt() {
        let volume = volume_with(&IMAGES);
        let list = volume.path().join("podman").join(CONTAINERS);
        fs::create_dir_all(list.parent().expect("below")).expect("made");
        fs::write(&list, r#"[{"id": "0123456789abcdef", "names": ["db"]}]"#).expect("written");
        let why = scrub(volume.path(), false).expect("read").expect("a doubt");
        assert!(why.contains("0123456789ab is still there"), "{why}");
        fs::write(&list, "not a list").expect("written");
        assert!(scrub(volume.path(), false).is_err());
        assert!(list.exists(), "nothing was removed");
    }

    #[test]
    fn nothing_leads_elsewhere() {
        for link in [
            "podman",
            "podman/overlay",
            "podman/overlay/l",
            "podman/overlay-layers/layers.json",
            "podman/volumes",
            "podman/volumes/data",
            "podman/volumes/data/_data",
            "buildah-cache",
            "buildah-cache/0123",
        ] {
            let volume = volume_with(&[]);
            let path = volume.path().join(link);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            symlink("/etc", &path).expect("linked");
            let refused = admit(volume.path());
            let is_forged = matches!(refused, Err(EngineError::Forged { .. }));
            assert!(is_forged, "{link}: {refused:?}");
        }
        let volume = volume_with(&["podman/overlay/abc/link"]);
        fs::create_dir(volume.path().join("podman/overlay/l")).expect("made");
        symlink("../abc/diff", volume.path().join("podman/overlay/l/AB")).expect("linked");
        admit(volume.path()).expect("a layer's own link");
    }
}
