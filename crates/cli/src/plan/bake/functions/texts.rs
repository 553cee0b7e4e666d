//! Functions of texts (go-cty `string.go`, `string_replace.go`, `regexp.go`, `bytes.go`, `json.go`;
//! go-cty-funcs `encoding`, `crypto`; buildx's own).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::{Captures, Regex};
use ring::digest;

use super::super::CURE;
use super::super::value::{TEXT_MAX_BYTES, Text, Value};
use super::{bounded, format, take};

type Answer = Result<Value, String>;

/// Calls one of them.
pub fn call(name: &str, arguments: &[Value]) -> Option<Answer> {
    Some(match name {
        "lower" => one(arguments, |text| Ok(text.to_lowercase())),
        "upper" => one(arguments, |text| Ok(text.to_uppercase())),
        "title" => one(arguments, |text| Ok(title(text))),
        "trimspace" => one(arguments, |text| Ok(text.trim().to_owned())),
        "chomp" => one(arguments, |text| {
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }),
        "reverse" => one(arguments, |text| Ok(plain(text)?.chars().rev().collect())),
        "sanitize" => one(arguments, |text| Ok(sanitize(text))),
        "basename" => one(arguments, |text| Ok(base_name(text).to_owned())),
        "dirname" => one(arguments, |text| Ok(dir_name(text))),
        "urlencode" => one(arguments, |text| Ok(url_encode(text))),
        "base64encode" => one(arguments, |text| Ok(STANDARD.encode(text))),
        "base64decode" => one(arguments, base64_decode),
        "sha1" => one(arguments, |text| {
            Ok(hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, text))
        }),
        "sha256" => one(arguments, |text| Ok(hash(&digest::SHA256, text))),
        "sha512" => one(arguments, |text| Ok(hash(&digest::SHA512, text))),
        "trim" => two(arguments, |text, set| {
            Ok(text.trim_matches(|c| set.contains(c)).to_owned())
        }),
        "trimprefix" => two(arguments, |text, start| {
            Ok(text.strip_prefix(start).unwrap_or(text).to_owned())
        }),
        "trimsuffix" => two(arguments, |text, end| {
            Ok(text.strip_suffix(end).unwrap_or(text).to_owned())
        }),
        "strlen" => take(arguments).and_then(|[text]| Ok(Value::from(plain(&text.text()?)?.len()))),
        "substr" => substr(arguments),
        "indent" => indent(arguments),
        "split" => split(arguments),
        "join" => join(arguments),
        "replace" => replace(arguments),
        "regex" => regex(arguments),
        "regexall" => regex_all(arguments),
        "regex_replace" => regex_replace(arguments),
        "jsonencode" => take(arguments).and_then(|[value]| Ok(Value::Text(format::json(value)?))),
        "jsondecode" => take(arguments).and_then(|[text]| {
            let text = text.text()?;
            let value = serde_json::from_str(&text);
            Value::of_json(&value.map_err(|error| format!("{text:?} is not JSON: {error}"))?)
        }),
        "format" => format::format(arguments),
        "formatlist" => format::format_list(arguments),
        _ => return None,
    })
}

fn one(arguments: &[Value], work: impl Fn(&str) -> Result<String, String>) -> Answer {
    let [text] = take(arguments)?;
    Ok(Value::Text(work(&text.text()?)?))
}

fn two(arguments: &[Value], work: impl Fn(&str, &str) -> Result<String, String>) -> Answer {
    let [a, b] = take(arguments)?;
    Ok(Value::Text(work(&a.text()?, &b.text()?)?))
}

/// cty counts what people see as one letter (grapheme clusters); here only texts are understood in which
/// those are single bytes.
fn plain(text: &str) -> Result<&str, String> {
    if text.is_ascii() && !text.contains('\r') {
        return Ok(text);
    }
    Err(format!("{text:?} is not plain ASCII; {CURE}"))
}

