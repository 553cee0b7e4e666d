//! Which image is meant: the registry's name, the repository, and a tag or a digest.

use std::fmt;

use larder_model::oci::Digest;
use larder_model::reference::ImageReference;

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Selector {
    /// A name that may move.
    Tag(String),
    /// A content that stays.
    Digest(Digest),
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

/// One image in one registry, as it is asked for. Its parts can stand in a URL: the grammar of
/// [`ImageReference`] lets through nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The registry as in the image's full name: `docker.io`, `registry.example:5000`.
    pub(crate) host: String,
    /// The repository in full: `library/ruby`.
    pub(crate) repository: String,
    pub(crate) selector: Selector,
}

impl Target {
    /// The image that a reference names. With both a tag and a digest the digest counts, as in
    /// containerd (`reference.Spec.Digest`); with neither the tag is `latest`.
    pub fn of(reference: &ImageReference) -> Self {
        let tag = reference.tag().unwrap_or("latest");
        Self {
            host: reference.domain().to_ascii_lowercase(),
            repository: reference.path().to_owned(),
            selector: match reference.digest() {
                Some(digest) => Selector::Digest(digest),
                None => Selector::Tag(tag.to_owned()),
            },
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn name(reference: &str) -> Option<String> {
        let reference = ImageReference::parse(reference).ok()?;
        Some(Target::of(&reference).to_string())
    }

    #[test]
    fn names_of_the_grammar_are_accepted() {
        for (reference, expected) in [
            ("ruby:3.3", "docker.io/library/ruby:3.3"),
            ("localhost:5000/a:latest", "localhost:5000/a:latest"),
            ("[::1]:5000/a/b/c:_x", "[::1]:5000/a/b/c:_x"),
            (
                "Registry.Example/a__b/c---d/e.f_g:A.b-c",
                "registry.example/a__b/c---d/e.f_g:A.b-c",
            ),
        ] {
            assert_eq!(name(reference).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_digest_counts_before_a_tag_and_latest_is_the_last_resort() {
        let digest = format!("@sha256:{}", "a".repeat(64));
        for (written, expected) in [
            (String::new(), ":latest"),
            (":3.3".to_owned(), ":3.3"),
            (format!(":3.3{digest}"), &*digest),
        ] {
            let expected = format!("docker.io/library/ruby{expected}");
            assert_eq!(name(&format!("ruby{written}")), Some(expected));
        }
        assert_eq!(name("ruby@sha256:x"), None);
    }

    #[test]
    fn names_that_could_change_a_url_are_refused() {
        for reference in [
            "",
            "/a:b",
            "user@host/a:b",
            "user@host.example/a:b",
            "[zz]/a:b",
            "host.example/:b",
            "host.example/../a:b",
            "host.example/a//b:b",
            "host.example/A:b",
            "host.example/a..b:b",
            "host.example/a?b:b",
            "host.example/a:",
            "host.example/a:../b",
            "host.example/a:b#c",
        ] {
            assert_eq!(name(reference), None, "{reference}");
        }
    }
}
