//! How full a volume is, and what follows from that.

/// A file system in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Its size.
    pub bytes: u64,
    /// How much of that is free.
    pub free_bytes: u64,
    /// How many files it can hold.
    pub files: u64,
    /// How many more.
    pub free_files: u64,
}

impl Space {
    /// What is in use.
    pub fn used_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.free_bytes)
    }

    /// More than nine tenths are in use: the job that fills it is about to fail.
    pub fn is_filling(&self) -> bool {
        self.has_free_less_than(10)
    }

    /// So full that the next job would fail soon after its start.
    pub fn is_full(&self) -> bool {
        self.has_free_less_than(20)
    }

    /// Whether less than one part of so many is free, of bytes or of files.
    fn has_free_less_than(&self, parts: u64) -> bool {
        self.free_bytes < self.bytes / parts || self.free_files < self.files / parts
    }

    /// How many bytes have to go until `keep` are left, and a fifth of the files is free. What a file takes is
    /// not known, so the files that are too many count as their share of all bytes.
    pub fn excess(&self, keep: u64) -> u64 {
        // A bound that leaves the next job no room is none.
        let bytes = self
            .used_bytes()
            .saturating_sub(keep.min(self.bytes / 5 * 4));
        let free = self.files / 5;
        let too_many = u128::from(free.saturating_sub(self.free_files));
        let share = too_many * u128::from(self.used_bytes()) / u128::from(self.files.max(1));
        bytes.max(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(free_bytes: u64, free_files: u64) -> Space {
        Space {
            bytes: 1000,
            free_bytes,
            files: 100,
            free_files,
        }
    }

    #[test]
    fn bytes_and_files_run_out() {
        let states = [(100, 10), (99, 10), (100, 9), (50, 5), (49, 50), (500, 4)]
            .map(|(bytes, files)| space(bytes, files))
            .map(|space| (space.is_filling(), space.is_full()));
        let expected = [
            (false, false),
            (true, false),
            (true, false),
            (true, false),
            (true, true),
            (true, true),
        ];
        assert_eq!(states, expected);
        let nothing = Space::default();
        assert!(!nothing.is_filling() && nothing.excess(0) == 0);
    }

    #[test]
    fn a_bound_holds_for_bytes_and_leaves_room_for_files() {
        assert_eq!(space(300, 50).excess(700), 0);
        assert_eq!(space(300, 50).excess(600), 100);
        // A bound of nearly all leaves the next job a fifth.
        assert_eq!(space(50, 50).excess(990), 150);
        assert_eq!(space(500, 10).excess(900), 50);
    }
}
