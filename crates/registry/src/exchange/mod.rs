//! The protocol: challenges met, requests tried again, and on top of them tags and contents by digest.

mod authorizer;
mod client;
mod request;

pub use client::RateLimit;
pub(crate) use client::{Call, Client, Top};
pub(crate) use request::{BLOBS, MANIFESTS};
