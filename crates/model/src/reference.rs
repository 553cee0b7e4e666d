//! Image references: `ruby:3.3`, `ghcr.io/owner/name:tag@sha256:…`.
//!
//! The grammar and the normal form are the distribution project's (`distribution/reference`:
//! `regexp.go`, `normalize.go`): a name without a domain is Docker Hub's, a name without a path
//! component of its own is in `library/`, a name without tag and digest means `latest`.

use std::fmt;

use crate::digest::serde_as_text;
use crate::hex;
use crate::oci::{Digest, DigestError};

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";

/// The longest repository path in bytes (`RepositoryNameTotalLengthMax`).
const MAX_PATH_BYTES: usize = 255;
/// The longest tag in bytes.
const MAX_TAG_BYTES: usize = 128;

/// A reference in its normal form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference {
    domain: String,
    path: String,
    tag: Option<String>,
    /// Few references have one, and it would be as long as all the rest.
    digest: Option<Box<Digest>>,
}

/// Text that is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid image reference {value:?}: {reason}")]
pub struct ReferenceError {
    /// The text.
    pub value: String,
    reason: &'static str,
}

impl ImageReference {
    /// Reads and normalises a reference, without adding `latest` (`ParseNormalizedNamed`).
    pub fn parse(value: &str) -> Result<Self, ReferenceError> {
        Self::read(value).map_err(|reason| ReferenceError {
            value: value.to_owned(),
            reason,
        })
    }

    fn read(value: &str) -> Result<Self, &'static str> {
        if hex::decode::<32>(value).is_some() {
            return Err("a name cannot be 64 hexadecimal characters, which is an image's id");
        }
        let (domain, remainder) = split_domain(value);
        let name = remainder.split(':').next().unwrap_or_default();
        if name.to_lowercase() != name {
            return Err("the repository name must be in lower case");
        }
        let (name, digest) = match remainder.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (remainder.as_str(), None),
        };
        let slash = name.rfind('/').map_or(0, |at| at + 1);
        let (path, tag) = match name[slash..].split_once(':') {
            Some((last, tag)) => (&name[..slash + last.len()], Some(tag)),
            None => (name, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err("a tag is up to 128 letters, digits, '_', '.' and '-'");
        }
        let digest: Option<Digest> = digest
            .map(str::parse)
            .transpose()
            .map_err(|error: DigestError| error.reason())?;
        let (domain, path) = if is_domain(&domain) && is_path(path) {
            (domain, path.to_owned())
        } else {
            // A first component that is no domain may still be part of a path.
            (String::new(), format!("{domain}/{path}"))
        };
        if !is_path(&path) {
            return Err("invalid reference format");
        }
        if path.len() > MAX_PATH_BYTES {
            return Err("the repository name is longer than 255 characters");
        }
        Ok(Self {
            domain,
            path,
            tag: tag.map(str::to_owned),
            digest: digest.map(Box::new),
        })
    }

    /// With the tag `latest` if there is neither tag nor digest (`TagNameOnly`).
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// The registry's host, with its port; `docker.io` for Docker Hub.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    pub fn digest(&self) -> Option<Digest> {
        self.digest.as_deref().copied()
    }

    /// Domain and path, without tag and digest.
    pub fn name(&self) -> String {
        if self.domain.is_empty() {
            self.path.clone()
        } else {
            format!("{}/{}", self.domain, self.path)
        }
    }

    /// The short form people write: no `docker.io/`, no `library/` (`FamiliarString`).
    pub fn familiar(&self) -> String {
        let short = match self.path.strip_prefix(OFFICIAL_PREFIX) {
            Some(rest) if !rest.contains('/') => rest,
            _ => &self.path,
        };
        let name = match self.domain.as_str() {
            DEFAULT_DOMAIN | "" => short.to_owned(),
            domain => format!("{domain}/{}", self.path),
        };
        format!("{name}{}", self.suffix())
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}"));
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}"));
        tag.unwrap_or_default() + &digest.unwrap_or_default()
    }
}

impl fmt::Display for ImageReference {
    /// The full form, `docker.io/library/ruby:3.3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name(), self.suffix())
    }
}

serde_as_text! { ImageReference }

impl std::str::FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

/// Takes the registry's host off a name: the part before the first slash if it has a dot, a port
/// or a capital, or is `localhost` (`splitDockerDomain`).
fn split_domain(name: &str) -> (String, String) {
    let (domain, rest) = match name.split_once('/') {
        Some((LEGACY_DEFAULT_DOMAIN, rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.to_lowercase() != first =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    };
    let official = domain == DEFAULT_DOMAIN && !rest.contains('/');
    let prefix = if official { OFFICIAL_PREFIX } else { "" };
    (domain.to_owned(), format!("{prefix}{rest}"))
}

/// `domainAndPort`.
fn is_domain(text: &str) -> bool {
    match text.strip_prefix('[') {
        Some(inner) => is_ipv6_and_port(inner),
        None => match text.split_once(':') {
            Some((host, port)) => is_host(host) && is_port(port),
            None => is_host(text),
        },
    }
}

/// What stands behind an opening bracket.
fn is_ipv6_and_port(text: &str) -> bool {
    let Some((address, rest)) = text.split_once(']') else {
        return false;
    };
    let mut chars = address.chars();
    !address.is_empty()
        && chars.all(|c| c.is_ascii_hexdigit() || c == ':')
        && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

fn is_host(text: &str) -> bool {
    text.split('.').all(|label| {
        label.starts_with(|c: char| c.is_ascii_alphanumeric())
            && label.ends_with(|c: char| c.is_ascii_alphanumeric())
            && label
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'-')
    })
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit())
}

/// `remoteName`: components of lower-case letters and digits, joined by one `.`, one or two `_`,
/// or any number of `-`.
fn is_path(text: &str) -> bool {
    text.split('/').all(is_path_component)
}

fn is_path_component(text: &str) -> bool {
    let mut gaps = text.split(is_path_letter).filter(|gap| !gap.is_empty());
    text.starts_with(is_path_letter)
        && text.ends_with(is_path_letter)
        && gaps.all(|gap| matches!(gap, "." | "_" | "__") || gap.bytes().all(|b| b == b'-'))
}

fn is_path_letter(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_tag(text: &str) -> bool {
    text.len() <= MAX_TAG_BYTES
        && text.starts_with(is_tag_letter)
        && text
            .chars()
            .all(|c| is_tag_letter(c) || c == '.' || c == '-')
}

fn is_tag_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
