//! What can be typed to set Larder up.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap_complete::Shell;
use larder_ci::init::System;

use super::filled;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  larder init                      the CI system that the repository is built by
  larder init gitlab --print --store s3://ci-cache/larder
A file that is there is never changed: what to add to it is printed, and where.")]
pub struct Init {
    /// CI system, or shell for a script [default: the one whose file the repository has, else that of its
    /// remote's host, else shell]
    #[arg(value_parser = systems())]
    pub system: Option<System>,
    /// Print the configuration; write nothing.
    #[arg(long)]
    pub print: bool,
    /// Write the whole file, also in place of one that is there.
    #[arg(long)]
    pub force: bool,
    /// Print JSON; write nothing.
    #[arg(long)]
    pub json: bool,
    /// Store for the configuration: s3://bucket/prefix, gs://bucket/prefix or az://container/prefix
    /// [default: LARDER_STORE, else an example]
    #[arg(long, value_name = "URL", value_parser = filled())]
    pub store: Option<String>,
}

/// The systems by their names, so that shells complete them.
fn systems() -> impl TypedValueParser<Value = System> {
    PossibleValuesParser::new(System::ALL.map(System::name))
        .map(|name| name.parse().expect("it is one of the names"))
}

#[derive(Debug, Args)]
pub struct Version {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Keygen {
    /// File for the private key (PKCS #8 in PEM) or the encryption key, which must not be there yet.
    pub file: PathBuf,
    /// Make a key for --encrypt-key, and print its id.
    #[arg(long)]
    pub encrypt: bool,
    /// Make nothing; print the public half of the key in FILE, or the id of an encryption key.
    #[arg(long)]
    pub public: bool,
}

#[derive(Debug, Args)]
pub struct Completions {
    /// Shell to complete for.
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct Man {
    /// Command to print the page of, instead of the overview.
    pub verb: Option<String>,
}
