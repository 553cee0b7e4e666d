//! The verbs that know builds: no root, no engine; a real registry on loopback where one is needed.

mod bake;
mod commit;
#[path = "../../../registry/tests/registry/distribution.rs"]
mod distribution;
mod inputs;
mod key;
mod kit;
mod onbuild;
mod registry;
mod shared;
mod store;
mod trouble;
