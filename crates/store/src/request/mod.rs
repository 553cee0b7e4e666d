//! Requests to a store that may fail for a while: the client that gives up in time ([`http`]), the one place where
//! a request is tried again ([`patience`]), and what counts as damage ([`verified`]).

mod http;
mod patience;
mod verified;

pub(crate) use http::Connector;
pub use patience::Patience;
pub(crate) use verified::{verified, verified_whole};