/// Go's `strings.Title`: what follows anything but a letter, a digit, `_` starts a word.
fn title(text: &str) -> String {
    let mut starts = true;
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if starts {
            out.extend(letter.to_uppercase());
        } else {
            out.push(letter);
        }
        starts = if letter.is_ascii() {
            !(letter.is_ascii_alphanumeric() || letter == '_')
        } else {
            letter.is_whitespace()
        };
    }
    out
}

fn sanitize(text: &str) -> String {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.chars()
        .map(|c| if known(c) { c } else { '_' })
        .collect()
}

/// Go's `path.Base`.
fn base_name(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let path = path.trim_end_matches('/');
    path.rsplit('/')
        .next()
        .filter(|name| !name.is_empty())
        .unwrap_or("/")
}

/// Go's `path.Dir`: what is before the last `/`, tidied.
fn dir_name(path: &str) -> String {
    let (dir, is_root) = match path.rsplit_once('/') {
        None => return ".".to_owned(),
        Some((dir, _)) => (dir, path.starts_with('/')),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in dir
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
    {
        match part {
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if is_root => {}
            _ => parts.push(part),
        }
    }
    match (is_root, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// Go's `url.QueryEscape`.
fn url_encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => {
                let hex = b"0123456789ABCDEF";
                out.push('%');
                out.push(char::from(hex[usize::from(byte >> 4)]));
                out.push(char::from(hex[usize::from(byte & 15)]));
            }
        }
    }
    out
}

fn base64_decode(text: &str) -> Result<String, String> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| format!("{text:?} is not base64: {error}"))?;
    String::from_utf8(bytes).map_err(|_| format!("{text:?} holds no UTF-8 text"))
}

fn hash(kind: &'static digest::Algorithm, text: &str) -> String {
    let mut out = String::new();
    for byte in digest::digest(kind, text.as_bytes()).as_ref() {
        write!(out, "{byte:02x}").expect("a String takes all");
    }
    out
}

fn substr(arguments: &[Value]) -> Answer {
    let [text, offset, length] = take(arguments)?;
    let (text, offset, length) = (text.text()?, offset.integer()?, length.integer()?);
    let text = plain(&text)?;
    // A negative offset counts from the end, a negative length is all that is left.
    let start = match usize::try_from(offset) {
        Ok(start) => start.min(text.len()),
        Err(_) => text.len().saturating_sub(offset.unsigned_abs() as usize),
    };
    let length = usize::try_from(length).unwrap_or(text.len());
    let end = start.saturating_add(length).min(text.len());
    Ok(Value::Text(text[start..end].to_owned()))
}

fn indent(arguments: &[Value]) -> Answer {
    let [spaces, text] = take(arguments)?;
    let spaces = spaces.count()?;
    if spaces > TEXT_MAX_BYTES {
        return Err(format!("{spaces} spaces are too many"));
    }
    replaced(&text.text()?, "\n", &format!("\n{}", " ".repeat(spaces)))
}

fn replace(arguments: &[Value]) -> Answer {
    let [text, old, new] = take(arguments)?;
    replaced(&text.text()?, &old.text()?, &new.text()?)
}

fn replaced(text: &str, old: &str, new: &str) -> Answer {
    let mut out = Text::default();
    let mut end = 0;
    for (at, found) in text.match_indices(old) {
        out.push(&text[end..at])?;
        out.push(new)?;
        end = at + found.len();
    }
    out.push(&text[end..])?;
    Ok(Value::Text(out.done()))
}

fn split(arguments: &[Value]) -> Answer {
    let [separator, text] = take(arguments)?;
    let (separator, text) = (separator.text()?, text.text()?);
    let parts: Vec<String> = if separator.is_empty() {
        text.chars().map(String::from).collect()
    } else {
        text.split(&separator).map(str::to_owned).collect()
    };
    bounded(parts.len())?;
    Ok(Value::List(parts.into_iter().map(Value::Text).collect()))
}

