//! Which states are kept, once the engine has stopped and nobody holds the volume.

use std::path::{Path, PathBuf};
use std::time::Duration;

use larder_engine::builders::{PREFIX, builder_of};
use larder_engine::paths::{bytes_in, names_in};

use super::choice::Record;
use super::shelf::Shelf;
use super::watch::{End, Seen};
use crate::error::{EngineError, Result};

/// How much of the states is kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The time.
    pub now_ms: u64,
    /// States not used for this long go.
    pub unused_for: Duration,
    /// If more of the volume is in use, states that this session did not use go, the oldest first; and those
    /// that are larger than this.
    pub bytes: u64,
}

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// The builders whose states this session changed, and where these lie on the volume.
    pub(crate) changed: Vec<(String, PathBuf)>,
    /// What is not kept, and the cure, one sentence each.
    pub(crate) notices: Vec<String>,
}

/// Decides which states are kept, and removes the others.
pub(crate) fn settle(volume: &Path, seen: &[Seen], bounds: Bounds) -> Result<Settled> {
    let kept = Shelf {
        root: volume.to_owned(),
    };
    let mut settled = Settled::default();
    for builder in seen {
        settled.add(&kept, builder, bounds.now_ms)?;
    }
    let used: Vec<&str> = settled.changed.iter().map(|(name, _)| &**name).collect();
    let mut unused = kept.records()?;
    unused.retain(|record| !used.contains(&&*record.name));
    unused.sort_by_key(|record| record.used_ms);
    let oldest_ms = bounds
        .now_ms
        .saturating_sub(bounds.unused_for.as_millis() as u64);
    for record in unused {
        if record.used_ms < oldest_ms || used_bytes(volume)? > bounds.bytes {
            kept.drop_state(&record.name)?;
        }
    }
    if used_bytes(volume)? > bounds.bytes {
        settled.drop_large(&kept, bounds.bytes)?;
    }
    settled.add_unknown(&kept, bounds.now_ms)?;
    Ok(settled)
}

/// Removes a state that turned out to be unfit.
pub(crate) fn forget(volume: &Path, name: &str) -> Result<()> {
    let root = volume.to_owned();
    Shelf { root }.drop_state(name)
}

impl Settled {
    /// Settles what a builder of this session leaves.
    fn add(&mut self, kept: &Shelf, builder: &Seen, now_ms: u64) -> Result<()> {
        let name = &builder.name;
        if builder.end == End::Elsewhere {
            self.notices.push(elsewhere(name));
            return Ok(());
        }
        if let Some(from) = builder.given.as_ref().filter(|from| *from != name) {
            if kept.place_of(from)?.is_some() {
                self.lose(
                    name,
                    "it started before the cache of an earlier job was in its place",
                );
            }
            kept.drop_state(from)?;
        }
        let place = kept.place_of(name)?;
        match (builder.end, place) {
            (End::Running, _) => self.lose(name, "its BuildKit still ran when the engine stopped"),
            (End::Exited(code), _) if !builder.end.is_clean() => self.lose(
                name,
                &format!(
                    "its BuildKit was killed or failed (exit code {code}), which may tear its databases; end it \
                     with `docker buildx rm` or leave it to `larder down`"
                ),
            ),
            (_, Some(place)) => {
                kept.write(&Record {
                    name: name.clone(),
                    image: builder.image.clone(),
                    ordinal: builder.ordinal,
                    used_ms: now_ms,
                })?;
                self.changed.push((name.clone(), place));
                return Ok(());
            }
            (End::Exited(_), None) if kept.data(name)?.is_some() => self.lose(
                name,
                "it keeps none in /var/lib/buildkit; use an image whose BuildKit runs as root",
            ),
            (End::Exited(_), None) => self.lose(
                name,
                "its volume was removed before Larder could take what is in it; leave the builder to \
                 `larder down` (`cleanup: false` for docker/setup-buildx-action)",
            ),
            (End::Unused | End::Elsewhere, None) => {}
        }
        kept.drop_state(name)
    }

    fn lose(&mut self, name: &str, why: &str) {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        self.notices.push(format!(
            "the cache of the builder {name} is not kept: {why}"
        ));
    }

    fn drop_large(&mut self, kept: &Shelf, max_bytes: u64) -> Result<()> {
        for (name, place) in std::mem::take(&mut self.changed) {
            if bytes_in(&kept.root.join(&place))? > max_bytes {
                self.lose(
                    &name,
                    "it is larger than --keep; choose more, or a larger --size",
                );
                kept.drop_state(&name)?;
            } else {
                self.changed.push((name, place));
            }
        }
        Ok(())
    }

    /// Volumes of builders that this session did not use: those that are empty go, and what is kept without
    /// a record gets one, so that it goes some day.
    fn add_unknown(&mut self, kept: &Shelf, now_ms: u64) -> Result<()> {
        let known: Vec<String> = kept.records()?.into_iter().map(|it| it.name).collect();
        for volume in names_in(&kept.root, Path::new("docker/volumes"))? {
            let Some(name) = builder_of(&volume) else {
                continue;
            };
            match kept.place_of(&name)? {
                None => kept.drop_state(&name)?,
                Some(_) if known.contains(&name) => {}
                Some(place) => {
                    kept.write(&Record {
                        name: name.clone(),
                        image: String::new(),
                        ordinal: usize::MAX,
                        used_ms: now_ms,
                    })?;
                    self.changed.push((name, place));
                }
            }
        }
        Ok(())
    }
}

fn elsewhere(name: &str) -> String {
    format!(
        "the container {name} runs BuildKit, whose cache is kept only in a named volume and with --keep-volumes; \
         `docker buildx create --driver docker-container` makes a builder that is remembered without"
    )
}

