//! Values as Go's standard library reads them, since docker and `BuildKit` accept what Go accepts.

/// `strconv.ParseBool`: `true` and `false`, in the few spellings that it knows.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gos_spellings_are_truth_values() {
        assert_eq!(parse_bool("T"), Some(true));
        assert_eq!(parse_bool("False"), Some(false));
        for text in ["", "yes", "tRUE", " true", "on", "2"] {
            assert_eq!(parse_bool(text), None, "{text:?}");
        }
    }
}
