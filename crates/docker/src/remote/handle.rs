//! An engine that answers, and how it is asked.

use std::fmt;
use std::time::Duration;

use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use super::about::{self, About};
use crate::connection::{Client, Request};
use crate::endpoint::Endpoint;
use crate::error::{ApiError, Result};

/// What a value for a query or a path's segment must not hold as it is: all but the unreserved
/// characters (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// An engine that answers.
pub struct Remote {
    pub(super) client: Client,
    about: About,
}

impl Remote {
    /// Finds out which engine answers at `endpoint`, and refuses those that this client does not know.
    /// Each request but the streams must be answered within `deadline`.
    pub async fn connect(endpoint: Endpoint, deadline: Duration) -> Result<Self> {
        let client = Client::new(endpoint, deadline)?;
        let found = about::ask(&client).await?;
        match found.unsupported {
            Some(reason) => Err(ApiError::Unsupported {
                endpoint: client.endpoint.to_string(),
                reason,
            }),
            None => Ok(Self {
                client,
                about: found.about,
            }),
        }
    }

    /// The same for an engine of any version: for those who only look, name and remove. All engines
    /// understand that alike, and one that is newer than this client is no reason to do without.
    pub async fn connect_to_any(endpoint: Endpoint, deadline: Duration) -> Result<Self> {
        let client = Client::new(endpoint, deadline)?;
        let about = about::ask(&client).await?.about;
        Ok(Self { client, about })
    }

    /// The same engine with another deadline, over connections of its own.
    #[must_use]
    pub fn within(&self, deadline: Duration) -> Self {
        Self {
            client: self.client.within(deadline),
            about: self.about.clone(),
        }
    }

    /// What it is.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.client.endpoint
    }

    /// A request below the version's path, `/images/json?all=1`.
    pub(super) fn request(&self, method: Method, what: impl Into<String>, target: &str) -> Request {
        Request {
            what: what.into(),
            method,
            target: format!("/v{}{target}", self.about.api),
        }
    }

    /// A request that reads; its answer is JSON.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        what: impl Into<String>,
        target: &str,
    ) -> Result<T> {
        self.client
            .json(&self.request(Method::GET, what, target))
            .await
    }

    /// A request that changes something; its answer does not matter.
    pub(super) async fn command(
        &self,
        method: Method,
        what: impl Into<String>,
        target: &str,
    ) -> Result<()> {
        self.client
            .call(&self.request(method, what, target))
            .await
            .map(drop)
    }

    /// Removes what a path names. Whether that was done: it may be gone already (404), or be in use or about to go
    /// (409).
    pub(super) async fn take_away(&self, what: impl Into<String>, target: &str) -> Result<bool> {
        match self.command(Method::DELETE, what, target).await {
            Ok(()) => Ok(true),
            Err(ApiError::Refused {
                status: 404 | 409, ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("endpoint", self.endpoint())
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// A value for a query or a path's segment.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_for_a_query() {
        assert_eq!(encoded("a-b.c_d~9"), "a-b.c_d~9");
        assert_eq!(encoded("ci:5000/é b"), "ci%3A5000%2F%C3%A9%20b");
        assert_eq!(encoded(r#"{"a":["b"]}"#), "%7B%22a%22%3A%5B%22b%22%5D%7D");
    }
}
