//! How much room a disk has, and how fast it is.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Instant;

use rustix::fs::statvfs;

/// What is written to tell how fast a disk is: more than its own cache takes at once, and gone in a moment.
const WRITTEN_BYTES: usize = 64 << 20;
const PIECE_BYTES: usize = 1 << 20;

/// The bytes that are free for us on the file system of a folder, or of the nearest one above that is there.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let stat = statvfs(there(folder))?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// How many bytes a second reach the disk of a folder.
pub fn bytes_per_second(folder: &Path) -> io::Result<u64> {
    let mut file = tempfile::tempfile_in(there(folder))?;
    // Not zeros, which some file systems do not write.
    let piece: Vec<u8> = (0..PIECE_BYTES)
        .map(|at| (at.wrapping_mul(0x9E37_79B9) >> 13) as u8)
        .collect();
    let begun = Instant::now();
    for _ in 0..WRITTEN_BYTES / PIECE_BYTES {
        file.write_all(&piece)?;
    }
    file.sync_data()?;
    let micros = begun.elapsed().as_micros().max(1);
    let bytes = WRITTEN_BYTES as u128 * 1_000_000 / micros;
    Ok(u64::try_from(bytes).unwrap_or(u64::MAX))
}

fn there(folder: &Path) -> &Path {
    let mut above = folder.ancestors();
    above.find(|above| above.is_dir()).unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_has_a_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let later = folder.path().join("a/b");
        assert!(free_bytes(&later).expect("known") > 0);
        assert!(bytes_per_second(&later).expect("written") > 0);
        assert!(!later.exists());
    }
}
