//! How old what is known of base images may be: `--fresh`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Choices, period};
use crate::args::How;
use crate::exit::Done;

/// When a registry is asked what a tag is today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fresh {
    /// In each job.
    Always,
    /// When it was last asked longer ago than this.
    Within(Duration),
    /// Not at all: what the engine holds is used.
    Never,
}

impl Fresh {
    fn parse(text: &str) -> Done<Self> {
        match text {
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            period => {
                let parsed = period::parse("--fresh", period);
                parsed.map(Self::Within).map_err(|mut failure| {
                    failure.message.push_str(", or always, or never");
                    failure
                })
            }
        }
    }
}

impl Choices<'_> {
    pub(super) fn fresh(&self, how: &How) -> Done<Fresh> {
        let text = self.text(
            how.planned.fresh.as_ref(),
            "LARDER_FRESH",
            self.file.fresh.as_ref(),
        );
        text.map_or(Ok(Fresh::Always), |text| Fresh::parse(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_words_or_periods() {
        assert_eq!(Fresh::parse("always"), Ok(Fresh::Always));
        assert_eq!(Fresh::parse("never"), Ok(Fresh::Never));
        let hour = Duration::from_secs(3600);
        assert_eq!(Fresh::parse("1h"), Ok(Fresh::Within(hour)));
        let error = Fresh::parse("sometimes").expect_err("no policy");
        assert!(error.message.contains("sometimes") && error.message.contains("never"));
    }
}
