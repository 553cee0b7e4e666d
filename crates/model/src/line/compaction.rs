//! Which packs of a store are given up: what is still named of them is stored anew, and nothing names them then.
//!
//! Two kinds are: a pack that is mostly dead, and a small one of a volume that is scattered over many. What is
//! stored anew lies in the order of the volume, in full packs of which all is named, so that neither rule takes it
//! again before its documents have gone.

use crate::format::limits::PACK_BYTES;

/// A pack of which less than so many percent is named is mostly dead. What is above keeps a store within 4/3 of what
/// its documents name.
pub const LEAST_LIVE_PERCENT: u64 = 75;
/// Packs that are mostly dead stay while less than so many percent of all would be gained: a document that is
/// written anew costs its map, however little it gains. With the rule above a store stays within 1.45 of what its
/// documents name.
const LEAST_GAIN_PERCENT: u64 = 5;
/// A volume is scattered if it lies in more packs than four times what it needs and this: a save adds one or two.
const SCATTERED_PACKS: usize = 64;
/// Of a scattered volume the packs go that are smaller than this. A pack that is stored anew is full, so a byte moves
/// once for this.
const SMALL_BYTES: u64 = PACK_BYTES as u64 / 4;

/// A pack, as documents name it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pack {
    /// Its size.
    pub bytes: u64,
    /// What is named of it.
    pub live_bytes: u64,
    /// Whether a document names it that cannot be written anew.
    pub is_fixed: bool,
}

impl Pack {
    fn is_mostly_dead(&self) -> bool {
        self.live_bytes * 100 < self.bytes * LEAST_LIVE_PERCENT
    }

    fn dead_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.live_bytes)
    }

    /// In parts of a million, whatever its size: those that gain most for what they cost come first.
    fn share(&self) -> u128 {
        u128::from(self.live_bytes) * 1_000_000 / u128::from(self.bytes.max(1))
    }
}

/// Whether the packs of a volume are many more than it needs.
fn is_scattered(packs: &[Pack], volume: &[usize]) -> bool {
    let bytes: u64 = volume.iter().map(|at| packs[*at].bytes).sum();
    let needed = bytes.div_ceil(PACK_BYTES as u64) as usize;
    volume.len() > SCATTERED_PACKS + 4 * needed
}

/// Which of these packs are given up; `volumes` says in which packs each volume lies. No more is stored anew than
/// `most_bytes`.
pub fn given_up(packs: &[Pack], volumes: &[Vec<usize>], most_bytes: u64) -> Vec<usize> {
    let mut is_small = vec![false; packs.len()];
    for volume in volumes.iter().filter(|volume| is_scattered(packs, volume)) {
        for at in volume {
            is_small[*at] = packs[*at].bytes < SMALL_BYTES;
        }
    }
    let mut wanted: Vec<usize> = (0..packs.len())
        .filter(|at| !packs[*at].is_fixed && (is_small[*at] || packs[*at].is_mostly_dead()))
        .collect();
    wanted.sort_by_key(|at| packs[*at].share());
    let mut moved = 0;
    wanted.retain(|at| {
        let after = moved + packs[*at].live_bytes;
        let fits = after <= most_bytes;
        moved = if fits { after } else { moved };
        fits
    });
    let all: u64 = packs.iter().map(|pack| pack.bytes).sum();
    let gained: u64 = wanted.iter().map(|at| packs[*at].dead_bytes()).sum();
    if gained * 100 < all * LEAST_GAIN_PERCENT {
        wanted.retain(|at| is_small[*at]);
    }
    wanted.sort_unstable();
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn pack(bytes: u64, percent: u64) -> Pack {
        Pack {
            bytes,
            live_bytes: bytes * percent / 100,
            is_fixed: false,
        }
    }

    #[test]
    fn packs_that_are_mostly_dead_go_unless_something_else_needs_them() {
        let fixed = Pack {
            is_fixed: true,
            ..pack(16 * MIB, 1)
        };
        let packs = [
            pack(16 * MIB, 75),
            pack(16 * MIB, 74),
            fixed,
            pack(16 * MIB, 0),
            Pack::default(),
        ];
        assert_eq!(given_up(&packs, &[], u64::MAX), [1, 3]);
    }

    #[test]
    fn what_costs_least_for_what_it_gains_comes_first_within_the_bound() {
        let packs = [pack(100, 60), pack(100, 10), pack(100, 30)];
        assert_eq!(given_up(&packs, &[], 40), [1, 2]);
        assert_eq!(given_up(&packs, &[], 99), [1, 2]);
        assert_eq!(given_up(&packs, &[], 100), [0, 1, 2]);
        assert_eq!(given_up(&packs, &[], 9), Vec::<usize>::new());
    }

    #[test]
    fn little_is_not_worth_a_new_document() {
        let mut packs = vec![pack(16 * MIB, 100); 20];
        packs.push(pack(MIB, 10));
        assert_eq!(given_up(&packs, &[], u64::MAX), Vec::<usize>::new());
        packs.push(pack(20 * MIB, 10));
        assert_eq!(given_up(&packs, &[], u64::MAX), [20, 21]);
    }

    #[test]
    fn the_small_packs_of_a_scattered_volume_are_joined() {
        let mut packs = vec![pack(16 * MIB, 100); 4];
        packs.extend(vec![pack(MIB / 4, 100); 100]);
        let all: Vec<usize> = (0..packs.len()).collect();
        let small: Vec<usize> = (4..packs.len()).collect();
        assert_eq!(given_up(&packs, &[all], u64::MAX), small);
        // As many packs of several volumes are none: each is read by itself.
        let volumes: Vec<Vec<usize>> = small.chunks(50).map(<[usize]>::to_vec).collect();
        assert_eq!(given_up(&packs, &volumes, u64::MAX), Vec::<usize>::new());
    }

    #[test]
    fn what_is_left_is_within_one_and_a_half_of_what_is_named() {
        for (percent, dead) in [(75, 10), (76, 0), (90, 50), (100, 74)] {
            let mut packs = vec![pack(16 * MIB, percent); 100];
            packs.extend(vec![pack(16 * MIB, dead); 7]);
            let gone = given_up(&packs, &[], u64::MAX);
            let stays = (0..packs.len()).filter(|at| !gone.contains(at));
            let stays: u64 = stays.map(|at| packs[at].bytes).sum();
            let moved: u64 = gone.iter().map(|at| packs[*at].live_bytes).sum();
            let named: u64 = packs.iter().map(|pack| pack.live_bytes).sum();
            assert!((stays + moved) * 100 <= named * 145, "{percent} {dead}");
        }
    }
}