fn used_bytes(volume: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(volume)
        .map_err(|errno| EngineError::io("cannot ask", volume)(errno.into()))?;
    Ok((stat.f_blocks - stat.f_bfree) * stat.f_frsize)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use larder_engine::builders::FOLDER;

    use super::*;

    const NOW_MS: u64 = 1_900_000_000_000;
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn bounds() -> Bounds {
        Bounds {
            now_ms: NOW_MS,
            unused_for: 14 * DAY,
            bytes: u64::MAX,
        }
    }

    fn write(volume: &Path, path: &str, text: &str) {
        let path = volume.join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("made");
        fs::write(path, text).expect("written");
    }

    /// A state on the shelf, used some days ago.
    fn shelve(volume: &Path, name: &str, days_ago: u64) {
        write(volume, &format!("{FOLDER}/{name}/cache.db"), "a state");
        let record = Record {
            name: name.to_owned(),
            image: "moby/buildkit".to_owned(),
            ordinal: 0,
            used_ms: NOW_MS - days_ago * DAY.as_millis() as u64,
        };
        let root = volume.to_owned();
        Shelf { root }.write(&record).expect("written");
    }

    fn seen(name: &str, given: Option<&str>, end: End) -> Seen {
        Seen {
            name: format!("{PREFIX}{name}"),
            image: "moby/buildkit".to_owned(),
            id: "f00".to_owned(),
            ordinal: 0,
            given: given.map(str::to_owned),
            end,
        }
    }

    #[test]
    fn a_state_that_ended_well_is_kept_wherever_it_lies() {
        let volume = tempfile::tempdir().expect("a directory");
        let root = volume.path();
        write(root, "larder/builders/buildx_buildkit_a0/cache.db", "x");
        write(
            root,
            "docker/volumes/buildx_buildkit_b0_state/_data/cache.db",
            "x",
        );
        shelve(root, "buildx_buildkit_old0", 1);
        fs::create_dir_all(root.join("docker/volumes/buildx_buildkit_gone0_state/_data"))
            .expect("made");
        let builders = [
            seen("a0", None, End::Exited(1)),
            seen("b0", None, End::Exited(0)),
        ];
        let settled = settle(root, &builders, bounds()).expect("settled");
        assert_eq!(settled.notices, [""; 0]);
        assert_eq!(settled.changed.len(), 2);
        let kept = Shelf { root: root.into() };
        assert_eq!(kept.records().expect("read").len(), 3);
        assert!(
            !root
                .join("docker/volumes/buildx_buildkit_gone0_state")
                .exists()
        );
    }

    #[test]
    fn what_was_killed_or_lost_goes_and_is_told() {
        let volume = tempfile::tempdir().expect("a directory");
        let root = volume.path();
        write(
            root,
            "docker/volumes/buildx_buildkit_k0_state/_data/cache.db",
            "x",
        );
        write(
            root,
            "docker/volumes/buildx_buildkit_r0_state/_data/cache.db",
            "x",
        );
        fs::create_dir_all(root.join("docker/volumes/buildx_buildkit_e0_state/_data"))
            .expect("made");
        let builders = [
            seen("k0", None, End::Exited(137)),
            seen("r0", None, End::Running),
            seen("e0", None, End::Exited(1)),
            seen("l0", None, End::Exited(1)),
            seen("never-started0", None, End::Unused),
        ];
        let settled = settle(root, &builders, bounds()).expect("settled");
        let said = settled.notices.join("\n");
        assert_eq!(settled.notices.len(), 4, "{said}");
        for part in [
            "exit code 137",
            "still ran",
            "/var/lib/buildkit",
            "cleanup: false",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(
            fs::read_dir(root.join("docker/volumes"))
                .expect("listed")
                .count(),
            0
        );
    }

    #[test]
    fn a_state_that_was_handed_on_is_no_longer_the_first_ones() {
        let volume = tempfile::tempdir().expect("a directory");
        let root = volume.path();
        shelve(root, "buildx_buildkit_old0", 1);
        fs::create_dir_all(root.join("docker/volumes/buildx_buildkit_new0_state/_data"))
            .expect("made");
        let kept = Shelf { root: root.into() };
        assert!(kept.awaits_state("buildx_buildkit_new0").expect("looked"));
        let handed = kept.hand_over("buildx_buildkit_old0", "buildx_buildkit_new0");
        assert!(handed.expect("handed over"));
        let builder = seen("new0", Some("buildx_buildkit_old0"), End::Exited(1));
        let settled = settle(root, &[builder], bounds()).expect("settled");
        assert_eq!(settled.notices, [""; 0]);
        let records = kept.records().expect("read");
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].name, "buildx_buildkit_new0");
        assert!(!root.join("larder/builders/buildx_buildkit_old0").exists());
    }

    #[test]
    fn states_that_nobody_uses_go_with_age_and_for_room() {
        let volume = tempfile::tempdir().expect("a directory");
        let root = volume.path();
        shelve(root, "buildx_buildkit_stale0", 15);
        shelve(root, "buildx_buildkit_fresh0", 13);
        settle(root, &[], bounds()).expect("settled");
        let kept = Shelf { root: root.into() };
        let names = |kept: &Shelf| kept.records().expect("read").len();
        assert_eq!(names(&kept), 1);
        write(
            root,
            "larder/builders/buildx_buildkit_used0/cache.db",
            "larger than nothing",
        );
        let bounds = Bounds {
            bytes: 0,
            ..bounds()
        };
        let used = [seen("used0", None, End::Exited(1))];
        let settled = settle(root, &used, bounds).expect("settled");
        assert_eq!(names(&kept), 0);
        assert!(settled.notices[0].contains("--keep"), "{settled:?}");
    }
}
