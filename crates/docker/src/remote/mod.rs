//! An engine that answers: what it is, its images and containers, and the two streams that images come
//! and go by.

mod about;
mod build_cache;
mod containers;
mod events;
mod handle;
mod images;
mod networks;
mod selection;
mod transfer;
mod uses;

pub use self::about::{About, ApiVersion, Store};
pub use self::build_cache::CacheRecord;
pub use self::containers::running_containers;
pub use self::events::{ContainerEvent, ContainerEvents};
pub use self::handle::Remote;
pub use self::images::{Image, ImageSummary, Step};
pub use self::selection::{Chains, Selection};
pub use self::uses::{ImageUse, ImageUses};
