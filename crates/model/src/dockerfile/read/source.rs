//! Sources of `ADD` and `COPY` that are no local paths: URLs and Git repositories
//! (`BuildKit`'s `dfgitutil/git_ref.go`, `dispatchCopy`).

use crate::dockerfile::error::Fault;
use crate::go;

/// What a source names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source<'a> {
    Local,
    Http,
    Git(Parameters<'a>),
}

/// The parameters of a Git URL that an instruction's flags must not contradict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Parameters<'a> {
    pub keep_git_dir: Option<bool>,
    pub checksum: Option<&'a str>,
}

/// Tells what `text` names; a Git URL with unknown or contradicting parameters is refused.
pub(crate) fn classify(text: &str, known_git: bool) -> Result<Source<'_>, Fault> {
    let http = text.starts_with("http://") || text.starts_with("https://");
    let Some(repository) = Repository::parse(text, known_git) else {
        return Ok(if http { Source::Http } else { Source::Local });
    };
    let parameters = repository.parameters();
    let parameters = parameters
        .map_err(|reason| Fault::new(text, format!("invalid Git URL {text:?}: {reason}")))?;
    Ok(if repository.looks_local {
        Source::Local
    } else {
        Source::Git(parameters)
    })
}

struct Repository<'a> {
    query: &'a str,
    reference: &'a str,
    subdir: &'a str,
    looks_local: bool,
}

impl<'a> Repository<'a> {
    fn parse(text: &'a str, known_git: bool) -> Option<Self> {
        if text.starts_with("./") || text.starts_with("../") {
            return None;
        }
        let looks_local = text.starts_with("github.com/");
        let (head, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (path, query) = head.split_once('?').unwrap_or((head, ""));
        let is_git = match path.split_once("://") {
            _ if looks_local => true,
            Some((scheme, _)) => match scheme.to_ascii_lowercase().as_str() {
                "git" | "ssh" => true,
                "http" | "https" => known_git || path.strip_suffix(".git").is_some(),
                _ => false,
            },
            None => is_scp_style(path),
        };
        let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
        is_git.then_some(Self {
            query,
            reference,
            subdir: subdir.trim_start_matches('/'),
            looks_local,
        })
    }

    /// `GitRef.loadQuery`.
    fn parameters(&self) -> Result<Parameters<'a>, String> {
        let mut found = Parameters::default();
        let mut seen: Vec<&str> = Vec::new();
        let (mut tag, mut branch, mut reference) = ("", "", self.reference);
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if seen.contains(&key) {
                return Err(format!("query {key:?} has multiple values"));
            }
            seen.push(key);
            match key {
                "submodules" | "keep-git-dir" => {
                    let flag = match value {
                        "" => Some(true),
                        value => go::parse_bool(value),
                    };
                    let flag = flag.ok_or_else(|| format!("invalid {key} value: {value:?}"))?;
                    if key == "keep-git-dir" {
                        found.keep_git_dir = Some(flag);
                    }
                }
                _ if value.is_empty() => return Err(format!("query {key:?} has no value")),
                "ref" if reference.is_empty() || reference == value => reference = value,
                "ref" => return Err(format!("ref conflicts: {reference:?} vs {value:?}")),
                "tag" => tag = value,
                "branch" => branch = value,
                "subdir" if self.subdir.is_empty() || self.subdir == value => {}
                "subdir" => {
                    return Err(format!("subdir conflicts: {:?} vs {value:?}", self.subdir));
                }
                "checksum" | "commit" => found.checksum = Some(value),
                "mtime" | "fetch-by-commit" => {}
                _ => return Err(format!("unexpected query {key:?}")),
            }
        }
        if !tag.is_empty() && !branch.is_empty() {
            return Err("branch conflicts with tag".to_owned());
        }
        for (prefix, name) in [("refs/tags/", tag), ("refs/heads/", branch)] {
            let short = name.strip_prefix(prefix).unwrap_or(name);
            let same = reference.strip_prefix(prefix) == Some(short);
            if !name.is_empty() && !reference.is_empty() && !same {
                return Err(format!("ref conflicts: {reference:?} vs {name:?}"));
            }
        }
        Ok(found)
    }
}

/// `user@host:path`.
fn is_scp_style(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else {
        return false;
    };
    let Some((host, _)) = rest.split_once(':') else {
        return false;
    };
    is_word(user, '_') && is_word(host, '.')
}

/// Letters, digits, `-` and one more sign.
fn is_word(text: &str, sign: char) -> bool {
    let mut chars = text.chars();
    !text.is_empty() && chars.all(|c| c.is_ascii_alphanumeric() || c == '-' || c == sign)
}
