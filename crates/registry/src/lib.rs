//! The client side of the OCI distribution protocol: what an image tag is today.
//!
//! [`Registry::resolve_all`] turns names into identities: it asks each registry once, follows
//! indexes as engines do, verifies every content against its digest, and ends by its deadline
//! whatever a registry does. With a [`Memory`], a tag that has not moved costs one HEAD.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use larder_registry::{ImageRequest, Memory, Registry, Settings, Target};
//!
//! let memory = Memory::open(std::path::Path::new("/var/lib/larder"))?;
//! let registry = Registry::new(Settings::default(), Some(memory));
//! let target = Target::from_parts("docker.io", "library/ruby", Some("3.3"), None)?;
//! let request = ImageRequest { target, platform: "linux/arm64".parse()? };
//! let ruby = registry.resolve(&request).await?;
//! assert_eq!(ruby.identity, registry.resolve(&request).await?.identity);
//! # Ok(())
//! # }
//! ```
//!
//! This crate prints nothing and reads no environment: all it needs is in [`Settings`].

mod auth;
mod client;
mod digest;
mod document;
mod endpoint;
mod error;
mod exchange;
mod http;
mod limits;
mod memory;
mod platform;
mod range;
mod resolve;
mod secret;
mod settings;
mod target;
mod writer;

pub use auth::{Credential, Credentials, DockerConfig};
pub use client::RateLimit;
pub use digest::{Digest, DigestError};
pub use document::identity_of;
pub use error::RegistryError;
pub use memory::Memory;
pub use resolve::{ImageRequest, Registry, Resolved};
pub use secret::Secret;
pub use settings::{Proxies, Settings};
pub use target::{Selector, Target, TargetError};
