//! Any Docker engine through its API: where it is ([`Endpoint`]), what it is and what it holds
//! ([`Remote`]), and the two streams by which images leave and enter it ([`streams`]).
//!
//! ```no_run
//! # async fn job(environment: larder_docker::Environment) -> larder_docker::Result<()> {
//! use std::time::Duration;
//! use larder_docker::{Endpoint, Remote};
//!
//! let endpoint = Endpoint::find(&environment)?;
//! let engine = Remote::connect(endpoint, Duration::from_secs(30)).await?;
//! println!("{} {}", engine.about().version, engine.about().image_store);
//! # Ok(())
//! # }
//! ```
//!
//! The client is written here, and no crate of one is used, because of what engines of CI ask for:
//! streams that wait for their slower end in both directions and have no deadline, TLS with docker's
//! certificates, ssh with what it complains of, and the API of old engines.

mod connection;
mod endpoint;
mod error;
mod image_store;
mod remote;
mod sha256;
pub mod streams;

pub use connection::AnswerStream;
pub use endpoint::{Address, Endpoint, Environment, OF_ANOTHER_ENGINE, Tls, USUAL_SOCKET};
pub use error::{ApiError, BoxError, Pieces, Result, UnknownValue};
pub use image_store::ImageStore;
pub use larder_model::version::Version;
pub use remote::{
    About, ApiVersion, CacheRecord, Chains, ContainerEvent, ContainerEvents, Image, ImageSummary,
    ImageUse, ImageUses, Remote, Selection, Step, Store, running_containers,
};
