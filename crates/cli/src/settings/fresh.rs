//! When registries are asked what base images are: `--fresh`.

use larder_bases::Freshness;

use super::{Choices, period};
use crate::args::How;
use crate::exit::Done;

fn parse(text: &str) -> Done<Freshness> {
    match text {
        "always" => Ok(Freshness::Always),
        "never" => Ok(Freshness::Never),
        period => match period::parse("--fresh", period) {
            Ok(period) => Ok(Freshness::Within(period)),
            Err(mut failure) => {
                failure.message.push_str(", or always, or never");
                Err(failure)
            }
        },
    }
}

impl Choices<'_> {
    pub(super) fn fresh(&self, how: &How) -> Done<Freshness> {
        let text = self.text(
            how.planned.fresh.as_ref(),
            "LARDER_FRESH",
            self.file.fresh.as_ref(),
        );
        text.map_or(Ok(Freshness::Always), |text| parse(&text))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
