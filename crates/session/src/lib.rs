//! A session: one open volume with the engine or the directories that live on it, from `up` to `down`, in a
//! background process.
//!
//! Commands talk to the background process through [`client`], in the words of [`protocol`]. The process
//! itself is [`serve`]: it starts, answers and ends. [`leftovers`] clears what a crash left behind.

mod background;
pub mod client;
pub mod docker_context;
mod error;
pub mod facts;
pub mod leftovers;
pub mod lock;
mod lost;
pub mod machine;
pub mod place;
pub mod protocol;
mod retry;
mod settings;
mod summary;

pub use background::serve;
pub use error::SessionError;
pub use larder_volume::Prefetch;
pub use lost::Lost;
pub use place::Place;
pub use retry::RetryEmpty;
pub use settings::{JobRequest, Settings, Tenant, Wanted};

/// What this crate's functions come to.
pub type Result<T, E = SessionError> = std::result::Result<T, E>;
