//! An engine that is only an API away: where it is, what it is, its images, and the two streams that
//! images come and go by.
//!
//! ```no_run
//! # async fn job(environment: larder_engine::api::Environment) -> larder_engine::api::Result<()> {
//! use std::time::Duration;
//! use larder_engine::api::{Endpoint, Remote};
//!
//! let endpoint = Endpoint::find(&environment)?;
//! let engine = Remote::connect(endpoint, Duration::from_secs(30)).await?;
//! println!("{} {}", engine.about().version, engine.about().image_store);
//! # Ok(())
//! # }
//! ```
//!
//! The crate's other client (see [`freshness`](crate::freshness)) speaks to the engine that it started
//! itself. This one has what remote engines need: streams that wait for their slower end in both
//! directions, TLS with docker's certificates, ssh, and the API of old engines.

mod about;
mod address;
mod choose;
mod context;
mod endpoint;
mod environment;
mod error;
mod exchange;
mod images;
mod ssh;
mod stream;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Response};
use serde::de::DeserializeOwned;

pub use about::{About, ApiVersion, Store};
pub use address::{Address, Tls};
pub use choose::{Chains, Selection};
pub(crate) use context::hex;
pub use endpoint::Endpoint;
pub use environment::Environment;
pub use error::{ApiError, BoxError, Result};
pub use images::{Image, ImageSummary, Step};
pub use stream::{ExportStream, Loaded};

use exchange::{Ask, Exchange};

/// An engine that answers.
pub struct Remote {
    exchange: Exchange,
    about: About,
}

impl Remote {
    /// Finds out which engine answers at `endpoint`. Each request but the streams must be answered
    /// within `deadline`.
    pub async fn connect(endpoint: Endpoint, deadline: Duration) -> Result<Self> {
        let exchange = Exchange::new(endpoint, deadline)?;
        let about = about::ask(&exchange).await?;
        Ok(Self { exchange, about })
    }

    /// What it is.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.exchange.endpoint
    }

    /// A request below the version's path, `/images/json?all=1`.
    fn request(&self, method: Method, what: impl Into<String>, target: &str) -> Ask {
        Ask {
            what: what.into(),
            method,
            target: format!("/v{}{target}", self.about.api),
        }
    }

    async fn get<T: DeserializeOwned>(&self, what: String, target: &str) -> Result<T> {
        let ask = self.request(Method::GET, what, target);
        json(&ask, &self.exchange.whole(&ask).await?)
    }

    async fn command(&self, method: Method, what: String, target: &str) -> Result<()> {
        let ask = self.request(method, what, target);
        success(&ask, &self.exchange.whole(&ask).await?)
    }
}

fn success(ask: &Ask, response: &Response<Bytes>) -> Result<()> {
    if response.status().is_success() {
        return Ok(());
    }
    Err(exchange::refused(response.status(), response.body(), ask))
}

fn json<T: DeserializeOwned>(ask: &Ask, response: &Response<Bytes>) -> Result<T> {
    success(ask, response)?;
    serde_json::from_slice(response.body()).map_err(|error| ApiError::malformed(&ask.what, error))
}

/// A value for a query or a path's segment (RFC 3986, section 2.3: the unreserved characters stay).
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut all, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                all.push(char::from(byte));
            }
            _ => write!(all, "%{byte:02X}").expect("writing to a string cannot fail"),
        }
        all
    })
}
