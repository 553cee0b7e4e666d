//! Values as Go's standard library reads them, since docker and `BuildKit` accept what Go accepts.

pub mod json;

/// `strconv.ParseBool`: `true` and `false`, in the few spellings that it knows.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `RAMInBytes` of go-units: `64m`, `1.5GiB`, `100`.
pub fn ram_bytes(text: &str) -> Option<u64> {
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
    let (number, suffix) = (&text[..=last], &text[last + 1..]);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let size = number.parse::<f64>().ok().filter(|size| *size >= 0.0)?;
    let suffix = suffix.to_ascii_lowercase();
    if matches!(suffix.as_str(), "" | "b") {
        return Some(as_bytes(size));
    }
    let rest = suffix.strip_prefix(['k', 'm', 'g', 't', 'p'])?;
    let steps = "kmgtp".find(&suffix[..1])? + 1;
    let unit: f64 = std::iter::repeat_n(1024.0, steps).product();
    matches!(rest, "" | "b" | "ib").then(|| as_bytes(size * unit))
}

#[expect(clippy::cast_sign_loss, reason = "it is not below zero")]
fn as_bytes(size: f64) -> u64 {
    size as u64
}

/// `strings.ToLower`: each character by itself. Rust's also looks at a sigma's neighbours, and makes
/// two characters of `İ`, the only one that has two.
pub(crate) fn to_lower(text: &str) -> String {
    let lowered = text.chars().map(|c| c.to_lowercase().next().unwrap_or(c));
    lowered.collect()
}

/// `strings.EqualFold` with a word of ASCII letters, two of which also fold from letters beyond ASCII: the
/// long s and the Kelvin sign.
pub(crate) fn equal_fold(text: &str, word: &str) -> bool {
    let folded = text.chars().map(|c| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(word.chars().map(|c| c.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_go_units() {
        for (text, bytes) in [
            ("100", Some(100)),
            ("1g", Some(1 << 30)),
            ("1.5 KiB", Some(1536)),
            ("64MB", Some(64 << 20)),
            ("2b", Some(2)),
            ("", None),
            ("-1", None),
            ("1x", None),
            ("1kx", None),
        ] {
            assert_eq!(ram_bytes(text), bytes, "{text}");
        }
    }

    #[test]
    fn small_letters_are_those_of_go() {
        for (text, small) in [
            ("Base", "base"),
            ("İ", "i"),
            ("ΟΔΟΣ", "οδοσ"),
            ("\u{212a}", "k"),
            ("ſß", "ſß"),
        ] {
            assert_eq!(to_lower(text), small);
        }
        assert!(equal_fold("aſ", "as") && equal_fold("\u{212a}EY", "key"));
        assert!(!equal_fold("a", "as") && !equal_fold("ass", "as"));
    }

    #[test]
    fn only_gos_spellings_are_truth_values() {
        assert_eq!(parse_bool("T"), Some(true));
        assert_eq!(parse_bool("False"), Some(false));
        for text in ["", "yes", "tRUE", " true", "on", "2"] {
            assert_eq!(parse_bool(text), None, "{text:?}");
        }
    }
}
