//! The log, on standard error.
//!
//! The background process sends its standard error to `larder.log` in the session's directory below
//! `/run/larder`. Its lines have times.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::plain::Log;

/// Begins to log what this filter lets through. `in_background`: lines are for a file, not for people.
pub(crate) fn begin(filter: &str, in_background: bool) -> Result<(), ParseError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse(filter)?)
        .with_ansi(false)
        .with_writer(|| Log(std::io::stderr()));
    if in_background {
        lines.init();
    } else {
        lines.without_time().with_target(false).init();
    }
    Ok(())
}
