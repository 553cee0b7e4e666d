//! Text of others, made harmless before it is printed.
//!
//! Much of what is printed was written by somebody else: the body of a store's error, a document's project and
//! job, an image's name, a line of a Dockerfile. A terminal obeys control characters, and CI systems obey
//! lines of a job's log. So all that the report prints passes here, whoever wrote it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use larder_local::people::is_obeyed;

/// What begins a command of a CI system, wherever it stands in a line: GitHub's older form and Azure's sections
/// (actions/runner `ActionCommand.cs`, `TryParse`), Azure's and `TeamCity`'s commands. What GitLab and Travis
/// obey has control characters in it.
const COMMANDS: [&str; 3] = ["##[", "##vso[", "##teamcity["];

/// Text of any number of lines. Ours begin with `larder:`, those that a text brings with it are indented, so that
/// none of them can pass for one of ours.
pub(super) fn indented(text: &str) -> String {
    plain(text).replace('\n', "\n  ")
}

/// Text without control characters but for line ends and tabs, without characters that change the direction of
/// writing, and without commands of CI systems.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            shown.push('\n');
        }
        let line = visible(line);
        shown.push_str(&broken(&line));
    }
    shown
}

/// One line: a name in a table or a sentence.
pub(crate) fn name(text: &str) -> String {
    plain(&text.replace('\n', "\\n"))
}

/// JSON without commands: `#` is written as an escape, which is the same text to whoever reads it.
pub(super) fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push(c),
            c if is_obeyed(c) => escape(&mut shown, c),
            c => shown.push(c),
        }
    }
    COMMANDS.iter().fold(shown, |shown, command| {
        let rest = &command[1..];
        shown.replace(command, &format!("\\u0023{rest}"))
    })
}

fn visible(line: &str) -> Cow<'_, str> {
    if !line.contains(|c| c != '\t' && is_obeyed(c)) {
        return line.into();
    }
    let escaped = line.chars().map(|c| match c {
        '\t' => c.to_string(),
        c if is_obeyed(c) => c.escape_default().to_string(),
        c => c.to_string(),
    });
    escaped.collect::<String>().into()
}

/// A line with its commands parted. GitHub takes a line for one if it begins with `::` and a name, whatever spaces
/// stand before (actions/runner `ActionCommand.cs`, `TryParseV2`).
fn broken(line: &str) -> String {
    let mut line = COMMANDS.iter().fold(line.to_owned(), |line, command| {
        line.replace(command, &format!("# {}", &command[1..]))
    });
    let start = line.len() - line.trim_start().len();
    let named = line[start..].strip_prefix("::");
    if named.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphabetic())) {
        line.insert(start + 1, ' ');
    }
    line
}

/// As JSON writes it, by UTF-16 (RFC 8259, section 7).
fn escape(shown: &mut String, c: char) {
    let mut units = [0; 2];
    for unit in c.encode_utf16(&mut units) {
        write!(shown, "\\u{unit:04x}").expect("writing to a string");
    }
}

/// A log's lines made harmless. The subscriber writes each event at once.
pub(super) struct Log<W>(pub(super) W);

impl<W: Write> Write for Log<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.write_all(plain(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_obeys_what_is_printed() {
        for (text, shown) in [
            (
                "plain text, ü, 漢, 1::2, ##x",
                "plain text, ü, 漢, 1::2, ##x",
            ),
            ("a\u{1b}[31mb\u{7}", "a\\u{1b}[31mb\\u{7}"),
            ("a\rb\tc", "a\\rb\tc"),
            ("a\u{202e}b\u{9b}c", "a\\u{202e}b\\u{9b}c"),
            ("::error file=a::b", ": :error file=a::b"),
            ("a\n  ::add-mask::x", "a\n  : :add-mask::x"),
            ("::1 is an address", "::1 is an address"),
            ("x ##[error]y", "x # #[error]y"),
            (
                "##vso[task.setvariable variable=a]b",
                "# #vso[task.setvariable variable=a]b",
            ),
            ("##teamcity[x]###[y]", "# #teamcity[x]## #[y]"),
            (
                "section_start:1:a\r\u{1b}[0Kb",
                "section_start:1:a\\r\\u{1b}[0Kb",
            ),
        ] {
            assert_eq!(plain(text), shown, "{text:?}");
        }
        assert_eq!(
            indented("a\n::error::b\nlarder: c"),
            "a\n  : :error::b\n  larder: c"
        );
        assert_eq!(name("a\nlarder: saved"), "a\\nlarder: saved");
    }

    #[test]
    fn json_stays_the_same_to_a_program() {
        let value =
            serde_json::json!({ "a": "##[error]\u{1b}\u{9b}\u{202e}\n::error::x ##vso[y] ####[" });
        let text = serde_json::to_string_pretty(&value).expect("JSON");
        let shown = json(&text);
        let read: serde_json::Value = serde_json::from_str(&shown).expect("JSON again");
        assert_eq!(read, value);
        assert!(
            !shown.contains("##[") && !shown.contains("##vso["),
            "{shown}"
        );
        assert!(
            !shown.contains(|c: char| c != '\n' && is_obeyed(c)),
            "{shown:?}"
        );
    }

    #[test]
    fn a_log_passes_on_what_it_is_given() {
        let mut out = Vec::new();
        let mut log = Log(&mut out);
        log.write_all("WARN a\u{1b}b ##[error]\n".as_bytes())
            .expect("written");
        log.flush().expect("flushed");
        assert_eq!(String::from_utf8_lossy(&out), "WARN a\\u{1b}b # #[error]\n");
    }
}
