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
//! let target = Target::of(&"ruby:3.3".parse()?);
//! let request = ImageRequest { target, platform: "linux/arm64".parse()? };
//! let ruby = registry.resolve(&request).await?;
//! assert_eq!(ruby.identity, registry.resolve(&request).await?.identity);
//! # Ok(())
//! # }
//! ```
//!
//! This crate prints nothing and reads no environment: all it needs is in [`Settings`].
//!
//! | module | holds |
//! |---|---|
//! | `image` | what is asked for, and what the documents of an image say |
//! | `credentials` | who we are: given, from the environment, docker's configuration, helpers |
//! | `http` | clients and their trust, the hosts of a registry, one hop of a request |
//! | `memory` | what registries said, on this machine's disk |
//! | `exchange` | the protocol: challenges met, requests tried again, tags and contents |
//! | `resolve` | from a name to an identity |
//! | `settings`, `error`, `limits` | what the caller decides, what can go wrong, the bounds |

mod credentials;
mod error;
mod exchange;
mod http;
mod image;
mod limits;
mod memory;
mod resolve;
mod settings;

pub use credentials::{Credential, Credentials, DockerConfig, Secret};
pub use error::RegistryError;
pub use exchange::RateLimit;
pub use image::{Target, identity_of, sha256};
pub use larder_tls::proxy::Proxies;
pub use memory::Memory;
pub use resolve::{ImageRequest, Registry, Resolved};
pub use settings::Settings;