fn join(arguments: &[Value]) -> Answer {
    let [separator, lists @ ..] = arguments else {
        return Err("it takes a separator and lists".to_owned());
    };
    if lists.is_empty() {
        return Err("it takes a separator and at least one list".to_owned());
    }
    let separator = separator.text()?;
    let mut out = Text::default();
    let mut is_first = true;
    for list in lists {
        for text in list.clone().texts()? {
            if !is_first {
                out.push(&separator)?;
            }
            out.push(&text)?;
            is_first = false;
        }
    }
    Ok(Value::Text(out.done()))
}

/// A pattern as Go reads it: its classes `\d`, `\s`, `\w` and their likes are ASCII's.
fn pattern(text: &str) -> Result<Regex, String> {
    let mut translated = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next() } else { None };
        match escaped {
            None => translated.push(c),
            Some('d') => translated.push_str("[0-9]"),
            Some('D') => translated.push_str("[^0-9]"),
            Some('s') => translated.push_str("[\\t\\n\\f\\r ]"),
            Some('S') => translated.push_str("[^\\t\\n\\f\\r ]"),
            Some('w') => translated.push_str("[0-9A-Za-z_]"),
            Some('W') => translated.push_str("[^0-9A-Za-z_]"),
            Some('b') => translated.push_str("(?-u:\\b)"),
            Some(other) => translated.extend(['\\', other]),
        }
    }
    Regex::new(&translated)
        .map_err(|error| format!("{text:?} is no pattern that is understood: {error}; {CURE}"))
}

/// What a match is: its text, or its groups where the pattern has some.
fn found(pattern: &Regex, captures: &Captures<'_>) -> Value {
    let text = |group: Option<regex::Match<'_>>| {
        group.map_or(Value::Null, |group| Value::Text(group.as_str().to_owned()))
    };
    if pattern.captures_len() == 1 {
        return text(captures.get(0));
    }
    let names: BTreeMap<_, _> = pattern
        .capture_names()
        .flatten()
        .map(|name| (name.to_owned(), text(captures.name(name))))
        .collect();
    if names.is_empty() {
        return Value::List(captures.iter().skip(1).map(text).collect());
    }
    Value::Map(names)
}

fn regex(arguments: &[Value]) -> Answer {
    let [wanted, text] = take(arguments)?;
    let (wanted, text) = (pattern(&wanted.text()?)?, text.text()?);
    let captures = wanted.captures(&text);
    let captures =
        captures.ok_or_else(|| format!("{text:?} does not match {:?}", wanted.as_str()))?;
    Ok(found(&wanted, &captures))
}

fn regex_all(arguments: &[Value]) -> Answer {
    let [wanted, text] = take(arguments)?;
    let (wanted, text) = (pattern(&wanted.text()?)?, text.text()?);
    let mut all = Vec::new();
    for captures in wanted.captures_iter(&text) {
        all.push(found(&wanted, &captures));
        bounded(all.len() * wanted.captures_len())?;
    }
    Ok(Value::List(all))
}

fn regex_replace(arguments: &[Value]) -> Answer {
    let [text, wanted, new] = take(arguments)?;
    let (text, wanted, new) = (text.text()?, pattern(&wanted.text()?)?, new.text()?);
    let mut out = Text::default();
    let mut end = 0;
    for captures in wanted.captures_iter(&text) {
        let all = captures.get_match();
        // Each two bytes of the replacement may stand for the whole match.
        if (new.len() / 2 + 1).saturating_mul(all.len()) > TEXT_MAX_BYTES {
            return Err(format!("a text is longer than {TEXT_MAX_BYTES} bytes"));
        }
        out.push(&text[end..all.start()])?;
        let mut expanded = String::new();
        captures.expand(&new, &mut expanded);
        out.push(&expanded)?;
        end = all.end();
    }
    out.push(&text[end..])?;
    Ok(Value::Text(out.done()))
}
