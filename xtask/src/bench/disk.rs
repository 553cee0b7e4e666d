//! A fresh machine's disk: an ext4 file system in a sparse file. A used one is copied in seconds,
//! where copying an engine's root file by file from a cold disk takes minutes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// Room for several times what the example's builds need; only what is written takes space.
const SIZE_BYTES: u64 = 16 << 30;

/// A mounted disk; unmounted and removed when dropped.
pub(super) struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    /// A new, empty disk, as a file in `folder`.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let image = folder.join("disk.img");
        let file =
            File::create(&image).with_context(|| format!("cannot create {}", image.display()))?;
        file.set_len(SIZE_BYTES)?;
        // Without zeroing in the background, which would write while a build is measured.
        process::run(
            Command::new("mkfs.ext4")
                .args(["-q", "-E", "nodiscard,lazy_itable_init=0"])
                .arg(&image),
        )?;
        Self::mount(folder, image)
    }

    /// A copy of a disk that was kept with [`Disk::keep`].
    pub(super) fn copy_of(kept: &Path, folder: &Path) -> Result<Self> {
        let image = folder.join("disk.img");
        process::run(
            Command::new("cp")
                .args(["--sparse=always", "--reflink=auto"])
                .arg(kept)
                .arg(&image),
        )?;
        Self::mount(folder, image)
    }

    /// The engine's root on this disk.
    pub(super) fn root(&self) -> PathBuf {
        self.mount.join("docker")
    }

    /// Unmounts the disk and keeps its file as `path`.
    pub(super) fn keep(self, path: &Path) -> Result<()> {
        self.unmount()?;
        fs::rename(&self.image, path).with_context(|| format!("cannot write {}", path.display()))
    }

    fn mount(folder: &Path, image: PathBuf) -> Result<Self> {
        let mount = folder.join("disk");
        fs::create_dir_all(&mount)?;
        // As a real disk: no second copy of its pages in the memory of the machine below.
        let device = process::read(
            Command::new("losetup")
                .args(["--find", "--show", "--direct-io=on", "--sector-size=4096"])
                .arg(&image),
        )?;
        let mounted = process::run(
            Command::new("mount")
                .args(["-o", "noatime"])
                .arg(&device)
                .arg(&mount),
        );
        // The kernel detaches the device when its last user is gone: after the unmount.
        process::run(Command::new("losetup").args(["--detach", &device]))?;
        mounted?;
        Ok(Self { image, mount })
    }

    fn unmount(&self) -> Result<()> {
        process::run(Command::new("umount").arg(&self.mount))
    }
}

impl Drop for Disk {
    /// A kept disk is neither mounted nor there any more: then there is nothing to do.
    fn drop(&mut self) {
        if self.image.exists() && self.unmount().is_ok() {
            let _ = fs::remove_file(&self.image);
        }
    }
}
