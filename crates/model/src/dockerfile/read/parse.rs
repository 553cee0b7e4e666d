//! Nodes to instructions: which flags and arguments each instruction takes
//! (`BuildKit`'s `frontend/dockerfile/instructions/parse.go`, stable channel).

use super::flag::{Flags, Kind as Flag, Known};
use super::heredoc::{self, Heredoc};
use super::instruction::{Arg, Command, Copy, From, Healthcheck, Inline, Instruction, Kind, Run};
use super::mount;
use super::node::Node;
use super::scalar;
use crate::dockerfile::error::Fault;
use crate::go;

const ADD_FLAGS: Known = &[
    ("chown", Flag::Text),
    ("chmod", Flag::Text),
    ("link", Flag::Switch),
    ("keep-git-dir", Flag::Switch),
    ("checksum", Flag::Text),
    ("unpack", Flag::Switch),
    ("exclude", Flag::Texts),
];

const COPY_FLAGS: Known = &[
    ("parents", Flag::Switch),
    ("chown", Flag::Text),
    ("from", Flag::Text),
    ("chmod", Flag::Text),
    ("link", Flag::Switch),
    ("exclude", Flag::Texts),
];

const HEALTHCHECK_FLAGS: Known = &[
    ("interval", Flag::Text),
    ("timeout", Flag::Text),
    ("start-period", Flag::Text),
    ("start-interval", Flag::Text),
    ("retries", Flag::Text),
];

const RUN_FLAGS: Known = &[
    ("mount", Flag::Texts),
    ("network", Flag::Text),
    ("security", Flag::Text),
    ("device", Flag::Texts),
];

const KEYWORDS: &str = "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER \
    ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR";

/// Reads one instruction.
pub(crate) fn instruction(node: Node) -> Result<Instruction, Fault> {
    let span = node.span;
    let upper = go::to_lower(&node.keyword).to_ascii_uppercase();
    let mut keywords = KEYWORDS.split(' ');
    let Some(keyword) = keywords.find(|known| *known == upper) else {
        return Err(unknown(&node.keyword, &upper));
    };
    let kind = match keyword {
        "ADD" => Kind::Add(copy(&node, keyword, ADD_FLAGS)?),
        "ARG" => Kind::Arg(args(&node)?),
        "CMD" => Kind::Cmd(without_flags(&node).map(|()| command(node))?),
        "COPY" => Kind::Copy(copy(&node, keyword, COPY_FLAGS)?),
        "ENTRYPOINT" => Kind::Entrypoint(without_flags(&node).map(|()| command(node))?),
        "ENV" => Kind::Env(key_values(node, keyword)?),
        "EXPOSE" => Kind::Expose(sorted(at_least_one(node, keyword)?)),
        "FROM" => Kind::From(from(&node)?),
        "HEALTHCHECK" => Kind::Healthcheck(healthcheck(node)?),
        "LABEL" => Kind::Label(key_values(node, keyword)?),
        "MAINTAINER" => Kind::Maintainer(one_without_flags(node, keyword)?),
        "ONBUILD" => Kind::Onbuild(onbuild(&node)?),
        "RUN" => Kind::Run(run(node)?),
        "SHELL" => Kind::Shell(shell(node)?),
        // Flags are not looked at here, as for ARG (parse.go `parseStopSignal`).
        "STOPSIGNAL" => Kind::Stopsignal(exactly_one(node.args, keyword)?),
        "USER" => Kind::User(one_without_flags(node, keyword)?),
        "VOLUME" => Kind::Volume(volumes(node)?),
        _ => Kind::Workdir(one_without_flags(node, keyword)?),
    };
    Ok(Instruction {
        keyword,
        kind,
        span,
    })
}

fn unknown(keyword: &str, upper: &str) -> Fault {
    let fault = Fault::new(keyword, format!("unknown instruction: {keyword}"));
    let mut keywords = KEYWORDS.split(' ');
    match keywords.find(|known| one_edit_apart(known, upper)) {
        Some(near) => fault.hint(format!("did you mean {near}?")),
        None => fault.hint("lines of one instruction are joined by the escape character"),
    }
}

