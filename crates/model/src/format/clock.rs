//! When documents were made, by the clocks of many machines, any of which may be wrong.
//!
//! A document's time is its writer's. Two rules keep a wrong clock from costing more than its own job:
//! a document sorts after the one that it continues, whatever its writer's clock says; and what no
//! working clock can say is tried last.

use std::cmp::Reverse;

/// How far ahead of the reader's clock a document's time may be. Larger than what a clock in local time
/// instead of UTC (14 hours) or a wrong day does: among clocks that differ by less than this nothing is
/// lost, because a document comes after its parent.
pub const AHEAD_MAX_MS: u64 = 36 * 3600 * 1000;

/// Whether a document says that it was made when no clock that works can have been yet.
pub fn is_ahead(created_ms: u64, now_ms: u64) -> bool {
    created_ms > now_ms.saturating_add(AHEAD_MAX_MS)
}

/// Sorts documents as they are tried: the newest first, and those that are ahead of their time after all
/// others.
pub fn preference(created_ms: u64, now_ms: u64) -> impl Ord {
    (is_ahead(created_ms, now_ms), Reverse(created_ms))
}

/// The time of a document that is published now, after its parent and after the newest of its lineage: a
/// clock that fell back must not hide it behind them. A head that is ahead of its time does not count:
/// others do not start from it either.
pub fn successor(now_ms: u64, parent_ms: Option<u64>, head_ms: Option<u64>) -> u64 {
    let head = head_ms.filter(|head| !is_ahead(*head, now_ms));
    let before = parent_ms.max(head);
    before.map_or(now_ms, |before| now_ms.max(before.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600 * 1000;
    /// 25 November 2026.
    const NOW: u64 = 1_795_564_800_000;

    fn tried(mut times: Vec<u64>, now: u64) -> Vec<u64> {
        times.sort_by_key(|time| preference(*time, now));
        times
    }

    #[test]
    fn what_is_ahead_of_its_time_is_tried_last() {
        let (old, new, tomorrow) = (NOW - 40 * DAY, NOW - 1, NOW + DAY);
        let (years, never) = (NOW + 1095 * DAY, u64::MAX);
        let order = tried(vec![old, years, new, never, tomorrow], NOW);
        assert_eq!(order, [tomorrow, new, old, never, years]);
        // A clock at its beginning finds everything ahead, and takes the newest all the same.
        assert_eq!(tried(vec![old, new], 0), [new, old]);
    }

    #[test]
    fn a_clock_that_fell_back_publishes_after_its_parent_and_the_head() {
        assert_eq!(successor(NOW, None, None), NOW);
        assert_eq!(successor(NOW, Some(NOW - DAY), Some(NOW - 1)), NOW);
        assert_eq!(successor(NOW - DAY, Some(NOW), None), NOW + 1);
        assert_eq!(successor(NOW - DAY, None, Some(NOW)), NOW + 1);
        assert_eq!(successor(0, Some(NOW), Some(NOW + 7)), NOW + 1);
        assert_eq!(successor(NOW, None, Some(NOW + 1095 * DAY)), NOW);
        // A job that had nothing else to start from continues that line.
        let ahead = NOW + 1095 * DAY;
        assert_eq!(successor(NOW, Some(ahead), Some(ahead)), ahead + 1);
        assert_eq!(successor(NOW, Some(u64::MAX), None), u64::MAX);
    }
}
