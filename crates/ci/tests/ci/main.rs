//! The configurations that are proposed, against the schemas that CI systems' vendors publish.

// Why a test was skipped is read in its output.
#![allow(clippy::print_stderr)]

mod integrations;
mod kit;
mod pages;
mod proposed;
