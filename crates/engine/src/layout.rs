//! Where an engine's parts are: its roots on the volume, its sockets in the run directory.

use std::path::{Path, PathBuf};

pub(crate) fn data_root(volume: &Path) -> PathBuf {
    volume.join("docker")
}

pub(crate) fn containerd_root(volume: &Path) -> PathBuf {
    volume.join("containerd")
}

pub(crate) fn containerd_socket(run_dir: &Path) -> PathBuf {
    run_dir.join("containerd.sock")
}
