//! `larder down`: save what the job changed, and end the engine.

use std::process::ExitCode;

use larder_local::people::Voice as _;
use larder_session::protocol::{Event, Request};
use larder_session::{Place, SessionError, client, docker_context, leftovers, lock};

use crate::args::Down;
use crate::exit::{Done, strictly};
use crate::report::Report;
use crate::settings::Settings;

/// Ends the session, or takes back one attachment to it.
pub(crate) fn run(verb: &Down, report: &Report) -> Done {
    super::check_folder("--json", verb.json.as_deref())?;
    let settings = Settings::decide(&verb.which, None, report)?;
    let place = settings.place()?;
    let request = Request::Down {
        discard: verb.discard,
    };
    let Some(event) = ask(&place, request, report)? else {
        return Ok(ExitCode::SUCCESS);
    };
    match event {
        Event::Ended(job) => {
            docker_context::remove(&place);
            report.down(&job);
            report.write_json(verb.json.as_deref(), &job)?;
            strictly(verb.strict || settings.session.strict, job.trouble())?;
            Ok(ExitCode::SUCCESS)
        }
        Event::StaysUp { others } => {
            report.stays_up(others);
            Ok(ExitCode::SUCCESS)
        }
        Event::Failed(failed) => Err(failed.into()),
        other => Err(SessionError::Unexpected(Box::new(other)).into()),
    }
}

/// Asks the session. Waits for one that is starting or ending, and clears what a dead one left. `None` if
/// there is none; then this says so.
fn ask(place: &Place, request: Request, report: &Report) -> Done<Option<Event>> {
    let mut waits = false;
    loop {
        if let Some(event) = client::ask(place, request, report)? {
            return Ok(Some(event));
        }
        if !place.exists() {
            report.note("no session runs here");
            return Ok(None);
        }
        if let Some(_lock) = lock::take(place)? {
            if leftovers::clear(place)? {
                docker_context::remove(place);
                report.warning("the session had died; cleared what it left, nothing was saved");
            } else {
                report.note("no session runs here");
            }
            return Ok(None);
        }
        if !waits {
            report.note("waiting for the session, which is starting or ending");
            waits = true;
        }
        std::thread::sleep(lock::PAUSE);
    }
}
