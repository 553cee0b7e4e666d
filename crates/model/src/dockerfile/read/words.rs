//! Splitting an instruction's line into words.

use std::borrow::Cow;

use crate::dockerfile::error::Fault;
use crate::go;

/// What separates an instruction's keyword and plain words: `BuildKit`'s `reWhitespace`.
pub(super) const BLANKS: [char; 5] = ['\t', '\x0b', '\x0c', '\r', ' '];

/// Splits once at the first run of blanks.
pub(super) fn split_once(text: &str) -> Option<(&str, &str)> {
    let (head, tail) = text.split_once(BLANKS)?;
    Some((head, tail.trim_start_matches(BLANKS)))
}

/// Splits at runs of blanks.
pub(super) fn blank_separated(text: &str) -> Vec<String> {
    text.split(BLANKS)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Splits at white space outside quotes; quotes and escapes are kept, for the expansion to
/// remove (`line_parsers.go` `parseWords`).
pub(super) fn quoted(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        if c == escape && quote != Some('\'') {
            // An escape at the very end is dropped.
            let Some(escaped) = chars.next() else { break };
            word.push(c);
            word.push(escaped);
            continue;
        }
        match quote {
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Takes the leading `--flag` words off an instruction's arguments; quotes and escapes in them
/// are resolved here (`split_command.go` `extractBuilderFlags`).
pub(super) fn take_flags(text: &str, escape: char) -> (Vec<String>, Cow<'_, str>) {
    // `BuildKit` walks bytes here and takes each for a character, so that text beyond ASCII in a
    // flag is garbled. It is done alike: a flag's value decides what is accepted.
    let bytes = text.as_bytes();
    let mut flags = Vec::new();
    let mut pos = 0;
    loop {
        while pos < bytes.len() && char::from(bytes[pos]).is_whitespace() {
            pos += 1;
        }
        if !bytes[pos..].starts_with(b"--") {
            break;
        }
        let flag = take_flag(bytes, &mut pos, escape);
        // A lone `--` ends the flags.
        if flag == "--" {
            break;
        }
        flags.push(flag);
    }
    let rest = match text.get(pos..) {
        Some(rest) => Cow::Borrowed(rest),
        None => String::from_utf8_lossy(&bytes[pos..]),
    };
    (flags, rest)
}

/// The flag that begins at `pos`, up to white space outside quotes.
fn take_flag(bytes: &[u8], pos: &mut usize, escape: char) -> String {
    let mut flag = String::new();
    let mut quote = None;
    while let Some(&byte) = bytes.get(*pos) {
        let c = char::from(byte);
        if quote.is_none() && c.is_whitespace() {
            break;
        }
        *pos += 1;
        if Some(c) == quote {
            quote = None;
        } else if quote.is_none() && (c == '\'' || c == '"') {
            quote = Some(c);
        } else if c == escape {
            if let Some(&escaped) = bytes.get(*pos) {
                flag.push(char::from(escaped));
                *pos += 1;
            }
        } else {
            flag.push(c);
        }
    }
    flag
}

/// A JSON array of strings, if `text` is a JSON array; an array of anything else is refused
/// (`line_parsers.go` `parseJSON`).
pub(super) fn json_strings(text: &str) -> Result<Option<Vec<String>>, Fault> {
    let text = text.trim_start();
    if !text.starts_with('[') {
        return Ok(None);
    }
    let json = go::json::without_lone_surrogates(text);
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(&json) else {
        return Ok(None);
    };
    let strings = values.into_iter().map(|value| match value {
        serde_json::Value::String(text) => Ok(text),
        other => Err(Fault::new(
            other.to_string(),
            "when using JSON array syntax, arrays must be comprised of strings only",
        )
        .hint("quote every element with double quotes")),
    });
    strings.collect::<Result<_, _>>().map(Some)
}
