//! One step below the registry's protocol: the hosts of a registry, clients and whom they trust, one hop
//! of a request.

mod challenge;
mod client;
mod endpoint;
mod hop;
mod range;

pub(crate) use challenge::{Bearer, Challenge, choose};
pub(crate) use endpoint::{Endpoint, Role, endpoints};
pub(crate) use hop::{drain, host_of, next_hop, origin, read, refusal, send};
