//! A session: one open volume with its engine, from `up` to `down`, in a background process.
//!
//! A command talks to the background process through [`client`]; the background process is [`serve`].
//! In between lie `start` (the ladder, the volume, the engine), `parts` (what is up, in its order) and
//! `finish` (quiesce, seal, publish). [`leftovers`] clears what a crash left behind.

mod base_images;
pub mod client;
pub mod docker_context;
mod error;
mod events;
pub mod facts;
mod finish;
pub mod leftovers;
pub mod lock;
pub mod machine;
mod parts;
pub mod place;
pub mod protocol;
mod restore;
pub mod serve;
mod settings;
mod start;

pub use error::SessionError;
pub use place::Place;
pub use settings::{JobRequest, Settings};

/// What this crate's functions come to.
pub type Result<T, E = SessionError> = std::result::Result<T, E>;
