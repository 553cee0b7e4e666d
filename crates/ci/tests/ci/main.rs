//! The configurations that are proposed, against the schemas that CI systems' vendors publish.

mod kit;
mod proposed;
