//! The verbs that know builds: no root, no engine; a real registry on loopback where one is needed.

mod inputs;
mod key;
mod kit;
mod onbuild;
mod registry;
