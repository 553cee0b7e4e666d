//! `larder __serve`: the background process. People never type it.

use std::process::ExitCode;

use crate::exit::Done;
use crate::session::serve::serve;

/// Serves one session.
pub fn run() -> Done {
    serve()?;
    Ok(ExitCode::SUCCESS)
}
