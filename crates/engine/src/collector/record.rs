//! A volume's file system: how full it is, and the record of uses in its root.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use larder_model::space::Space;
use larder_model::uses::{USES_MAX_BYTES, Uses};
use rustix::fs::OFlags;

use crate::error::if_there;

const NAME: &str = "larder.json";
/// What was written before it is whole.
const UNFINISHED: &str = "larder.json.new";

/// How full the file system at `volume` is, seen from the room.
pub fn space(volume: &Path) -> io::Result<Space> {
    let stat = rustix::fs::statvfs(volume)?;
    Ok(Space {
        bytes: stat.f_blocks * stat.f_frsize,
        free_bytes: stat.f_bavail * stat.f_frsize,
        files: stat.f_files,
        free_files: stat.f_favail,
    })
}

/// The record. None, or one that cannot be read, is an empty one: whoever wrote the volume wrote it too.
pub(super) fn read(volume: &Path) -> Option<Uses> {
    let mut bytes = Vec::new();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(volume.join(NAME));
    let read = file.and_then(|file| {
        if !file.metadata()?.is_file() {
            return Ok(0);
        }
        file.take(USES_MAX_BYTES as u64 + 1).read_to_end(&mut bytes)
    });
    match if_there(read) {
        Ok(Some(_)) => Uses::decode(&bytes),
        Ok(None) => None,
        Err(error) => {
            tracing::warn!(%error, "the record of uses cannot be read");
            None
        }
    }
}

pub(super) fn write(volume: &Path, uses: &Uses) -> io::Result<()> {
    let unfinished = volume.join(UNFINISHED);
    if_there(fs::remove_file(&unfinished))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(&uses.encode())?;
    fs::rename(&unfinished, volume.join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_no_link_is_followed() {
        let (volume, outside) = (tempfile::tempdir(), tempfile::tempdir());
        let (volume, outside) = (volume.expect("made"), outside.expect("made"));
        assert_eq!(read(volume.path()), None);
        let uses = Uses::default().after_job(|_| true);
        write(volume.path(), &uses).expect("written");
        write(volume.path(), &uses).expect("written again");
        assert_eq!(read(volume.path()), Some(uses.clone()));
        write(outside.path(), &uses).expect("written");
        fs::remove_file(volume.path().join(NAME)).expect("removed");
        std::os::unix::fs::symlink(outside.path().join(NAME), volume.path().join(NAME))
            .expect("linked");
        assert_eq!(read(volume.path()), None);
        fs::remove_file(volume.path().join(NAME)).expect("removed");
        fs::create_dir(volume.path().join(NAME)).expect("made");
        assert_eq!(read(volume.path()), None);
        assert!(write(volume.path(), &uses).is_err());
    }
}
