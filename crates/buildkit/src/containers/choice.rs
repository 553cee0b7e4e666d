//! Which state a new builder continues.

use serde::{Deserialize, Serialize};

/// What is known of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The container that made it.
    pub name: String,
    /// Its image, as it was asked for: another `BuildKit` may not read the state.
    pub image: String,
    /// How many builders of this image were made before it, in its session.
    pub ordinal: usize,
    /// When it was last used.
    pub used_ms: u64,
}

/// The record whose state a new builder gets: the one of its own name, else of the builder that was made in
/// the same place of an earlier job, the latest first. Names say nothing: the action's are random.
pub(super) fn choose<'a>(
    kept: &'a [Record],
    name: &str,
    image: &str,
    ordinal: usize,
) -> Option<&'a Record> {
    let fitting = || kept.iter().filter(|record| record.image == image);
    let own = fitting().find(|record| record.name == name);
    own.or_else(|| {
        fitting().min_by_key(|record| {
            let distance = record.ordinal.abs_diff(ordinal);
            (distance, std::cmp::Reverse(record.used_ms))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, image: &str, ordinal: usize, used_ms: u64) -> Record {
        Record {
            name: name.to_owned(),
            image: image.to_owned(),
            ordinal,
            used_ms,
        }
    }

    #[test]
    fn its_own_state_comes_first_then_that_of_the_same_place() {
        let kept = [
            record("fixed", "buildkit", 0, 9),
            record("random-a", "buildkit", 1, 5),
            record("random-b", "buildkit", 1, 7),
            record("pinned", "buildkit:v0.12", 0, 9),
        ];
        let chosen = |name, image, ordinal| {
            choose(&kept, name, image, ordinal).map(|record| record.name.as_str())
        };
        assert_eq!(chosen("fixed", "buildkit", 1), Some("fixed"));
        assert_eq!(chosen("random-c", "buildkit", 1), Some("random-b"));
        assert_eq!(chosen("random-c", "buildkit", 0), Some("fixed"));
        assert_eq!(chosen("random-c", "buildkit", 7), Some("random-b"));
        assert_eq!(chosen("x", "buildkit:v0.12", 3), Some("pinned"));
        assert_eq!(chosen("fixed", "buildkit:v0.13", 0), None);
        assert_eq!(choose(&[], "x", "buildkit", 0), None);
    }
}
