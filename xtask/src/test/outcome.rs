//! What a test program said.

use std::fmt;
use std::iter::Sum;

/// One test program's run, or one test's.
pub(super) struct Outcome {
    /// What ran.
    pub name: String,
    /// How long it ran.
    pub seconds: f64,
    /// Whether the program ended with success.
    pub success: bool,
    /// All that it wrote.
    pub output: String,
}

/// What all test programs together reported.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Totals {
    /// Tests that ran and passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that say why they do not run by default.
    pub ignored: u64,
    /// Tests that passed without having tested anything, and said so.
    pub skipped: u64,
}

impl Outcome {
    /// Whether nothing failed.
    pub(super) fn passed(&self) -> bool {
        self.totals().failed == 0
    }

    /// Counts what the program's summaries report. One that died has failed, whatever it counted.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for line in self.output.lines() {
            if let Some(summary) = line.strip_prefix("test result: ") {
                totals.add(summary);
            }
        }
        totals.skipped = self.skipped().count() as u64;
        totals.failed = totals.failed.max(u64::from(!self.success));
        totals
    }

    /// The lines of tests that could not test anything here. One writes `skipped: ` and the reason.
    pub(super) fn skipped(&self) -> impl Iterator<Item = &str> {
        let lines = self.output.lines();
        lines.filter(|line| line.starts_with("skipped: "))
    }
}

impl Totals {
    /// `ok. 12 passed; 0 failed; 0 ignored; …`
    fn add(&mut self, summary: &str) {
        for part in summary.split(['.', ';']) {
            if let Some((count, what)) = part.trim().split_once(' ')
                && let Ok(count) = count.parse::<u64>()
            {
                match what {
                    "passed" => self.passed += count,
                    "failed" => self.failed += count,
                    "ignored" => self.ignored += count,
                    _ => {}
                }
            }
        }
    }
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            passed: sum.passed + one.passed,
            failed: sum.failed + one.failed,
            ignored: sum.ignored + one.ignored,
            skipped: sum.skipped + one.skipped,
        })
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            ignored,
            skipped,
        } = self;
        write!(
            f,
            "{passed} passed, {failed} failed, {} skipped",
            ignored + skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Totals};

    #[test]
    fn summaries_are_added_up() {
        let outcome = |success: bool, output: &str| Outcome {
            name: String::new(),
            seconds: 0.0,
            success,
            output: output.to_owned(),
        };
        let failed = outcome(
            false,
            "running 3 tests\ntest result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.00s\n",
        );
        let passed = outcome(
            true,
            "---- a stdout ----\nskipped: no fio here\n\ntest result: ok. 5 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 1.10s\n",
        );
        assert!(!failed.passed() && passed.passed());
        assert!(!outcome(false, "running 3 tests\n").passed());
        let expected = Totals {
            passed: 7,
            failed: 1,
            ignored: 3,
            skipped: 1,
        };
        assert_eq!(
            [failed.totals(), passed.totals()]
                .into_iter()
                .sum::<Totals>(),
            expected
        );
    }
}
