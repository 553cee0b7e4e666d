//! Objects at rest in any store: its URL and its cloud's ways, keys, deadlines, what is tried again.
//!
//! This is the only crate but `larder-github` that knows `object_store`. Objects are written once and never changed; whatever is
//! read is bounded in size. What they hold is the affair of `larder-store`.
//!
//! | module | holds |
//! |---|---|
//! | `location` | the URL of a store, opened; with what its cloud asks for, and with keys |
//! | `keys` | what we sign with, whose signatures we believe, what a store is sealed with |
//! | `answer` | why a request failed, in the cloud's own words |
//! | `request` | what is tried again, how long a store is waited for, what is damaged; answers that end |
//! | `objects` | put, get, list, delete: with limits and deadlines; here objects are sealed and opened |
//! | `blocking` | work that a task must not do itself |

mod answer;
mod blocking;
mod error;
mod keys;
mod location;
mod objects;
mod request;

pub use blocking::blocking;
pub use error::StoreError;
pub use keys::{EncryptKey, KeyError, Keys, SignKey};
pub use location::{Access, Location, NearPlace, NearTier, Settings};
pub use objects::{Ability, Entry, Near, Objects, Tried};
pub use request::{Patience, verified, verified_whole};