/// Whether two words differ by one letter added, dropped, replaced or swapped with the next.
fn one_edit_apart(left: &str, right: &str) -> bool {
    let same = left
        .bytes()
        .zip(right.bytes())
        .take_while(|(l, r)| l == r)
        .count();
    match (&left.as_bytes()[same..], &right.as_bytes()[same..]) {
        ([a, b, left @ ..], [c, d, right @ ..]) if (a, b) == (d, c) => left == right,
        (left @ [_, left_tail @ ..], right @ [_, right_tail @ ..]) => {
            left_tail == right_tail || left_tail == right || right_tail == left
        }
        ([_], []) | ([], [_]) => true,
        _ => false,
    }
}

fn without_flags(node: &Node) -> Result<(), Fault> {
    Flags::parse(&node.flags, &[]).map(|_| ())
}

fn exactly_one(args: Vec<String>, keyword: &str) -> Result<String, Fault> {
    let [only] = <[String; 1]>::try_from(args)
        .map_err(|_| Fault::new("", format!("{keyword} requires exactly one argument")))?;
    Ok(only)
}

fn one_without_flags(mut node: Node, keyword: &str) -> Result<String, Fault> {
    let only = exactly_one(std::mem::take(&mut node.args), keyword)?;
    without_flags(&node)?;
    Ok(only)
}

fn at_least_one(node: Node, keyword: &str) -> Result<Vec<String>, Fault> {
    if node.args.is_empty() {
        return Err(none_given(keyword));
    }
    without_flags(&node)?;
    Ok(node.args)
}

fn none_given(keyword: &str) -> Fault {
    Fault::new("", format!("{keyword} requires at least one argument"))
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

fn key_values(node: Node, keyword: &str) -> Result<Vec<(String, String)>, Fault> {
    without_flags(&node)?;
    if node.pairs.is_empty() {
        return Err(none_given(keyword));
    }
    if node.pairs.iter().any(|(key, _)| key.is_empty()) {
        return Err(Fault::new("=", format!("{keyword} names can not be blank")));
    }
    Ok(node.pairs)
}

fn args(node: &Node) -> Result<Vec<Arg>, Fault> {
    if node.args.is_empty() {
        return Err(none_given("ARG"));
    }
    node.args.iter().map(|word| arg(word)).collect()
}

fn arg(word: &str) -> Result<Arg, Fault> {
    let (key, default) = match word.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (word, None),
    };
    if key.is_empty() && default.is_some() {
        return Err(Fault::new(word, "ARG names can not be blank"));
    }
    Ok(Arg {
        key: key.to_owned(),
        default,
    })
}

fn command(node: Node) -> Command {
    Command {
        exec: node.json,
        args: node.args,
    }
}

fn from(node: &Node) -> Result<From, Fault> {
    let (base, name) = match node.args.as_slice() {
        [base] => (base, None),
        [base, word, name] if go::equal_fold(word, "as") => {
            let lower = go::to_lower(name);
            if !is_stage_name(&lower) {
                let message = format!(
                    "invalid name for build stage: {name:?}, name can't start with a number or contain symbols"
                );
                return Err(Fault::new(name.as_str(), message)
                    .hint("use letters, digits, '-', '_' and '.', a letter first"));
            }
            (base, Some(lower))
        }
        _ => {
            let message = "FROM requires either one or three arguments";
            return Err(Fault::new("", message).hint("write FROM image or FROM image AS name"));
        }
    };
    let flags = Flags::parse(&node.flags, &[("platform", Flag::Text)])?;
    Ok(From {
        base: base.clone(),
        name,
        platform: flags.non_empty("platform"),
    })
}

fn is_stage_name(text: &str) -> bool {
    let mut chars = text.chars();
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c))
}

