//! One instruction as the parser sees it: keyword, flags, arguments, before any rule of the
//! instruction itself (parser.go `newNodeFromLine`, `line_parsers.go`).

use std::borrow::Cow;

use super::heredoc::Heredoc;
use super::words;
use crate::dockerfile::error::{Fault, Span};
use crate::go;

/// An instruction taken apart.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// The keyword as written.
    pub keyword: String,
    /// `--flag` words before the arguments.
    pub flags: Vec<String>,
    /// The arguments.
    pub args: Vec<String>,
    /// Whether the arguments were a JSON array.
    pub json: bool,
    /// For `ENV` and `LABEL`: keys and values instead of arguments.
    pub pairs: Vec<(String, String)>,
    /// For `ONBUILD`: the instruction inside.
    pub trigger: Option<Box<Node>>,
    /// Here-documents.
    pub heredocs: Vec<Heredoc>,
    /// The logical line, for `ONBUILD` only.
    pub original: String,
    /// Where it stands.
    pub span: Span,
}

impl Node {
    /// Takes a logical line apart. Unknown keywords are kept: refusing them comes later.
    pub(crate) fn parse(line: &str, escape: char) -> Result<Self, Fault> {
        let line = line.trim();
        let (keyword, flags, args) = match words::split_once(line) {
            None => (line, Vec::new(), Cow::Borrowed("")),
            Some((keyword, rest)) => {
                let (flags, args) = words::take_flags(rest, escape);
                (keyword, flags, args)
            }
        };
        let mut node = Self {
            keyword: keyword.to_owned(),
            flags,
            ..Self::default()
        };
        node.read_args(args.trim(), escape)?;
        Ok(node)
    }

    fn read_args(&mut self, args: &str, escape: char) -> Result<(), Fault> {
        match go::to_lower(&self.keyword).as_str() {
            "run" | "cmd" | "entrypoint" | "shell" => self.json_or_text(args)?,
            "add" | "copy" | "volume" => match words::json_strings(args)? {
                Some(strings) => self.set_json(strings),
                None => self.args = words::blank_separated(args),
            },
            "from" | "expose" => self.args = words::blank_separated(args),
            "arg" => self.args = words::quoted(args, escape),
            keyword @ ("env" | "label") => self.pairs = pairs(args, escape, keyword)?,
            "healthcheck" => {
                let kind = args.split(char::is_whitespace).next().unwrap_or_default();
                self.json_or_text(args[kind.len()..].trim_start())?;
                if !kind.is_empty() {
                    self.args.insert(0, kind.to_owned());
                }
            }
            "onbuild" if !args.is_empty() => {
                self.trigger = Some(Box::new(Self::trigger(args, escape)?));
            }
            "maintainer" | "stopsignal" | "user" | "workdir" if !args.is_empty() => {
                self.args = vec![args.to_owned()];
            }
            _ => {}
        }
        Ok(())
    }

    /// The instruction inside an `ONBUILD`. A second `ONBUILD` is refused later, so what it holds
    /// is not looked at: the depth of the nesting is the file's to choose, the stack is not.
    fn trigger(line: &str, escape: char) -> Result<Self, Fault> {
        let keyword = words::split_once(line).map_or(line, |(keyword, _)| keyword);
        if go::to_lower(keyword) == "onbuild" {
            return Ok(Self {
                keyword: keyword.to_owned(),
                ..Self::default()
            });
        }
        Self::parse(line, escape)
    }

    fn json_or_text(&mut self, args: &str) -> Result<(), Fault> {
        match words::json_strings(args)? {
            Some(strings) => self.set_json(strings),
            None if args.is_empty() => {}
            None => self.args = vec![args.to_owned()],
        }
        Ok(())
    }

    fn set_json(&mut self, strings: Vec<String>) {
        self.args = strings;
        self.json = true;
    }

    /// Whether `<<` in this instruction starts here-documents (parser.go `canContainHeredoc`).
    pub(crate) fn may_hold_heredocs(&self) -> bool {
        let node = self.trigger.as_deref().unwrap_or(self);
        let keyword = go::to_lower(&node.keyword);
        matches!(keyword.as_str(), "add" | "copy" | "run") && !node.json
    }
}

/// `KEY=value …`, or the old form `KEY the rest of the line` (`line_parsers.go` `parseNameVal`).
fn pairs(args: &str, escape: char, keyword: &str) -> Result<Vec<(String, String)>, Fault> {
    let list = words::quoted(args, escape);
    let Some(first) = list.first() else {
        return Ok(Vec::new());
    };
    if !first.contains('=') {
        let keyword = keyword.to_ascii_uppercase();
        let (key, value) = words::split_once(args).ok_or_else(|| {
            Fault::new(args, format!("{keyword} must have two arguments"))
                .hint(format!("write {keyword} {args}=value"))
        })?;
        return Ok(vec![(key.to_owned(), value.to_owned())]);
    }
    list.iter().map(|word| pair(word)).collect()
}

fn pair(word: &str) -> Result<(String, String), Fault> {
    if let Some((key, value)) = word.split_once('=') {
        Ok((key.to_owned(), value.to_owned()))
    } else {
        let message = format!("can't find = in {word:?}: it must be of the form name=value");
        Err(Fault::new(word, message).hint("quote values that hold white space"))
    }
}
