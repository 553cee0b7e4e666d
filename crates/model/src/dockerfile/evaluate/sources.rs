//! Rules for the sources of `ADD` and `COPY` together, after their variables were replaced
//! (`dockerfile2llb/convert.go` `dispatchCopy`).

use super::scope::Scope;
use crate::dockerfile::error::Fault;
use crate::dockerfile::read::instruction::Copy;
use crate::dockerfile::read::source::{self, Source};
use crate::oci::Digest;

/// What an `ADD` or `COPY` names; a source that only the base image could tell is left out of the
/// checks.
pub(super) struct Sources<'a> {
    pub(super) scope: &'a Scope,
    pub(super) copy: &'a Copy,
    pub(super) texts: &'a [Option<String>],
    /// `--checksum`; empty if not given.
    pub(super) checksum: &'a str,
    /// `ADD`, which may name more than `COPY`.
    pub(super) add: bool,
}

impl<'a> Sources<'a> {
    /// Refuses what `BuildKit` refuses before it fetches anything.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if !self.checksum.is_empty() {
            self.check_only_remote()?;
        }
        let (mut keep_git_dir, mut checksum) = (self.copy.keep_git_dir, self.checksum);
        for text in self.texts.iter().flatten() {
            match self.classify(text)? {
                Source::Git(_) if !self.add => {
                    let message = "source can't be a git ref for COPY";
                    return Err(Fault::new(text.as_str(), message).hint("use ADD"));
                }
                Source::Http if !self.add => {
                    let message = "source can't be a URL for COPY";
                    return Err(Fault::new(text.as_str(), message).hint("use ADD"));
                }
                Source::Git(wanted) => {
                    if keep_git_dir.is_some_and(|keep| wanted.keep_git_dir == Some(!keep)) {
                        let message = "inconsistent keep-git-dir configuration";
                        return Err(Fault::new(text.as_str(), message));
                    }
                    keep_git_dir = wanted.keep_git_dir.or(keep_git_dir);
                    let commit = wanted.checksum.unwrap_or(checksum);
                    if !checksum.is_empty() && commit != checksum {
                        let message = format!("checksum mismatch {checksum:?} != {commit:?}");
                        return Err(Fault::new(text.as_str(), message));
                    }
                    checksum = commit;
                }
                Source::Http if !checksum.is_empty() => check_digest(checksum)?,
                Source::Http => {}
                Source::Local => self.scope.check_path(text)?,
            }
        }
        Ok(())
    }

    /// A checksum is for one source that is fetched.
    fn check_only_remote(&self) -> Result<(), Fault> {
        let message = match self.texts {
            [Some(only)] if self.classify(only) == Ok(Source::Local) => {
                "checksum requires HTTP(S) or Git sources"
            }
            [_] => return Ok(()),
            _ => "checksum can't be specified for multiple sources",
        };
        Err(Fault::new(self.checksum, message))
    }

    fn classify(&self, text: &'a str) -> Result<Source<'a>, Fault> {
        source::classify(text, self.copy.keep_git_dir.is_some())
    }
}

fn check_digest(text: &str) -> Result<(), Fault> {
    let Err(error) = text.parse::<Digest>() else {
        return Ok(());
    };
    let message = format!("invalid checksum {text:?}: {}", error.reason());
    Err(Fault::new(text, message).hint("write sha256: and 64 hexadecimal digits"))
}
