//! Shell-like expansion of one Dockerfile word: variables, quotes, escapes, and word splitting.
//!
//! The rules are `BuildKit`'s (`frontend/dockerfile/shell/lex.go`): a small part of POSIX `sh` with
//! `bash`'s pattern modifiers. Where both differ, `BuildKit` is followed, because it decides which
//! image a `FROM` names.

mod pattern;

use super::error::Fault;

/// How deep substitutions may stand in one another. `BuildKit` has no limit; people use two.
const MAX_DEPTH: u32 = 100;

/// Most bytes that the substitutions of one Dockerfile word may make. `BuildKit` has no bound; twenty
/// lines of `ARG A=$A$A` would fill a machine. A command's variable is at most 128 KiB on Linux
/// (`MAX_ARG_STRLEN`), so real ones are far below.
const SUBSTITUTED_MAX_BYTES: usize = 1 << 20;

/// What a variable is at some point of a Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Defined, with this value.
    Set(&'a str),
    /// Not defined.
    Unset,
    /// Perhaps defined by a base image whose configuration is not known here.
    Unknown,
}

pub(super) trait Env {
    fn get(&self, name: &str) -> Value<'_>;
}

pub(super) struct Empty;

impl Env for Empty {
    fn get(&self, _name: &str) -> Value<'_> {
        Value::Unset
    }
}

/// What one expansion gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expansion {
    /// The whole word with everything replaced.
    pub text: String,
    /// The same, split at unquoted white space.
    pub words: Vec<String>,
    /// The variables that were looked up, set or not, in order.
    pub names: Vec<String>,
    /// The text depends on a variable that only the base image's configuration can tell.
    pub uncertain: bool,
}

/// What quotes mean in a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Quotes {
    /// They protect what they hold, and are dropped.
    #[default]
    Resolve,
    /// They protect what they hold, and are kept.
    Keep,
    /// They are ordinary characters (inside here-documents).
    Ignore,
}

/// How to treat quotes, escapes and unset variables (the exported fields of lex.go's `Lex`).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    /// The escape character: `\` or a backtick.
    pub escape: char,
    /// What quotes mean.
    pub quotes: Quotes,
    /// Keep escape characters in the result.
    pub raw_escapes: bool,
    /// Leave references to unset variables as they stand.
    pub keep_unset: bool,
}

impl Options {
    pub(super) fn new(escape: char) -> Self {
        Self {
            escape,
            ..Self::default()
        }
    }

    pub(super) fn expand(self, word: &str, env: &dyn Env) -> Result<Expansion, Fault> {
        if self.is_plain(word) {
            return Ok(Expansion {
                text: word.to_owned(),
                words: word.split_whitespace().map(str::to_owned).collect(),
                ..Expansion::default()
            });
        }
        let mut lexer = Lexer {
            // Go's text/scanner drops a byte order mark at the start of what it reads.
            rest: word.strip_prefix('\u{feff}').unwrap_or(word),
            options: self,
            env,
            names: Vec::new(),
            uncertain: false,
            depth: 0,
            substituted_bytes: 0,
        };
        let (text, words) = lexer
            .until(None, self.raw_escapes)
            .map_err(|reason| Fault::new(word, format!("failed to process {word:?}: {reason}")))?;
        Ok(Expansion {
            text,
            words,
            names: lexer.names,
            uncertain: lexer.uncertain,
        })
    }

    fn is_plain(self, word: &str) -> bool {
        !word.contains(|c: char| {
            matches!(c, '$' | '\'' | '"' | '<' | '\u{feff}') || c == self.escape
        })
    }
}

/// Collects words while the text is built (lex.go `wordsStruct`).
#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: String,
}

impl Words {
    fn push(&mut self, c: char) {
        if c.is_whitespace() {
            self.finish();
        } else {
            self.current.push(c);
        }
    }

    fn finish(&mut self) {
        if !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
    }
}

struct Lexer<'w, 'e> {
    rest: &'w str,
    options: Options,
    env: &'e dyn Env,
    names: Vec<String>,
    uncertain: bool,
    depth: u32,
    substituted_bytes: usize,
}

