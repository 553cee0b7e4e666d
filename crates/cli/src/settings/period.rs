//! Periods as people write them.

use std::time::Duration;

use crate::exit::{Done, Failure};

/// Reads `90s`, `10m`, `12h`, `7d`, `2w`; a bare number is seconds.
pub fn parse(option: &str, text: &str) -> Done<Duration> {
    let refuse = || {
        Failure::input(format!(
            "{option} {text:?} is not a period; write for example 30m, 12h or 7d"
        ))
    };
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refuse())?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(refuse()),
    };
    let seconds = number.checked_mul(seconds).ok_or_else(refuse)?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_read_as_people_mean_them() {
        for (text, seconds) in [("90s", 90), ("90", 90), ("10m", 600), ("7d", 604_800)] {
            assert_eq!(
                parse("--fresh", text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in ["", "h", "-1h", "1y", "1.5h", "99999999999999999999w"] {
            let error = parse("--fresh", text).expect_err(text);
            assert!(error.message.contains("--fresh") && error.message.contains(text));
        }
    }
}
