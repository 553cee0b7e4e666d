//! An image: what is asked for, and what the documents that a registry sends say of it.

pub(crate) mod digest;
pub(crate) mod document;
pub(crate) mod platform;
mod target;

pub use digest::sha256;
pub use document::identity_of;
pub(crate) use target::Selector;
pub use target::Target;
