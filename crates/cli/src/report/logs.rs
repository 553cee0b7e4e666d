//! The log, on standard error.
//!
//! The background process sends its standard error to `larder.log` in the session's directory below
//! `/run/larder`. Its lines have times.

use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

use super::plain::Log;

/// Begins to log what this filter lets through. `in_background`: lines are for a file, not for people.
pub(crate) fn begin(filter: &str, in_background: bool) -> Result<(), ParseError> {
    let targets: Targets = filter.parse()?;
    let lines = fmt::layer()
        .with_ansi(false)
        .with_writer(|| Log(std::io::stderr()));
    let lines = if in_background {
        lines.boxed()
    } else {
        lines.without_time().with_target(false).boxed()
    };
    registry().with(lines.with_filter(targets)).init();
    Ok(())
}
