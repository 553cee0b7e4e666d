//! `SOURCE_DATE_EPOCH`: the time that a build gives its files, as a number, or as the name of what it is
//! the time of (`BuildKit`'s `dockerfile2llb/epoch.go`).

use super::options::{BuildOptions, NamedContext};
use crate::dockerfile::error::{DockerfileError, Fault, Span};
use crate::dockerfile::read::instruction::{Copy, Kind};
use crate::dockerfile::read::source::{self, Source};
use crate::dockerfile::read::{Dockerfile, Section};
use crate::dockerfile::shell::{Env, Options};
use crate::go;
use crate::reference::ImageReference;

pub(super) const NAME: &str = "SOURCE_DATE_EPOCH";

/// The value that the arguments of the build get: a number in its plain form, nothing where what is named
/// has no time. A time that only a repository or a server could tell stays the name that was given.
/// `globals` are those that a `FROM` sees.
pub(super) fn resolved(
    value: &str,
    file: &Dockerfile,
    options: &BuildOptions,
    globals: &dyn Env,
) -> Result<String, DockerfileError> {
    if value.is_empty() {
        return Ok(String::new());
    }
    // Go's `strconv.ParseInt` and this one take the same texts.
    if let Ok(number) = value.parse::<i64>() {
        return Ok(number.to_string());
    }
    if value == "context" {
        return Ok(String::new());
    }
    let of_option = |fault: Fault| fault.at(&file.source, Span::default());
    if ImageReference::parse(value).is_err() {
        return Err(of_option(invalid(value)));
    }
    if let Some(context) = options.context(value, &options.build_platform) {
        return Ok(if is_fetched(context) {
            value.to_owned()
        } else {
            String::new()
        });
    }
    let mut stages = file.stages.iter();
    let named = stages.find(|section| {
        let name = section.from.name.as_deref();
        name.is_some_and(|name| name == go::to_lower(value))
    });
    let section = named.ok_or_else(|| of_option(invalid(value)))?;
    check_stage(section, file, globals).map_err(|fault| fault.at(&file.source, section.span))?;
    Ok(value.to_owned())
}

fn invalid(value: &str) -> Fault {
    let hint = "write seconds since 1970, `context`, or the name of a named context or stage";
    Fault::new(value, format!("invalid {NAME}: {value}")).hint(hint)
}

/// Whether a context is a repository or a file from a server: they have a time.
fn is_fetched(context: &NamedContext) -> bool {
    matches!(context, NamedContext::Other(value)
        if !matches!(source::classify(value, false), Ok(Source::Local)))
}

/// A stage that lends its time holds one file or repository from elsewhere, and nothing else
/// (`sourceDateEpochStageSource`).
fn check_stage(section: &Section, file: &Dockerfile, globals: &dyn Env) -> Result<(), Fault> {
    let base = &section.from.base;
    if Options::new(file.escape).expand(base, globals)?.text != "scratch" {
        let message = format!("{NAME} stage must use FROM scratch");
        return Err(Fault::new(base.as_str(), message));
    }
    let mut added = 0;
    for instruction in &section.instructions {
        match &instruction.kind {
            // Its own arguments may be in the source: what they make of it is the builder's to say.
            Kind::Arg(_) => {}
            Kind::Add(copy) if is_remote(copy) => added += 1,
            _ => {
                let keyword = instruction.keyword;
                let message = format!(
                    "{NAME} stage does not meet source-only requirements: unsupported {keyword} instruction"
                );
                return Err(Fault::new(keyword, message));
            }
        }
    }
    if added == 1 {
        return Ok(());
    }
    let message = format!("{NAME} stage must contain exactly one remote ADD");
    Err(Fault::new("", message))
}

fn is_remote(copy: &Copy) -> bool {
    let [source] = copy.sources.as_slice() else {
        return false;
    };
    copy.inline.is_empty()
        && (source.contains('$')
            || !matches!(
                source::classify(source, copy.keep_git_dir.is_some()),
                Ok(Source::Local)
            ))
}
