//! Periods as people write them.

use std::time::Duration;

use crate::exit::{Done, Failure};

/// Reads `90s`, `10m`, `12h`, `7d`, `2weeks`: all that `humantime` knows.
pub(crate) fn parse(option: &str, text: &str) -> Done<Duration> {
    humantime::parse_duration(text).map_err(|error| {
        Failure::input(format!(
            "{option} {text:?} is not a period ({error}); write for example 30m, 12h or 7d"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_read_as_people_mean_them() {
        for (text, seconds) in [
            ("90s", 90),
            ("10m", 600),
            ("7d", 604_800),
            ("2w", 1_209_600),
        ] {
            assert_eq!(
                parse("--fresh", text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in ["", "h", "90", "-1h", "99999999999999999999w"] {
            let error = parse("--fresh", text).expect_err(text);
            assert!(error.message.contains("--fresh") && error.message.contains(text));
        }
    }
}
