//! Steps as `docker history` shows them: which instruction one is, and which names have which values.
//!
//! Two builders write them. The classic one, `dispatchRun` and `prependEnvOnCmd` of moby's
//! `builder/dockerfile/dispatchers.go`: `|2 A=1 B=2 /bin/sh -c …` and `/bin/sh -c #(nop)  ENV A=1`.
//! `BuildKit`, `runCommandString` and `commitToHistory` of `frontend/dockerfile/dockerfile2llb/convert.go`:
//! `RUN |2 A=1 B=2 /bin/sh -c … # buildkit` and `ENV A=1 # buildkit`. Neither quotes values, so a value
//! goes on until the next `NAME=`; behind the last build argument stands the command.

use std::ops::Range;

use crate::Carrier;
use crate::rule::Rule;

/// Longest name that is repeated in a message.
const NAME_MAX_BYTES: usize = 64;

/// What carries a piece of a step.
pub(super) struct Piece {
    pub(super) carrier: Carrier,
    pub(super) span: Range<usize>,
}

/// The instruction and where what is behind it begins.
fn instruction(step: &str) -> (&str, usize) {
    let nop = "/bin/sh -c #(nop)";
    let body = step.strip_prefix(nop).unwrap_or(step).trim_start();
    let word = body.split(' ').next().unwrap_or_default();
    (word, step.len() - body.len() + word.len())
}

/// The arguments, variables and labels of a step.
pub(super) fn pieces(step: &str) -> Vec<Piece> {
    let (word, begin) = instruction(step);
    let carrier: fn(String) -> Carrier = match word {
        "ENV" => Carrier::Variable,
        "LABEL" => Carrier::Label,
        "ARG" => Carrier::BuildArgument,
        _ => return arguments(step),
    };
    assignments(step, begin, carrier, usize::MAX)
}

/// The build arguments in front of a command.
fn arguments(step: &str) -> Vec<Piece> {
    let text = step.strip_prefix("RUN ").unwrap_or(step);
    let begin = step.len() - text.len();
    let Some(rest) = text.strip_prefix('|') else {
        return Vec::new();
    };
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let Ok(count) = rest[..digits].parse() else {
        return Vec::new();
    };
    assignments(step, begin + 1 + digits, Carrier::BuildArgument, count)
}

/// At most so many `NAME=value`, from a place on.
fn assignments(
    step: &str,
    begin: usize,
    carrier: fn(String) -> Carrier,
    count: usize,
) -> Vec<Piece> {
    let mut found: Vec<Piece> = Vec::new();
    let mut at = begin;
    for word in step[begin..].split(' ') {
        let span = at..at + word.len();
        at = span.end + 1;
        match assigned_name(word) {
            Some(name) if found.len() < count => {
                let carrier = carrier(name.to_owned());
                found.push(Piece { carrier, span });
            }
            // The last argument's value ends with its word: behind it begins the command.
            _ if found.len() < count => {
                if let Some(last) = found.last_mut() {
                    last.span.end = span.end;
                }
            }
            _ => break,
        }
    }
    found
}

/// The name in `NAME=value`; letters that a terminal would obey are in none.
fn assigned_name(word: &str) -> Option<&str> {
    let (name, _) = word.split_once('=')?;
    let mut bytes = name.bytes();
    let fits = name.len() <= NAME_MAX_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && bytes.all(|c| c.is_ascii_alphanumeric() || b"_.-/".contains(&c));
    fits.then_some(name)
}

/// What a step that copies credentials is called. It is found by the file's name, not by a pattern.
pub(super) static COPIED: Rule = Rule::behind(
    "copied-credentials",
    "a file of credentials",
    "",
    "",
    "https://docs.docker.com/build/building/secrets/",
);

/// Files that hold credentials and hardly ever anything else, by the end of their path. Those that often
/// hold settings only (`.npmrc`, `.env`) are not among them.
const CREDENTIAL_FILES: [&str; 10] = [
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    ".netrc",
    ".git-credentials",
    ".pypirc",
    ".aws/credentials",
    ".docker/config.json",
    ".kube/config",
];

/// The files of credentials that a step copies, and where they are named.
pub(super) fn copied_credentials(step: &str) -> Vec<(&'static str, Range<usize>)> {
    let (word, begin) = instruction(step);
    if !matches!(word, "COPY" | "ADD") {
        return Vec::new();
    }
    let mut found: Vec<(&str, Range<usize>)> = Vec::new();
    let mut at = begin;
    for word in step[begin..].split(' ') {
        let span = at..at + word.len();
        at = span.end + 1;
        let file = CREDENTIAL_FILES.iter().find(|file| {
            let rest = word.strip_suffix(**file);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        });
        if let Some(file) = file
            && !found.iter().any(|(other, _)| other == file)
        {
            found.push((file, span));
        }
    }
    found
}
