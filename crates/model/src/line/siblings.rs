//! Which of several siblings a job starts from.
//!
//! Siblings stand beside each other at the head of a line: jobs that ran at the same time have saved them, each for what
//! it built. The rule: the one whose plan is **nearest** to the job's, that is of whose builds the fewest instructions would
//! run again; of several the **newest**. Where the job's plan is not known, or a sibling's is not, the newest counts.
//!
//! So what a busy sibling built is not lost: it stays in its line for as long as any other document, and the next job
//! that builds the same starts from it, whoever has saved since. What that one saves follows the head and is the newest.

/// Siblings that are compared, the newest.
pub const COMPARED_MAX: usize = 8;

/// How many documents stand beside each other at the head of a line, of which this is told from the newest on: whether each
/// was saved as a sibling. The first that was not is the one beside which the others were saved.
pub fn beside(are_siblings: impl IntoIterator<Item = bool>) -> usize {
    let mut count = 0;
    for is_sibling in are_siblings.into_iter().take(COMPARED_MAX) {
        count += 1;
        if !is_sibling {
            break;
        }
    }
    count
}

/// Which of documents beside each other a job starts from, where this is told from the newest on: how many
/// instructions it would run again, if that is known.
pub fn nearest(run_again: &[Option<usize>]) -> usize {
    let told = run_again.iter().map(|count| count.unwrap_or(usize::MAX));
    let nearest = told.enumerate().min_by_key(|(at, count)| (*count, *at));
    nearest.map_or(0, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_counts_and_of_several_the_newest() {
        assert_eq!(nearest(&[Some(9), Some(2), Some(2), Some(5)]), 1);
        assert_eq!(nearest(&[Some(3), Some(3)]), 0);
        assert_eq!(nearest(&[None, Some(100)]), 1);
        assert_eq!(nearest(&[None, None]), 0);
        assert_eq!(nearest(&[]), 0);
    }

    #[test]
    fn siblings_end_with_the_one_that_they_stand_beside() {
        assert_eq!(beside([false, true, true]), 1);
        assert_eq!(beside([true, true, false, true]), 3);
        assert_eq!(beside([true]), 1);
        assert_eq!(beside([true; 20]), COMPARED_MAX);
        assert_eq!(beside([]), 0);
    }
}
