//! Requests to a store that may fail for a while: the client that gives up in time ([`http`]), the one place where
//! a request is tried again ([`patience`]), what is asked twice because it is late ([`late`]), what counts as
//! damage ([`verified`]),
//! and where an answer ends ([`bounds`]).

mod bounds;
mod http;
mod late;
mod patience;
mod verified;

pub(crate) use bounds::{Names, What, collect};
pub(crate) use http::Connector;
pub(crate) use late::Late;
pub use patience::Patience;
pub use verified::{verified, verified_whole};
