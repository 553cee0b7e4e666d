//! Variables in compose files: `$NAME`, `${NAME:-default}` and their kin.
//!
//! Follows compose-go `template/template.go`; the values are the environment's, then those of the
//! `.env` file beside the compose file (compose-go `dotenv`).

use std::collections::BTreeMap;

/// How deep defaults may stand in one another. Real ones stand two deep.
const DEPTH_MAX: usize = 100;

/// What a name stands for.
pub type Values = BTreeMap<String, String>;

/// Replaces the variables of a text. `$$` is a `$`; a name without a value is empty.
pub fn expand(text: &str, values: &Values) -> Result<String, String> {
    within(text, values, 0)
}

fn within(text: &str, values: &Values, depth: usize) -> Result<String, String> {
    if depth > DEPTH_MAX {
        return Err(format!(
            "its defaults are nested more than {DEPTH_MAX} deep"
        ));
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = closing(after).ok_or_else(|| format!("{text:?} has a ${{ without its }}"))?;
            out.push_str(&braced(&after[..end], values, depth)?);
            rest = &after[end + 1..];
        } else {
            let end = name_length(rest);
            if end == 0 {
                return Err(format!(
                    "{text:?} has a $ that names nothing; write $$ for a $"
                ));
            }
            out.push_str(values.get(&rest[..end]).map_or("", String::as_str));
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn name_length(text: &str) -> usize {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c| !letter(c)).unwrap_or(text.len())
}

/// Where the `}` is that ends a `${`, whose defaults may hold others.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn braced(inside: &str, values: &Values, depth: usize) -> Result<String, String> {
    let (name, operator) = inside.split_at(name_length(inside));
    if name.is_empty() {
        return Err(format!("${{{inside}}} names no variable; write $$ for a $"));
    }
    let value = values.get(name);
    let filled = value.filter(|value| !value.is_empty());
    let expand = |word: &str| within(word, values, depth + 1);
    let refuse = |word: &str| {
        let word = expand(word)?;
        Err(format!("the variable {name} is missing: {word}"))
    };
    let known = |value: Option<&String>| value.cloned().unwrap_or_default();
    for (sign, counted) in [(":", filled), ("", value)] {
        let Some(rest) = operator.strip_prefix(sign) else {
            continue;
        };
        match (rest.chars().next(), rest.get(1..)) {
            (Some('-'), Some(word)) => {
                return counted.map_or_else(|| expand(word), |value| Ok(value.clone()));
            }
            (Some('+'), Some(word)) => {
                return counted.map_or(Ok(String::new()), |_| expand(word));
            }
            (Some('?'), Some(word)) => {
                return counted.map_or_else(|| refuse(word), |value| Ok(value.clone()));
            }
            (None, _) if sign.is_empty() => return Ok(known(value)),
            _ => {}
        }
    }
    Err(format!(
        "${{{inside}}} is not understood; write ${{{name}}}, ${{{name}:-default}} or ${{{name}:?message}}"
    ))
}

/// The environment with what a `.env` file adds to it: `NAME=value` lines, comments, quotes. Lines of
/// another form are left out. Values outside single quotes may hold variables of the environment and
/// of earlier lines (compose-go `dotenv/parser.go`, `expandVariables`).
pub fn dotenv(text: &str, environment: &Values) -> Values {
    let mut values = environment.clone();
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name_length(name) != name.len() {
            continue;
        }
        let quoted = |quote: char| {
            let rest = value.strip_prefix(quote)?;
            rest.find(quote).map(|end| rest[..end].to_owned())
        };
        let plain = || value.split(" #").next().unwrap_or_default().trim_end();
        let value = quoted('\'').unwrap_or_else(|| {
            let value = quoted('"').unwrap_or_else(|| plain().to_owned());
            expand(&value, &values).unwrap_or(value)
        });
        if !environment.contains_key(name) {
            values.insert(name.to_owned(), value);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        [("A", "a"), ("E", ""), ("B_1", "b")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn variables_as_compose_reads_them() {
        for (text, expected) in [
            ("x$A-${B_1}y", "xa-by"),
            ("$$A $NONE", "$A "),
            ("${E:-d}${E-d}${N-d}", "dd"),
            ("${A:+r}${E:+r}${E+r}", "rr"),
            ("${A:?no}${E?no}", "a"),
            ("${N:-${M:-${A}}}", "a"),
            ("${N:-}", ""),
        ] {
            assert_eq!(expand(text, &values()).as_deref(), Ok(expected), "{text}");
        }
        for text in ["${", "${A", "$", "${1}", "${A!b}", "${A/b/c}"] {
            assert!(expand(text, &values()).is_err(), "{text}");
        }
        let deep = format!("{}x{}", "${N:-".repeat(100_000), "}".repeat(100_000));
        assert!(expand(&deep, &values()).expect_err("deep").contains("100"));
        let error = expand("${E:?set it to ${A}}", &values()).expect_err("empty");
        assert!(
            error.contains('E') && error.contains("set it to a"),
            "{error}"
        );
    }

    #[test]
    fn dotenv_files_are_read() {
        let text = "# c\nA=1\nexport B = two words # c\nC=\"x # y\"\nD='q'\nbad line\n1=x\n\
            F=$A-${B_1}\nG=\"${F}${N:-d}\"\nH='$A'\nI=a$\n";
        let expected = [
            ("A", "a"),
            ("B", "two words"),
            ("B_1", "b"),
            ("C", "x # y"),
            ("D", "q"),
            ("E", ""),
            ("F", "a-b"),
            ("G", "a-bd"),
            ("H", "$A"),
            ("I", "a$"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(dotenv(text, &values()), expected.into());
    }
}