impl<'e> Lexer<'_, 'e> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    /// Reads up to and including `stop`, or to the end (lex.go `processStopOn`).
    fn until(
        &mut self,
        stop: Option<char>,
        raw_escapes: bool,
    ) -> Result<(String, Vec<String>), String> {
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.next();
                words.finish();
                return Ok((text, words.done));
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    value.chars().for_each(|c| words.push(c));
                    text.push_str(&value);
                }
                '\'' | '"' if self.options.quotes != Quotes::Ignore => {
                    let quoted = if c == '"' {
                        self.double_quoted(raw_escapes)?
                    } else {
                        self.single_quoted()?
                    };
                    words.current.push_str(&quoted);
                    text.push_str(&quoted);
                }
                '<' => {
                    let arrows = self.possible_heredoc();
                    words.current.push_str(&arrows);
                    text.push_str(&arrows);
                }
                _ => {
                    self.next();
                    if c != self.options.escape {
                        words.push(c);
                        text.push(c);
                        continue;
                    }
                    if raw_escapes {
                        words.current.push(c);
                        text.push(c);
                    }
                    let Some(escaped) = self.next() else { break };
                    words.current.push(escaped);
                    text.push(escaped);
                }
            }
        }
        if let Some(stop) = stop {
            return Err(unclosed(stop));
        }
        words.finish();
        Ok((text, words.done))
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        self.next();
        let Some(end) = self.rest.find('\'') else {
            self.rest = "";
            return Err(unclosed("single-quote"));
        };
        let inner = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(if self.options.quotes == Quotes::Keep {
            format!("'{inner}'")
        } else {
            inner.to_owned()
        })
    }

    fn double_quoted(&mut self, raw_escapes: bool) -> Result<String, String> {
        let escape = self.options.escape;
        let mut text = String::new();
        self.next();
        if self.options.quotes == Quotes::Keep {
            text.push('"');
        }
        loop {
            match self.peek() {
                None => return Err(unclosed("double-quote")),
                Some('"') => {
                    self.next();
                    if self.options.quotes == Quotes::Keep {
                        text.push('"');
                    }
                    return Ok(text);
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(c) => {
                    self.next();
                    if c != escape {
                        text.push(c);
                        continue;
                    }
                    if raw_escapes {
                        text.push(c);
                    }
                    match self.peek() {
                        None => {}
                        Some(n) if n == '"' || n == '$' || n == escape => {
                            self.next();
                            text.push(n);
                        }
                        Some(_) => text.push(c),
                    }
                }
            }
        }
    }

    /// Keeps `<<` and the blanks after it in one word, so that `<< EOF` is seen as one here-document.
    fn possible_heredoc(&mut self) -> String {
        self.next();
        if self.peek() != Some('<') {
            return "<".to_owned();
        }
        self.next();
        let blanks = self.rest.trim_start_matches(['\t', '\r', ' ']);
        let arrows = format!("<<{}", &self.rest[..self.rest.len() - blanks.len()]);
        self.rest = blanks;
        arrows
    }

    fn lookup(&mut self, name: &str) -> Value<'e> {
        let value = self.env.get(name);
        self.names.push(name.to_owned());
        self.uncertain |= value == Value::Unknown;
        value
    }

    fn dollar(&mut self) -> Result<String, String> {
        if self.depth == MAX_DEPTH {
            return Err(format!(
                "substitutions are nested more than {MAX_DEPTH} deep"
            ));
        }
        self.depth += 1;
        let substituted = self.substitution();
        self.depth -= 1;
        let value = substituted?;
        self.substituted_bytes += value.len();
        if self.substituted_bytes > SUBSTITUTED_MAX_BYTES {
            return Err(format!(
                "its substitutions make more than {SUBSTITUTED_MAX_BYTES} bytes"
            ));
        }
        Ok(value)
    }

    fn substitution(&mut self) -> Result<String, String> {
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(self.plain_reference(&name, &format!("${name}")));
        }
        self.next();
        match self.peek() {
            None => return Err("syntax error: missing '}'".to_owned()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            Some('}') => Ok(self.plain_reference(&name, &format!("${{{name}}}"))),
            Some(':') => {
                let modifier = self.next();
                if matches!(modifier, Some('#' | '%')) {
                    return Err(unsupported(true, modifier));
                }
                self.modified(&name, true, modifier)
            }
            modifier @ Some('+' | '-' | '?' | '#' | '%') => self.modified(&name, false, modifier),
            Some('/') => self.replaced(&name),
            Some(other) => Err(unsupported(false, Some(other))),
            None => Err("syntax error: missing '}'".to_owned()),
        }
    }

    fn plain_reference(&mut self, name: &str, source: &str) -> String {
        match self.lookup(name) {
            Value::Set(value) => value.to_owned(),
            _ if self.options.keep_unset => source.to_owned(),
            _ => String::new(),
        }
    }

    /// A word of a substitution, and whether it is uncertain. It may not be used.
    fn word(&mut self, stop: char, raw_escapes: bool) -> Result<(String, bool), String> {
        let outside = std::mem::take(&mut self.uncertain);
        let word = self.until(Some(stop), raw_escapes);
        let is_uncertain = std::mem::replace(&mut self.uncertain, outside);
        match word {
            Ok((word, _)) => Ok((word, is_uncertain)),
            Err(_) if self.rest.is_empty() && stop == '}' => {
                Err("syntax error: missing '}'".to_owned())
            }
            Err(_) if self.rest.is_empty() => Err("syntax error: missing '/' in ${}".to_owned()),
            Err(reason) => Err(reason),
        }
    }

    /// `${name:-word}` and its relatives; `null` is the colon: an empty value counts as unset.
    fn modified(
        &mut self,
        name: &str,
        null: bool,
        modifier: Option<char>,
    ) -> Result<String, String> {
        let (word, unsure) = self.word('}', matches!(modifier, Some('#' | '%')))?;
        let value = self.lookup(name);
        if self.options.keep_unset && !matches!(value, Value::Set(_)) {
            let colon = if null { ":" } else { "" };
            let sign = modifier.map(String::from).unwrap_or_default();
            return Ok(format!("${{{name}{colon}{sign}{word}}}"));
        }
        let present = match value {
            Value::Set(value) if !null || !value.is_empty() => Some(value),
            _ => None,
        };
        // The word behind a variable counts only where it is used.
        self.uncertain |= unsure
            && match modifier {
                Some('-') => present.is_none(),
                Some('+') => present.is_some(),
                Some('?') => false,
                _ => true,
            };
        match modifier {
            Some('-') => Ok(present.map_or(word, str::to_owned)),
            Some('+') => Ok(present.map_or_else(String::new, |_| word)),
            Some('?') => match (present, value) {
                (Some(value), _) => Ok(value.to_owned()),
                (None, Value::Unknown) => Ok(String::new()),
                (None, _) if !word.is_empty() => Err(format!("{name}: {word}")),
                (None, Value::Unset) => Err(format!("{name}: is not allowed to be unset")),
                (None, _) => Err(format!("{name}: is not allowed to be empty")),
            },
            Some('#' | '%') if unsure => Ok(String::new()),
            Some(side @ ('#' | '%')) => {
                let value = present.unwrap_or_default();
                let (glob, greedy) = match word.strip_prefix(side) {
                    Some(glob) => (glob, true),
                    None => (word.as_str(), false),
                };
                pattern::trim(glob, value, side == '#', greedy)
            }
            other => Err(unsupported(null, other)),
        }
    }

    /// `${name/pattern/replacement}`, with a second slash for every occurrence.
    fn replaced(&mut self, name: &str) -> Result<String, String> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let (glob, unsure_glob) = self.word('/', true)?;
        let (replacement, unsure_replacement) = self.word('}', true)?;
        let value = self.lookup(name);
        if unsure_glob || unsure_replacement {
            self.uncertain = true;
            return Ok(String::new());
        }
        match value {
            Value::Set(value) => pattern::replace(&glob, value, &replacement, all),
            _ if self.options.keep_unset => Ok(format!("${{{name}/{glob}/{replacement}}}")),
            _ => pattern::replace(&glob, "", &replacement, all),
        }
    }

    /// A variable's name, one special parameter, or a run of digits.
    fn name(&mut self) -> String {
        let end = match self.peek() {
            Some(c) if c.is_numeric() => self.rest.find(|c: char| !c.is_numeric()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => Some(1),
            _ => self
                .rest
                .find(|c: char| !c.is_alphabetic() && !c.is_numeric() && c != '_'),
        };
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        name.to_owned()
    }
}

fn unclosed(what: impl std::fmt::Display) -> String {
    format!("unexpected end of statement while looking for matching {what}")
}

fn unsupported(null: bool, modifier: Option<char>) -> String {
    let colon = if null { ":" } else { "" };
    let modifier = modifier.unwrap_or(char::REPLACEMENT_CHARACTER);
    format!("unsupported modifier ({colon}{modifier}) in substitution")
}
