//! `format`, `formatlist`, and values as JSON texts (go-cty `format.go`, `json.go`).

use std::iter::Peekable;
use std::str::Chars;

use super::super::CURE;
use super::super::value::{Text, Value, number_text};
use super::bounded;

/// A field wider than this is a mistake.
const WIDTH_MAX: usize = 1_000;

/// A value as JSON, written as Go does.
pub fn json(value: &Value) -> Result<String, String> {
    let text = value.json()?.to_string();
    // `encoding/json` keeps its output safe within HTML.
    let text = text
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    Ok(text
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029"))
}

/// `format(pattern, values…)`
pub fn format(arguments: &[Value]) -> Result<Value, String> {
    let [pattern, values @ ..] = arguments else {
        return Err("it takes a pattern and values".to_owned());
    };
    Ok(Value::Text(formatted(&pattern.text()?, values)?))
}

/// `formatlist(pattern, lists…)`: once for each element; what is no list is the same each time.
pub fn format_list(arguments: &[Value]) -> Result<Value, String> {
    let [pattern, values @ ..] = arguments else {
        return Err("it takes a pattern and lists".to_owned());
    };
    let pattern = pattern.text()?;
    let length = |value: &Value| match value {
        Value::List(values) => Some(values.len()),
        _ => None,
    };
    let mut lengths = values.iter().filter_map(length);
    let count = lengths.next().unwrap_or(1);
    if let Some(other) = lengths.find(|other| *other != count) {
        return Err(format!("one list has {count} elements, another {other}"));
    }
    bounded(count * values.len())?;
    let row = |at: usize| {
        let row = values.iter().map(|value| match value {
            Value::List(values) => values[at].clone(),
            other => other.clone(),
        });
        Ok(Value::Text(formatted(&pattern, &row.collect::<Vec<_>>())?))
    };
    Ok(Value::List(
        (0..count).map(row).collect::<Result<_, String>>()?,
    ))
}

/// What stands between `%` and the verb.
#[derive(Debug, Default)]
struct Flags {
    marks: String,
    width: usize,
    precision: Option<usize>,
}

impl Flags {
    fn has(&self, mark: char) -> bool {
        self.marks.contains(mark)
    }
}

fn formatted(pattern: &str, values: &[Value]) -> Result<String, String> {
    let mut out = Text::default();
    let mut chars = pattern.chars().peekable();
    let (mut next, mut most, mut is_indexed) = (0, 0, false);
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c.encode_utf8(&mut [0; 4]))?;
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            out.push("%")?;
            continue;
        }
        let flags = flags(&mut chars)?;
        if chars.next_if_eq(&'[').is_some() {
            let at = number(&mut chars)?;
            if at == 0 || chars.next() != Some(']') {
                return Err(format!("{pattern:?}: an index is written %[1]s"));
            }
            next = at - 1;
            is_indexed = true;
        }
        let verb = chars
            .next()
            .ok_or_else(|| format!("{pattern:?} ends within a verb"))?;
        let value = values.get(next);
        let value =
            value.ok_or_else(|| format!("{pattern:?} needs more than {} values", values.len()))?;
        out.push(&padded(field(verb, &flags, value)?, &flags, verb))?;
        next += 1;
        most = most.max(next);
    }
    if !is_indexed && most < values.len() {
        return Err(format!(
            "{pattern:?} needs {most} values, {} are given",
            values.len()
        ));
    }
    Ok(out.done())
}

fn flags(chars: &mut Peekable<Chars<'_>>) -> Result<Flags, String> {
    let mut flags = Flags::default();
    while let Some(mark) = chars.next_if(|c| "-0+ #".contains(*c)) {
        flags.marks.push(mark);
    }
    flags.width = number(chars)?;
    if chars.next_if_eq(&'.').is_some() {
        flags.precision = Some(number(chars)?);
    }
    Ok(flags)
}

fn number(chars: &mut Peekable<Chars<'_>>) -> Result<usize, String> {
    let mut number = 0;
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        number = number * 10 + digit.to_digit(10).unwrap_or(0) as usize;
        if number > WIDTH_MAX {
            return Err(format!("{number} is more than {WIDTH_MAX}"));
        }
    }
    Ok(number)
}

fn field(verb: char, flags: &Flags, value: &Value) -> Result<String, String> {
    let signed = |number: f64, text: String| match () {
        () if number < 0.0 => text,
        () if flags.has('+') => format!("+{text}"),
        () if flags.has(' ') => format!(" {text}"),
        () => text,
    };
    let cut = |text: String| match flags.precision {
        Some(most) => text.chars().take(most).collect(),
        None => text,
    };
    match verb {
        'v' if flags.has('#') => json(value),
        'v' => match value {
            Value::Text(text) => Ok(cut(text.clone())),
            Value::Number(number) => Ok(signed(*number, number_text(*number)?)),
            Value::Bool(truth) => Ok(truth.to_string()),
            other => json(other),
        },
        's' => Ok(cut(value.text()?)),
        'q' => json(&Value::Text(cut(value.text()?))),
        't' => Ok(value.truth()?.to_string()),
        'd' => {
            let number = value.whole()?;
            Ok(signed(number, number_text(number)?))
        }
        'f' => {
            let (number, digits) = (value.number()?, flags.precision.unwrap_or(6));
            Ok(signed(number, format!("{number:.digits$}")))
        }
        'x' | 'X' if matches!(value, Value::Number(_)) && !flags.has('#') => {
            let number = value.integer()?;
            let (sign, number) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
            Ok(if verb == 'x' {
                format!("{sign}{number:x}")
            } else {
                format!("{sign}{number:X}")
            })
        }
        _ => Err(format!("the verb %{verb} is not understood here; {CURE}")),
    }
}

fn padded(text: String, flags: &Flags, verb: char) -> String {
    let missing = flags.width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if flags.has('-') {
        return text + &" ".repeat(missing);
    }
    if flags.has('0') && "dfxX".contains(verb) {
        let digits = text.find(|c: char| c.is_ascii_alphanumeric()).unwrap_or(0);
        let (sign, digits) = text.split_at(digits);
        return format!("{sign}{}{digits}", "0".repeat(missing));
    }
    let fill = if flags.has('0') { "0" } else { " " };
    fill.repeat(missing) + &text
}
