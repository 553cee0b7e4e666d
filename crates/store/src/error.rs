//! What can go wrong with a store, in the words of the person who has to mend it.

use std::time::Duration;

use larder_model::wire::FormatError;

/// A fault of the store. Cache trouble is a miss: callers turn these into warnings.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The URL does not name a store.
    #[error("{url:?} is not a store: {why}")]
    Location {
        /// The URL, without credentials.
        url: String,
        /// What is wrong with it, and the cure.
        why: String,
    },
    /// An object is not there.
    #[error("{path} is not in the store")]
    Missing {
        /// Path of the object in the store.
        path: String,
    },
    /// The store refused or failed.
    #[error("cannot {what} {path}: {why}")]
    Failed {
        /// What was being done: `read`, `write`, `list`.
        what: &'static str,
        /// Path of the object in the store.
        path: String,
        /// The store's own words, without credentials.
        why: String,
    },
    /// The store did not answer in time.
    #[error("cannot {what} {path}: no answer within {} s", limit.as_secs())]
    Slow {
        /// What was being done.
        what: &'static str,
        /// Path of the object in the store.
        path: String,
        /// The time that was allowed.
        limit: Duration,
    },
    /// An object does not hold what its name or the map says.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// Path of the object in the store.
        path: String,
        /// What is wrong with its bytes.
        why: String,
    },
    /// An object is of a format that this version of Larder does not know. Nothing is wrong with it.
    #[error("{path} cannot be used: {why}")]
    Version {
        /// Path of the object in the store.
        path: String,
        /// What it has, and what is known.
        why: String,
    },
    /// A blob that was to be stored could not be read, or is not what was announced.
    #[error("cannot save {name:?}: {why}")]
    Content {
        /// Name of the blob.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The volume's own file on this machine failed.
    #[error("cannot read the volume: {0}")]
    Volume(String),
}

impl StoreError {
    /// Whether the stored data is at fault, so that another try would fail again.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Missing { .. })
    }

    pub(crate) fn damaged(path: &str, why: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            why: why.into(),
        }
    }

    pub(crate) fn format(path: &str) -> impl FnOnce(FormatError) -> Self {
        let path = path.to_owned();
        move |error| {
            let why = error.to_string();
            // What a newer Larder wrote is not damaged: a mark would hide it from newer ones too.
            match error {
                FormatError::Version { .. } => Self::Version { path, why },
                _ => Self::Damaged { path, why },
            }
        }
    }

    pub(crate) fn from_object_store(
        what: &'static str,
        path: &str,
        error: &object_store::Error,
    ) -> Self {
        if matches!(error, object_store::Error::NotFound { .. }) {
            return Self::Missing {
                path: path.to_owned(),
            };
        }
        let why = without_secrets(&error.to_string());
        Self::Failed {
            what,
            path: path.to_owned(),
            why: format!("{why}{}", cure(&why)),
        }
    }
}

/// Cuts out of every URL in a message what may be a secret: the query, where signed URLs have
/// credentials, and what stands before the host.
pub(crate) fn without_secrets(message: &str) -> String {
    let message = without_queries(message);
    let mut parts = message.split("://");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_end = |c: char| matches!(c, '/' | ' ' | ')' | '"' | '\'' | '\n');
        let host = &part[..part.find(is_end).unwrap_or(part.len())];
        let user = host.rfind('@').map_or(0, |at| at + 1);
        out.push_str("://");
        out.push_str(&part[user..]);
    }
    out
}

fn without_queries(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut in_query = false;
    for c in message.chars() {
        match c {
            '?' => in_query = true,
            ' ' | ')' | '"' | '\'' | '\n' => in_query = false,
            _ => {}
        }
        if !in_query {
            out.push(c);
        }
    }
    out
}

/// The clients ask the cloud's own machines for a role when the environment has no credentials.
fn cure(why: &str) -> &'static str {
    if ["169.254.169.254", "metadata.google.internal"]
        .iter()
        .any(|host| why.contains(host))
    {
        "; the store's credentials are missing: set its variables (AWS_…, GOOGLE_…, AZURE_…)"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_url_loses_its_signature() {
        let message = r#"error for url (https://x.blob.core/y?sig=SECRET&se=1): denied "a?b""#;
        let expected = r#"error for url (https://x.blob.core/y): denied "a""#;
        assert_eq!(without_secrets(message), expected);
    }

    #[test]
    fn an_endpoint_loses_its_password() {
        let message = "performing GET http://u:SECRET@127.0.0.1:1/b in 1 s, then http://x/y@z";
        let expected = "performing GET http://127.0.0.1:1/b in 1 s, then http://x/y@z";
        assert_eq!(without_secrets(message), expected);
    }

    #[test]
    fn missing_credentials_are_told_from_a_store_that_fails() {
        let asked = "performing PUT http://169.254.169.254/latest/api/token: 403";
        assert!(cure(asked).contains("credentials are missing"));
        assert_eq!(cure("performing GET http://127.0.0.1:1/b: refused"), "");
    }
}
