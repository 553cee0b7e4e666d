//! The configurations that are proposed, against the schemas that CI systems' vendors publish.

mod integrations;
mod kit;
mod proposed;
