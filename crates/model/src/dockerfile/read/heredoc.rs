//! Here-documents: `<<EOF`, `<<-EOF`, `<<"EOF"` (parser.go `ParseHeredoc`, `heredocsFromLine`).

use super::instruction::Inline;
use crate::dockerfile::error::Fault;
use crate::dockerfile::shell::{Empty, Options, Quotes};

/// One here-document of an instruction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Heredoc {
    /// The terminator, unquoted.
    pub name: String,
    /// Whether variables in the body are replaced: the terminator was not quoted.
    pub expand: bool,
    /// `<<-`: leading tabs of each line are dropped.
    pub chomp: bool,
    /// The body as written, line ends included.
    pub content: String,
}

impl Heredoc {
    /// What the instruction sees of it.
    pub(crate) fn into_inline(self) -> Inline {
        let text = if self.chomp {
            let lines = self.content.split_inclusive('\n');
            lines.map(|line| line.trim_start_matches('\t')).collect()
        } else {
            self.content
        };
        Inline {
            name: self.name,
            text,
            expand: self.expand,
        }
    }
}

/// The here-documents that `line` announces, in order. Words are split with `\` whatever the
/// `escape` directive says, and a line that cannot be split announces none.
pub(crate) fn in_line(line: &str) -> Result<Vec<Heredoc>, Fault> {
    let options = Options {
        quotes: Quotes::Keep,
        raw_escapes: true,
        keep_unset: true,
        ..Options::new('\\')
    };
    let expansion = options.expand(line, &Empty).unwrap_or_default();
    let docs = expansion.words.iter().map(|word| parse(word));
    docs.filter_map(Result::transpose).collect()
}

/// Reads one word as a here-document's start, `N<<-NAME`.
pub(crate) fn parse(word: &str) -> Result<Option<Heredoc>, Fault> {
    let Some(rest) = word
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .strip_prefix("<<")
    else {
        return Ok(None);
    };
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start_matches(['\t', '\n', '\x0c', '\r', ' ']);
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let plain = Options {
        keep_unset: true,
        ..Options::new('\\')
    };
    let raw = Options {
        quotes: Quotes::Keep,
        ..plain
    };
    let name = only_word(rest, plain)?;
    let raw_name = only_word(rest, raw)?;
    if name.is_empty() {
        return Ok(None);
    }
    Ok(Some(Heredoc {
        expand: count_quotes(&name) == count_quotes(&raw_name),
        name,
        chomp,
        content: String::new(),
    }))
}

/// The text as a word; nothing if it is not exactly one.
fn only_word(text: &str, options: Options) -> Result<String, Fault> {
    let words = options.expand(text, &Empty)?.words;
    let [word] = words.try_into().unwrap_or_default();
    Ok(word)
}

fn count_quotes(text: &str) -> usize {
    text.matches(['\'', '"']).count()
}