fn copy(node: &Node, keyword: &str, known: Known) -> Result<Copy, Fault> {
    let Some((dest, sources)) = node.args.split_last().filter(|(_, rest)| !rest.is_empty()) else {
        let message = format!(
            "{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        );
        return Err(Fault::new(node.args.concat(), message));
    };
    let flags = Flags::parse(&node.flags, known)?;
    if let Ok(Some(_)) = heredoc::parse(dest) {
        let message = format!("{keyword} cannot accept a heredoc as a destination");
        return Err(Fault::new(dest.as_str(), message));
    }
    let mut copy = Copy {
        from: flags.non_empty("from"),
        chown: flags.non_empty("chown"),
        chmod: flags.non_empty("chmod"),
        checksum: flags.non_empty("checksum"),
        link: flags.switch("link") == Some(true),
        parents: flags.switch("parents") == Some(true),
        keep_git_dir: flags.switch("keep-git-dir"),
        unpack: flags.switch("unpack"),
        exclude: flags.values("exclude"),
        dest: dest.clone(),
        ..Copy::default()
    };
    for source in sources {
        match heredoc::parse(source) {
            Ok(Some(doc)) => copy.inline.push(inline(doc, &node.heredocs)),
            _ => copy.sources.push(source.clone()),
        }
    }
    Ok(copy)
}

/// The here-document named by one source; of two with one name, the last body counts.
fn inline(doc: Heredoc, bodies: &[Heredoc]) -> Inline {
    let body = bodies.iter().rev().find(|body| body.name == doc.name);
    let content = body.map_or_else(String::new, |body| body.content.clone());
    let whole = Heredoc { content, ..doc };
    whole.into_inline()
}

fn run(mut node: Node) -> Result<Run, Fault> {
    let flags = Flags::parse(&node.flags, RUN_FLAGS)?;
    let mounts = flags.values("mount");
    let mount_sources = mounts
        .iter()
        .map(|value| mount::source(value))
        .collect::<Result<_, _>>()?;
    let network = flags.value("network").unwrap_or("default").to_owned();
    if !matches!(network.as_str(), "default" | "none" | "host") {
        let message = format!("invalid network mode {network:?}");
        return Err(Fault::new(network, message).hint("use default, none or host"));
    }
    let security = flags.value("security").unwrap_or("sandbox").to_owned();
    if !matches!(security.as_str(), "sandbox" | "insecure") {
        let message = format!("security {security:?} is not valid");
        return Err(Fault::new(security, message).hint("use sandbox or insecure"));
    }
    let devices = flags.values("device");
    devices
        .iter()
        .try_for_each(|value| mount::check_device(value))?;
    let heredocs = std::mem::take(&mut node.heredocs).into_iter();
    Ok(Run {
        mounts,
        mount_sources,
        devices,
        network,
        security,
        heredocs: heredocs.map(Heredoc::into_inline).collect(),
        command: command(node),
        has_raw_bytes: false,
    })
}

fn healthcheck(mut node: Node) -> Result<Healthcheck, Fault> {
    if node.args.is_empty() {
        return Err(none_given("HEALTHCHECK"));
    }
    let kind = node.args.remove(0);
    if go::equal_fold(&kind, "none") {
        return match node.args.first() {
            None => Ok(Healthcheck::default()),
            Some(arg) => Err(Fault::new(arg, "HEALTHCHECK NONE takes no arguments")),
        };
    }
    let flags = Flags::parse(&node.flags, HEALTHCHECK_FLAGS)?;
    if !go::equal_fold(&kind, "cmd") {
        let message = format!("unknown type {kind:?} in HEALTHCHECK");
        return Err(Fault::new(kind, message).hint("try HEALTHCHECK CMD"));
    }
    if node.args.is_empty() {
        return Err(Fault::new("", "missing command after HEALTHCHECK CMD"));
    }
    Ok(Healthcheck {
        interval: interval(&flags, "interval")?,
        timeout: interval(&flags, "timeout")?,
        start_period: interval(&flags, "start-period")?,
        start_interval: interval(&flags, "start-interval")?,
        retries: retries(&flags)?,
        command: Some(command(node)),
    })
}

fn interval(flags: &Flags, name: &str) -> Result<i64, Fault> {
    /// Docker refuses to check more often than this.
    const SHORTEST_NANOSECONDS: i64 = 1_000_000;
    let Some(text) = flags.non_empty(name) else {
        return Ok(0);
    };
    let Some(duration) = scalar::duration(&text) else {
        let message = format!("invalid duration {text:?} for --{name}");
        return Err(Fault::new(text, message).hint("write a number with its unit, such as 30s"));
    };
    if duration != 0 && duration < SHORTEST_NANOSECONDS {
        let message = format!("--{name} cannot be less than 1ms");
        return Err(Fault::new(text, message));
    }
    Ok(duration)
}

fn retries(flags: &Flags) -> Result<i32, Fault> {
    let Some(text) = flags.non_empty("retries") else {
        return Ok(0);
    };
    let message = match text.parse::<i32>() {
        Ok(retries) if retries >= 0 => return Ok(retries),
        Ok(_) => format!("--retries cannot be negative ({text})"),
        Err(_) => format!("invalid number {text:?} for --retries"),
    };
    Err(Fault::new(text, message))
}

fn shell(node: Node) -> Result<Vec<String>, Fault> {
    without_flags(&node)?;
    if node.args.is_empty() {
        return Err(none_given("SHELL"));
    }
    if !node.json {
        let message = "SHELL requires the arguments to be in JSON form";
        let hint = "write SHELL [\"executable\", \"parameter\"]";
        return Err(Fault::new(node.args.concat(), message).hint(hint));
    }
    Ok(node.args)
}

fn volumes(node: Node) -> Result<Vec<String>, Fault> {
    let volumes = at_least_one(node, "VOLUME")?;
    let trimmed: Vec<String> = volumes
        .iter()
        .map(|volume| volume.trim().to_owned())
        .collect();
    if trimmed.iter().any(String::is_empty) {
        return Err(Fault::new(
            "",
            "VOLUME specified can not be an empty string",
        ));
    }
    Ok(trimmed)
}

/// The text of the instruction to run in child images; it is read when a child uses it.
fn onbuild(node: &Node) -> Result<String, Fault> {
    let trigger = node
        .trigger
        .as_deref()
        .ok_or_else(|| none_given("ONBUILD"))?;
    without_flags(node)?;
    let keyword = go::to_lower(&trigger.keyword).to_ascii_uppercase();
    match keyword.as_str() {
        "ONBUILD" => {
            let message = "chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed";
            return Err(Fault::new(trigger.keyword.as_str(), message));
        }
        "MAINTAINER" | "FROM" => {
            let message = format!("{keyword} isn't allowed as an ONBUILD trigger");
            return Err(Fault::new(trigger.keyword.as_str(), message));
        }
        _ => {}
    }
    let start = node.keyword.len();
    let blanks = ['\t', '\n', '\x0c', '\r', ' '];
    let mut text = node.original.trim_start()[start..]
        .trim_start_matches(blanks)
        .to_owned();
    for doc in &node.heredocs {
        text.push('\n');
        text.push_str(&doc.content);
        text.push_str(&doc.name);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_edit_is_a_letter_more_less_other_or_swapped() {
        for near in [
            "FROOM", "FRM", "ROM", "FROMS", "FRAM", "RFOM", "FRMO", "FRO",
        ] {
            assert!(one_edit_apart("FROM", near), "{near}");
            assert!(one_edit_apart(near, "FROM"), "{near}");
        }
        for far in ["", "FR", "FORMS", "ROMF", "FROMAB", "MORF"] {
            assert!(!one_edit_apart("FROM", far), "{far}");
            assert!(!one_edit_apart(far, "FROM"), "{far}");
        }
    }
}
