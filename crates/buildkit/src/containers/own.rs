//! The state of our own `buildkitd`. It lies on the shelf, under a name that no container has, and goes when it is
//! not used like any other.

use std::path::{Path, PathBuf};

use larder_engine::Exit;
use larder_model::version::Version;

use super::shelf::Shelf;
use super::watch::{End, Seen};
use crate::error::Result;

/// Begins as the names of all builders do. buildx numbers its containers, and this name has no number.
const NAME: &str = "buildx_buildkit_larder";
/// Before the version, in the place of an image. No image has a space in its name, so no container gets the state.
const PROGRAM: &str = "buildkitd ";

/// Makes the place of its state on the volume, for a `buildkitd` of this version, which starts empty where a newer
/// one has worked: nobody promises that it can read that.
pub(crate) fn make_place(volume: &Path, version: Version) -> Result<PathBuf> {
    let shelf = Shelf {
        root: volume.to_owned(),
    };
    let mut records = shelf.records()?.into_iter();
    let left = records.find(|record| record.name == NAME);
    let by = left.and_then(|record| record.image.strip_prefix(PROGRAM)?.parse::<Version>().ok());
    if by.is_none_or(|by| by > version) {
        shelf.drop_state(NAME)?;
    }
    shelf.make_folder(NAME)
}

/// It as one of the session's builders, when it has ended.
pub(crate) fn seen(version: Version, exit: Exit, killed: bool) -> Seen {
    Seen {
        name: NAME.to_owned(),
        image: format!("{PROGRAM}{version}"),
        id: String::new(),
        ordinal: 0,
        given: None,
        end: match exit {
            Exit::Code(code) if !killed => End::Exited(code),
            Exit::Code(_) | Exit::Signal(_) | Exit::Stuck => End::Running,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::super::settle::{Bounds, settle};
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect("a version")
    }

    #[test]
    fn a_state_is_continued_by_the_same_version_or_a_newer_one() {
        let volume = tempfile::tempdir().expect("a directory");
        let bounds = Bounds {
            now_ms: 1_900_000_000_000,
            unused_for: Duration::from_secs(1),
            bytes: u64::MAX,
        };
        let left_by = |text, exit, killed| {
            let place = make_place(volume.path(), version(text)).expect("made");
            fs::write(place.join("cache.db"), "x").expect("written");
            let seen = seen(version(text), exit, killed);
            settle(volume.path(), &[seen], bounds).expect("settled")
        };
        let continues = |text| {
            let place = make_place(volume.path(), version(text)).expect("made");
            place.join("cache.db").exists()
        };
        let settled = left_by("0.13.2", Exit::Code(1), false);
        assert_eq!((settled.changed.len(), settled.notices), (1, Vec::new()));
        assert!(continues("0.13.2") && continues("0.14.0"));
        assert!(!continues("0.12.5"));
        for (exit, killed) in [(Exit::Signal(9), true), (Exit::Code(2), false)] {
            let settled = left_by("0.13.2", exit, killed);
            assert!(settled.changed.is_empty() && settled.notices.len() == 1);
            assert!(settled.notices[0].contains("builder larder"), "{settled:?}");
            assert!(!continues("0.13.2"));
        }
    }
}
