//! `larder down`: save what the job changed, and end the engine.

use std::process::ExitCode;

use super::context;
use crate::args::Down;
use crate::exit::{Done, Failure};
use crate::report::Report;
use crate::session::facts::Job;
use crate::session::place::Place;
use crate::session::protocol::{Event, Request};
use crate::session::{client, leftovers, lock};
use crate::settings::Settings;

/// Ends the session, or takes back one attachment to it.
pub fn run(verb: &Down, report: &Report) -> Done {
    super::check_folder("--json", verb.json.as_deref())?;
    let settings = Settings::decide(&verb.which, None)?;
    let place = Place::of(&settings.state);
    let request = Request::Down {
        discard: verb.discard,
    };
    let Some(event) = ask(&place, request, report)? else {
        return Ok(ExitCode::SUCCESS);
    };
    match event {
        Event::Ended(job) => {
            context::remove(&place);
            report.down(&job);
            if let Some(file) = &verb.json {
                report.write_json(file, &job)?;
            }
            strictly(verb.strict || settings.strict, &job)?;
            Ok(ExitCode::SUCCESS)
        }
        Event::StaysUp { others } => {
            report.stays_up(others);
            Ok(ExitCode::SUCCESS)
        }
        Event::Failed(failure) => Err(failure),
        other => Err(Failure::failed(format!("the session said {other:?}"))),
    }
}

/// Asks the session, also one that is starting; waits for one that is ending, and clears what a dead
/// one left. `None` if there is none, which has been said then.
fn ask(place: &Place, request: Request, report: &Report) -> Done<Option<Event>> {
    let mut waits = false;
    loop {
        if let Some(event) = client::ask(place, request, report)? {
            return Ok(Some(event));
        }
        if !place.state.exists() {
            report.note("no session runs here");
            return Ok(None);
        }
        if let Some(_lock) = lock::take(place)? {
            if leftovers::clear(place)? {
                context::remove(place);
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

/// With `--strict`, a job that could not be saved has failed.
pub fn strictly(strict: bool, job: &Job) -> Done<()> {
    match &job.not_saved {
        Some(why) if strict && why != "asked not to" => {
            Err(Failure::failed(format!("nothing saved: {why} (--strict)")))
        }
        _ => Ok(()),
    }
}
