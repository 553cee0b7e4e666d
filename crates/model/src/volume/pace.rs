//! How many requests a line to a store takes at once, and which of them are late.

use core::time::Duration;
use std::collections::VecDeque;

/// Less than two leave the line idle while one of them is asked for.
const AT_ONCE_MIN: usize = 2;
/// What a store allows a client without asking it to slow down.
const AT_ONCE_MAX: usize = 16;

/// How many ranges are to be read at once, when one of `now` at once took so long and the fastest request of
/// all `nearest`: as many as are on their way when the line is full (its round trip, times its rate), and
/// two that wait at our end. More would only stand in front of what is needed at once.
///
/// Of a full line one range takes `took / now`, so that the round trip holds `nearest * now / took`. On a line
/// that is not full that is less than `now`, but for the two, which is how it grows.
pub fn at_once(now: usize, nearest: Duration, took: Duration) -> usize {
    let now = now as u128;
    let under_way = now * nearest.as_micros() / took.max(nearest).as_micros().max(1);
    let wanted = usize::try_from(under_way).unwrap_or(AT_ONCE_MAX) + 2;
    wanted.clamp(AT_ONCE_MIN, AT_ONCE_MAX)
}

/// Requests that are looked at: the latest, because a line changes.
const RECENT: usize = 128;
/// Fewer have no 95th percentile.
const RECENT_MIN: usize = 20;
/// One request in so many may be asked a second time. A store that slows down as a whole gets no more to do.
const SECOND_ONE_IN: u64 = 20;

/// How long requests took, for those that take longer.
#[derive(Debug, Clone, Default)]
pub struct Latest {
    took: VecDeque<Duration>,
    answered: u64,
    seconds: u64,
}

impl Latest {
    /// A request was answered after so long.
    pub fn answered(&mut self, took: Duration) {
        self.took.truncate(RECENT - 1);
        self.took.push_front(took);
        self.answered += 1;
    }

    /// When a request is late: it takes longer than 95 in 100 do, and than twice what is usual. Nothing while
    /// too few are known.
    pub fn late_after(&self) -> Option<Duration> {
        if self.took.len() < RECENT_MIN {
            return None;
        }
        let mut sorted: Vec<Duration> = self.took.iter().copied().collect();
        sorted.sort_unstable();
        let usual = sorted[sorted.len() / 2];
        Some(sorted[sorted.len() * 95 / 100].max(2 * usual))
    }

    /// Whether one that is late may be asked a second time, which counts from here on.
    pub fn ask_again(&mut self) -> bool {
        let may = (self.seconds + 1) * SECOND_ONE_IN <= self.answered;
        self.seconds += u64::from(may);
        may
    }

    /// How many were asked a second time.
    pub fn asked_again(&self) -> u64 {
        self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read at once in the end, over a line of this round trip on which a range takes 20 ms.
    fn settled(trip_ms: u64) -> usize {
        let trip = Duration::from_millis(trip_ms);
        let range = Duration::from_millis(20);
        let mut now = 4;
        for _ in 0..50 {
            let took = (trip + range).max(range * now as u32);
            now = at_once(now, trip, took);
        }
        now
    }

    #[test]
    fn a_line_is_full_and_nothing_stands_in_front_of_it() {
        let settled: Vec<usize> = [0, 5, 20, 50, 100, 10_000].map(settled).to_vec();
        assert_eq!(settled, [2, 2, 3, 4, 7, 16]);
    }

    #[test]
    fn what_takes_longer_than_most_is_late_and_one_in_twenty_is_asked_again() {
        let mut latest = Latest::default();
        for _ in 1..RECENT_MIN {
            latest.answered(Duration::from_millis(30));
        }
        assert_eq!(latest.late_after(), None);
        latest.answered(Duration::from_millis(500));
        assert_eq!(latest.late_after(), Some(Duration::from_millis(500)));
        for _ in 0..RECENT {
            latest.answered(Duration::from_millis(30));
        }
        assert_eq!(latest.late_after(), Some(Duration::from_millis(60)));
        let again = (0..20).filter(|_| latest.ask_again()).count();
        assert_eq!(again, (RECENT_MIN + RECENT) / 20);
    }
}
