//! Which image is meant: the registry's name, the repository, and a tag or a digest.

use std::fmt;

use larder_model::reference::ImageReference;

use crate::digest::Digest;

/// A registry, repository, tag or digest that no registry would accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a {kind}: {cure}")]
pub struct TargetError {
    kind: &'static str,
    value: String,
    cure: &'static str,
}

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// A name that may move.
    Tag(String),
    /// A content that stays.
    Digest(Digest),
}

/// One image in one registry, with every default already filled in (`docker.io`, `library/`,
/// `latest`), checked so that it can stand in a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    host: String,
    repository: String,
    selector: Selector,
}

impl Target {
    /// The image `selector` of `repository` at `host`. With both a tag and a digest the digest
    /// counts, as in containerd (`reference.Spec.Digest`).
    ///
    /// The grammar is the distribution project's (`reference/regexp.go`).
    pub fn new(host: &str, repository: &str, selector: Selector) -> Result<Self, TargetError> {
        let refuse = |kind, value: &str, cure| {
            Err(TargetError {
                kind,
                value: value.chars().take(300).collect(),
                cure,
            })
        };
        if !is_host(host) {
            return refuse(
                "registry",
                host,
                "expected a host name or address and at most a port",
            );
        }
        if !is_repository(repository) {
            return refuse(
                "repository",
                repository,
                "expected lower-case names, parted by `/`, of letters, digits and single `.`, `_`, `-`",
            );
        }
        match &selector {
            Selector::Tag(tag) if !is_tag(tag) => refuse(
                "tag",
                tag,
                "expected at most 128 letters, digits, `_`, `.` and `-`, not led by `.` or `-`",
            ),
            _ => Ok(Self {
                host: host.to_ascii_lowercase(),
                repository: repository.to_owned(),
                selector,
            }),
        }
    }

    /// The image of a parsed reference: the tag is `latest` where there is neither tag nor digest.
    pub fn from_parts(
        host: &str,
        repository: &str,
        tag: Option<&str>,
        digest: Option<&str>,
    ) -> Result<Self, TargetError> {
        let selector = match digest {
            Some(digest) => Selector::Digest(digest.parse().map_err(|_| TargetError {
                kind: "digest",
                value: digest.chars().take(300).collect(),
                cure: "expected sha256 or sha512 and as many lower-case hexadecimal digits",
            })?),
            None => Selector::Tag(tag.unwrap_or("latest").to_owned()),
        };
        Self::new(host, repository, selector)
    }

    /// The image that a reference names, as [`Target::from_parts`] has it.
    pub fn of(reference: &ImageReference) -> Result<Self, TargetError> {
        let digest = reference.digest().map(|digest| digest.to_string());
        Self::from_parts(
            reference.domain(),
            reference.path(),
            reference.tag(),
            digest.as_deref(),
        )
    }

    /// The registry as in the image's full name: `docker.io`, `registry.example:5000`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository in full: `library/ruby`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag or digest.
    pub fn selector(&self) -> &Selector {
        &self.selector
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        match &self.selector {
            Selector::Tag(tag) => write!(f, ":{tag}"),
            Selector::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let inside = !address.is_empty()
                && address
                    .bytes()
                    .all(|c| c.is_ascii_hexdigit() || c == b':' || c == b'.');
            return inside && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.split('.').all(is_part) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

fn is_repository(repository: &str) -> bool {
    repository.len() <= 255 && repository.split('/').all(is_path_component)
}

/// `alphanumeric (separator alphanumeric)*`, a separator being `.`, `_`, `__` or any run of `-`.
fn is_path_component(part: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = part.split(word).filter(|run| !run.is_empty());
    part.starts_with(word)
        && part.ends_with(word)
        && separators
            .into_iter()
            .all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|c| c == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_.-".contains(&c);
    (1..=128).contains(&tag.len()) && tag.bytes().all(allowed) && !tag.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(host: &str, repository: &str, tag: &str) -> Result<Target, TargetError> {
        Target::new(host, repository, Selector::Tag(tag.to_owned()))
    }

    #[test]
    fn names_of_the_grammar_are_accepted() {
        for (host, repository, tag) in [
            ("docker.io", "library/ruby", "3.3"),
            ("localhost:5000", "a", "latest"),
            ("[::1]:5000", "a/b/c", "_x"),
            ("Registry.Example", "a__b/c---d/e.f_g", "A.b-c"),
        ] {
            assert!(
                tagged(host, repository, tag).is_ok(),
                "{host} {repository} {tag}"
            );
        }
    }

    #[test]
    fn a_digest_counts_before_a_tag_and_latest_is_the_last_resort() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let of = |tag, digest| Target::from_parts("docker.io", "library/ruby", tag, digest);
        let name = |target: Result<Target, TargetError>| target.expect("good").to_string();
        assert_eq!(name(of(None, None)), "docker.io/library/ruby:latest");
        assert_eq!(name(of(Some("3.3"), None)), "docker.io/library/ruby:3.3");
        let pinned = format!("docker.io/library/ruby@{digest}");
        assert_eq!(name(of(Some("3.3"), Some(&digest))), pinned);
        assert!(of(None, Some("sha256:x")).is_err());
    }

    #[test]
    fn names_that_could_change_a_url_are_refused() {
        for (host, repository, tag) in [
            ("", "a", "b"),
            ("a/b", "a", "b"),
            ("user@host", "a", "b"),
            ("host:99999", "a", "b"),
            ("[zz]", "a", "b"),
            ("host", "", "b"),
            ("host", "../a", "b"),
            ("host", "a//b", "b"),
            ("host", "A", "b"),
            ("host", "a..b", "b"),
            ("host", "a?b", "b"),
            ("host", "a", ""),
            ("host", "a", "../b"),
            ("host", "a", "b#c"),
        ] {
            assert!(
                tagged(host, repository, tag).is_err(),
                "{host} {repository} {tag}"
            );
        }
    }
}
