//! The canonical form of an instruction: two instructions that build the same have the same text.
//!
//! Gone are comments, line ends, the keyword's case, quotes around plain arguments, the order of
//! flags and, where a POSIX shell reads the command, runs of blanks between its words. What is
//! copied or mounted from is taken out, too: it stands beside the text, so that renaming a stage
//! changes nothing.

use std::collections::BTreeMap;

use crate::dockerfile::read::instruction::{Arg, Copy, Instruction, Kind, Run};
use crate::dockerfile::read::mount;

/// The canonical form of `instruction`, as JSON.
///
/// `given` are the build arguments: the default of an argument that is given has no effect.
/// `posix` says that no `SHELL` and no Windows is in sight.
pub(super) fn json(
    instruction: &Instruction,
    given: &BTreeMap<String, String>,
    posix: bool,
) -> String {
    let kind = match &instruction.kind {
        Kind::Add(copy) => Kind::Add(without_source(copy)),
        Kind::Copy(copy) => Kind::Copy(without_source(copy)),
        Kind::Run(run) => Kind::Run(canonical_run(run, posix)),
        Kind::Arg(args) => Kind::Arg(args.iter().map(|arg| effective(arg, given)).collect()),
        other => other.clone(),
    };
    serde_json::to_string(&kind)
        .expect("instructions are made of texts, numbers and lists, which JSON can hold")
}

fn without_source(copy: &Copy) -> Copy {
    Copy {
        from: None,
        ..copy.clone()
    }
}

fn effective(arg: &Arg, given: &BTreeMap<String, String>) -> Arg {
    let default = arg.default.clone();
    Arg {
        key: arg.key.clone(),
        default: default.filter(|_| !given.contains_key(&arg.key)),
    }
}

fn canonical_run(run: &Run, posix: bool) -> Run {
    let mut run = run.clone();
    for mount in &mut run.mounts {
        *mount = mount::canonical(mount);
    }
    if posix && !run.command.exec && run.heredocs.is_empty() {
        for line in &mut run.command.args {
            if let Some(single) = single_blanks(line) {
                *line = single;
            }
        }
    }
    run
}

/// The command with each run of unquoted blanks made one, or `None` if that is not surely the same
/// command: substitutions, which may hold quotes within quotes, are not taken apart here.
fn single_blanks(line: &str) -> Option<String> {
    if ["$(", "${", "$'", "`", "<<"]
        .iter()
        .any(|sign| line.contains(sign))
    {
        return None;
    }
    let mut out = String::with_capacity(line.len());
    let mut quote = None;
    let mut chars = line.trim().chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' if quote.is_none() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
                continue;
            }
            '\\' if quote != Some('\'') => {
                out.push(c);
                // A blank behind it is part of a word, and must not be joined with the next one.
                let escaped = chars.next()?;
                if escaped.is_whitespace() {
                    return None;
                }
                out.push(escaped);
                continue;
            }
            '\'' | '"' if quote.is_none() => quote = Some(c),
            _ if quote == Some(c) => quote = None,
            _ => {}
        }
        out.push(c);
    }
    quote.is_none().then_some(out)
}
