//! `larder up --foreground`: a session that ends with its command, for the main process of a container.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use larder_local::people::Voice as _;
use larder_session::client::Running;
use larder_session::facts::Job;
use larder_session::protocol::Event;
use larder_session::{Place, SessionError, docker_context, leftovers};
use larder_settings::args::Up;
use larder_settings::exit::{Done, strictly};
use larder_settings::period;

use crate::command::guard;
use crate::report::Report;
use crate::signals::Signals;

/// As long as `docker stop` waits before it kills.
const USUAL_GRACE: Duration = Duration::from_secs(10);

/// A session that stays in front.
pub(super) struct Foreground<'a> {
    pub verb: &'a Up,
    /// How long ending may take.
    pub grace: Duration,
    /// The place that was asked for; the session may be beside it.
    pub main: &'a Place,
    /// Where the docker command's settings are.
    pub docker: Option<&'a Path>,
    pub strict: bool,
    pub report: &'a Report,
}

/// How long ending may take, as it was asked for.
pub(super) fn grace(verb: &Up) -> Done<Duration> {
    let named = verb.grace.as_deref();
    named.map_or(Ok(USUAL_GRACE), |text| period("--grace", text))
}

impl Foreground<'_> {
    /// Stays until a signal comes or the engine is gone, and ends this use of the session.
    pub(super) fn stay(&self, running: Running) -> Done {
        let report = self.report;
        report.note("a signal (SIGTERM, SIGINT) ends the session and saves it");
        crate::command::wait_for(async {
            let mut signals = Signals::catch()?;
            tokio::select! {
                _ = signals.next() => {}
                () = guard::broken(&running, report) => {}
            }
            Done::Ok(())
        })??;
        let place = running.place.clone();
        let ended = guard::hurried(
            || running.down_within(self.grace, report),
            || leftovers::hurry(&place),
        );
        match ended?? {
            Event::Ended(job) => self.ended(&place, &job),
            Event::StaysUp { others } => {
                report.stays_up(others);
                Ok(ExitCode::SUCCESS)
            }
            Event::Failed(failed) => Err(failed.into()),
            other => Err(SessionError::Unexpected(Box::new(other)).into()),
        }
    }

    fn ended(&self, place: &Place, job: &Job) -> Done {
        docker_context::remove(place, self.docker);
        leftovers::sweep_after(place, self.main);
        crate::command::tell_end(job, self.main, None, self.report);
        self.report.write_json(self.verb.json.as_deref(), job)?;
        strictly(self.strict, job.trouble())?;
        Ok(ExitCode::SUCCESS)
    }
}
