//! Which image is meant: the registry's name, the repository, and a tag or a digest.

use std::fmt;

use larder_model::oci::Digest;
use larder_model::reference::ImageReference;

/// How much of a name that is none is repeated in an error, in characters.
const SHOWN_CHARS_MAX: usize = 300;

/// A registry, repository, tag or digest that no registry would accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a {kind}: {cure}")]
pub struct TargetError {
    kind: &'static str,
    value: String,
    cure: &'static str,
}

impl TargetError {
    fn refuse<T>(kind: &'static str, value: &str, cure: &'static str) -> Result<T, Self> {
        Err(Self {
            kind,
            value: value.chars().take(SHOWN_CHARS_MAX).collect(),
            cure,
        })
    }
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
        if !is_host(host) {
            return TargetError::refuse(
                "registry",
                host,
                "expected a host name or address and at most a port",
            );
        }
        if !is_repository(repository) {
            return TargetError::refuse(
                "repository",
                repository,
                "expected lower-case names, parted by `/`, of letters, digits and single `.`, `_`, `-`",
            );
        }
        match &selector {
            Selector::Tag(tag) if !is_tag(tag) => TargetError::refuse(
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
        let Some(digest) = digest else {
            let tag = tag.unwrap_or("latest").to_owned();
            return Self::new(host, repository, Selector::Tag(tag));
        };
        match digest.parse() {
            Ok(digest) => Self::new(host, repository, Selector::Digest(digest)),
            Err(_) => TargetError::refuse(
                "digest",
                digest,
                "expected sha256, sha384 or sha512 and as many lower-case hexadecimal digits",
            ),
        }
    }

    /// The image that a reference names, as [`Target::from_parts`] has it.
    pub fn of(reference: &ImageReference) -> Result<Self, TargetError> {
        let (host, repository) = (reference.domain(), reference.path());
        match reference.digest() {
            Some(digest) => Self::new(host, repository, Selector::Digest(digest)),
            None => Self::from_parts(host, repository, reference.tag(), None),
        }
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
    name.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_label(part: &str) -> bool {
    !part.is_empty()
        && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
        && !part.starts_with('-')
        && !part.ends_with('-')
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

fn is_repository(repository: &str) -> bool {
    repository.len() <= 255 && repository.split('/').all(is_path_component)
}

/// `alphanumeric (separator alphanumeric)*`, a separator being `.`, `_`, `__` or any run of `-`.
fn is_path_component(part: &str) -> bool {
    let separators = part.split(is_word).filter(|run| !run.is_empty());
    part.starts_with(is_word)
        && part.ends_with(is_word)
        && separators
            .into_iter()
            .all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|c| c == b'-'))
}

fn is_word(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && tag
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c))
        && !tag.starts_with(['.', '-'])
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
        let pinned = format!("@{digest}");
        for (tag, digest, expected) in [
            (None, None, ":latest"),
            (Some("3.3"), None, ":3.3"),
            (Some("3.3"), Some(&*digest), &*pinned),
        ] {
            let target = Target::from_parts("docker.io", "library/ruby", tag, digest);
            let name = target.expect("good").to_string();
            assert_eq!(name, format!("docker.io/library/ruby{expected}"));
        }
        let short = Target::from_parts("docker.io", "library/ruby", None, Some("sha256:x"));
        assert!(short.is_err());
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
