//! Glob patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/replacement}`.
//!
//! `*` is any text, `?` any one character, `\*`, `\?` and `\\` the character itself
//! (lex.go `convertShellPatternToRegex`, which has no bracket expressions).

use crate::limits::{PATTERN_MAX_BYTES, SUBSTITUTED_MAX_BYTES};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Star,
    Any,
    Char(char),
}

fn tokens(glob: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::with_capacity(glob.len());
    let mut chars = glob.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' => match chars.peek() {
                // These end a substitution, so they are escaped there; not part of the pattern.
                Some('}' | '/') => continue,
                Some(&literal @ ('*' | '?' | '\\')) => {
                    chars.next();
                    Token::Char(literal)
                }
                other => {
                    let other = other.copied().unwrap_or(char::REPLACEMENT_CHARACTER);
                    return Err(format!(
                        "invalid pattern ({glob}) in substitution: invalid escape '\\{other}'"
                    ));
                }
            },
            other => Token::Char(other),
        });
    }
    Ok(out)
}

/// Matching takes time that grows with the product of both lengths.
fn check_length(glob: &str, value: &str) -> Result<(), String> {
    if glob.len().max(value.len()) > PATTERN_MAX_BYTES {
        return Err(format!(
            "a pattern or its value has more than {PATTERN_MAX_BYTES} bytes"
        ));
    }
    Ok(())
}

/// The length of the longest (or shortest) match of `glob` at the start of `text`, in characters.
fn match_prefix(glob: &[Token], text: &[char], longest: bool) -> Option<usize> {
    // `ends[i]`: the tokens so far match exactly the first `i` characters.
    let mut ends = vec![false; text.len() + 1];
    ends[0] = true;
    for token in glob {
        let mut next = vec![false; text.len() + 1];
        match token {
            Token::Star => {
                let mut open = false;
                for i in 0..=text.len() {
                    // As in Go's regexp, `.` does not match a line feed.
                    open = ends[i] || (open && text[i - 1] != '\n');
                    next[i] = open;
                }
            }
            Token::Any | Token::Char(_) => {
                for (i, c) in text.iter().enumerate() {
                    let fits = match token {
                        Token::Char(wanted) => wanted == c,
                        _ => *c != '\n',
                    };
                    next[i + 1] = ends[i] && fits;
                }
            }
        }
        ends = next;
    }
    if longest {
        ends.iter().rposition(|&end| end)
    } else {
        ends.iter().position(|&end| end)
    }
}

/// For each place in `text`, whether a match of `glob` starts there.
fn match_starts(glob: &[Token], text: &[char]) -> Vec<bool> {
    // `starts[i]`: the tokens so far, taken from the last one, match from the character `i` on.
    let mut starts = vec![true; text.len() + 1];
    for token in glob.iter().rev() {
        let mut next = vec![false; text.len() + 1];
        for i in (0..=text.len()).rev() {
            let here = text.get(i);
            next[i] = match token {
                Token::Star => starts[i] || (here.is_some_and(|&c| c != '\n') && next[i + 1]),
                Token::Any => here.is_some_and(|&c| c != '\n') && starts[i + 1],
                Token::Char(wanted) => here == Some(wanted) && starts[i + 1],
            };
        }
        starts = next;
    }
    starts
}

/// Removes the match of `glob` at one end of `value`, the longest one if `greedy`.
pub(super) fn trim(
    glob: &str,
    value: &str,
    at_start: bool,
    greedy: bool,
) -> Result<String, String> {
    check_length(glob, value)?;
    let mut glob = tokens(glob)?;
    let mut text: Vec<char> = value.chars().collect();
    if !at_start {
        glob.reverse();
        text.reverse();
    }
    let cut = match_prefix(&glob, &text, greedy).unwrap_or(0);
    let kept = &text[cut..];
    Ok(if at_start {
        kept.iter().collect()
    } else {
        kept.iter().rev().collect()
    })
}

/// Replaces the first match of `glob` in `value`, or all of them.
pub(super) fn replace(
    glob: &str,
    value: &str,
    replacement: &str,
    all: bool,
) -> Result<String, String> {
    check_length(glob, value)?;
    let glob = tokens(glob)?;
    let text: Vec<char> = value.chars().collect();
    let starts = match_starts(&glob, &text);
    // Without a star a match is as long as its pattern.
    let reach = if glob.contains(&Token::Star) {
        text.len()
    } else {
        glob.len()
    };
    let mut out = String::with_capacity(value.len());
    let (mut copied, mut search) = (0, 0);
    while let Some(start) = (search..=text.len()).find(|&start| starts[start]) {
        let window = &text[start..text.len().min(start + reach)];
        let end = start + match_prefix(&glob, window, true).unwrap_or(0);
        out.extend(&text[copied..start]);
        // An empty match right behind a match is not one of its own (Go's regexp.ReplaceAll).
        if end > copied || start == 0 {
            out.push_str(replacement);
        }
        if out.len() > SUBSTITUTED_MAX_BYTES {
            return Err(format!("it makes more than {SUBSTITUTED_MAX_BYTES} bytes"));
        }
        copied = end;
        search = if end > search { end } else { search + 1 };
        if !all {
            break;
        }
    }
    out.extend(&text[copied..]);
    Ok(out)
}
