//! The Dockerfile front end: text to the images that a build needs, before it runs.
//!
//! What is accepted, what is refused, and which images are named are `BuildKit`'s decisions
//! (its `frontend/dockerfile`, version 0.32, stable channel), since a build will be run by it. Each
//! file here cites the one whose rules it follows:
//!
//! ```text
//! read      bytes -> lexer (directive, heredoc) -> node (words) -> parse (flag, mount, scalar)
//!             -> Dockerfile
//! evaluate  Dockerfile, BuildOptions -> arguments, graph -> stage (scope, sources)
//!             -> outcome (canonical): Bases
//! shell     the words of both: variables, quotes, patterns
//! front_end who reads the file at all
//! ```
//!
//! Where `BuildKit` would look into a base image's configuration (its variables, its `ONBUILD`
//! instructions), nothing is known here: a rule that depends on it is not held against the file.

mod error;
mod evaluate;
mod front_end;
mod platform;
mod read;
mod shell;

pub use error::DockerfileError;
pub use evaluate::options::{BuildOptions, ImageConfigs, NamedContext};
pub use evaluate::origin::{ImageUse, Origin, UseKind, WantedImage};
pub use evaluate::outcome::{BaseImage, Bases, Stage, Step};
pub use evaluate::sandbox::Sandbox;
pub use evaluate::unread::UnreadFile;
pub use front_end::FrontEnd;
pub use platform::{Platform, PlatformError};
pub use read::{Dockerfile, parse};
