//! Sizes as people write them.

use crate::exit::{Done, Failure};

/// Reads `64GiB`, `20GB`, `500m`, `1048576`: units of 1024 with `i` or a single letter, of 1000
/// with `B` alone.
pub fn parse(option: &str, text: &str) -> Done<u64> {
    bytes(text).ok_or_else(|| {
        Failure::input(format!(
            "{option} {text:?} is not a size; write for example 64GiB or 20GB"
        ))
    })
}

// Powers of 1000 and 1024 up to the fourth are exact, and the result's range is checked.
#[allow(clippy::cast_precision_loss, clippy::cast_sign_loss)]
fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim().to_ascii_lowercase();
    let power = match unit.chars().next() {
        None => 0,
        Some(letter) => "bkmgt".find(letter)?,
    };
    let base: u64 = match unit.get(1..).unwrap_or_default() {
        "" | "i" | "ib" => 1024,
        "b" if power > 0 => 1000,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * base.pow(power as u32) as f64;
    (1.0..=9e18).contains(&bytes).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_read_as_people_mean_them() {
        let cases = [
            ("64GiB", 64 << 30),
            ("64g", 64 << 30),
            ("20GB", 20_000_000_000),
            ("1.5k", 1536),
            ("123", 123),
            ("123b", 123),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse("--size", text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn other_texts_name_the_option_and_the_value() {
        for text in ["", "x", "GiB", "-1", "1x", "1GiBs", "0", "1e99", "."] {
            let error = parse("--size", text).expect_err(text);
            assert!(error.message.contains("--size") && error.message.contains(text));
        }
    }
}
