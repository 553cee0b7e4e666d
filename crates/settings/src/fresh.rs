//! How old what is known of base images may be: `--fresh`, and periods as people write them.

use std::time::Duration;

use larder_bases::Freshness;

use super::Choices;
use crate::args::How;
use crate::exit::{Done, Failure};

/// Reads `90s`, `10m`, `12h`, `7d`, `2weeks`: all that `humantime` knows.
pub fn period(option: &str, text: &str) -> Done<Duration> {
    humantime::parse_duration(text).map_err(|error| {
        Failure::input(format!(
            "{option} {text:?} is not a period ({error}); write for example 30m, 12h or 7d"
        ))
    })
}

fn parse(text: &str) -> Done<Freshness> {
    match text {
        "always" => Ok(Freshness::Always),
        "never" => Ok(Freshness::Never),
        text => match period("--fresh", text) {
            Ok(period) => Ok(Freshness::Within(period)),
            Err(mut failure) => {
                failure.message.push_str(", or always, or never");
                Err(failure)
            }
        },
    }
}

impl Choices {
    pub(super) fn fresh(&self, how: &How) -> Done<Freshness> {
        let text = self.text(&how.planned.fresh, "LARDER_FRESH", &self.file.fresh);
        text.map_or(Ok(Freshness::Always), |text| parse(&text))
    }
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
                period("--fresh", text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in ["", "h", "90", "-1h", "99999999999999999999w"] {
            let error = period("--fresh", text).expect_err(text);
            assert!(error.message.contains("--fresh") && error.message.contains(text));
        }
    }

    #[test]
    fn policies_are_words_or_periods() {
        assert_eq!(parse("always"), Ok(Freshness::Always));
        assert_eq!(parse("never"), Ok(Freshness::Never));
        let hour = Duration::from_secs(3600);
        assert_eq!(parse("1h"), Ok(Freshness::Within(hour)));
        let error = parse("sometimes").expect_err("no policy");
        assert!(error.message.contains("sometimes") && error.message.contains("never"));
    }
}
