//! `larder down`: save what the job changed, and end the engine. `larder unmount`: the same for directories.

use std::path::PathBuf;
use std::process::ExitCode;

use larder_local::people::Voice as _;
use larder_session::protocol::{Event, Request};
use larder_session::{
    Place, SessionError, Tenant, Wanted, client, docker_context, leftovers, lock,
};
use larder_settings::Settings;
use larder_settings::args::{Down, Unmount};
use larder_settings::exit::{Done, Failure, strictly};

use super::guard;
use super::store::collect;
use crate::report::Report;

/// Ends the session, or takes back one attachment to it.
pub(crate) fn run(verb: &Down, report: &Report) -> Done {
    super::check_folder("--json", verb.json.as_deref())?;
    super::check_folder("--summary", verb.summary.as_deref())?;
    let settings = Settings::decide(&verb.which, None, report)?;
    settings.collects(&verb.care)?;
    let main = settings.place()?;
    let places = places(&settings, &main);
    end(verb, &settings, &main, places, report)
}

/// Ends the session that has a directory, by its name or the directory's path.
pub(crate) fn unmount(verb: &Unmount, report: &Report) -> Done {
    let down = &verb.down;
    super::check_folder("--json", down.json.as_deref())?;
    super::check_folder("--summary", down.summary.as_deref())?;
    let settings = Settings::decide(&down.which, None, report)?;
    settings.collects(&down.care)?;
    let main = settings.place()?;
    let path: PathBuf = settings
        .around
        .folder
        .join(&verb.what)
        .components()
        .collect();
    let all = [main.clone()].into_iter().chain(main.all_beside());
    let named = all.filter(|place| leftovers::is_of_folders(place, Some((&verb.what, &path))));
    let places: Vec<_> = named.map(|place| (place, None)).collect();
    if places.is_empty() {
        if !rustix::process::geteuid().is_root() {
            return Err(SessionError::BelongsToRoot.into());
        }
        report.note(&format!(
            "larder has mounted nothing of the name or path {}",
            verb.what
        ));
        return Ok(ExitCode::SUCCESS);
    }
    end(down, &settings, &main, places, report)
}

/// Ends the first session that is found at these places.
fn end(
    verb: &Down,
    settings: &Settings,
    main: &Place,
    places: Vec<(Place, Option<Wanted>)>,
    report: &Report,
) -> Done {
    let mut found = Found::Nothing;
    for (place, of) in places {
        match ask(verb, settings, &place, of.as_ref(), report)? {
            Found::Answer(event) => return ended(verb, settings, [&place, main], event, report),
            Found::Nothing => {}
            other => found = other,
        }
    }
    match found {
        Found::Cleared => {
            report.warning("the session had died; cleared what it left, nothing was saved");
        }
        Found::Other(of) => report.warning(&format!(
            "no session for {} runs here; the one that does is for {of}: say which one to end as its `up` did",
            settings.session.wanted()
        )),
        Found::Nothing | Found::Answer(_) => report.note("no session runs here"),
    }
    leftovers::sweep(main);
    Ok(ExitCode::SUCCESS)
}

/// Where the session may be that is to end, and what it must be for: the one that `DOCKER_HOST` names, else
/// the one for this project, job and scope, or, where nobody named a scope, any that has the state directory.
fn places(settings: &Settings, main: &Place) -> Vec<(Place, Option<Wanted>)> {
    let wanted = settings.session.wanted();
    let all = [main.clone()].into_iter().chain(main.all_beside());
    let mut named = all.filter(|place| {
        let socket = format!("unix://{}", place.docker_socket().display());
        settings.docker.host.as_deref() == Some(&socket)
    });
    if let Some(named) = named.next() {
        return vec![(named, None)];
    }
    // `down` need not be told what `up` was to start.
    let users = settings.for_podman().ok().into_iter();
    let tenants = [Tenant::Engine, Tenant::Builder, Tenant::Podman];
    let kinds = tenants.into_iter().chain(users).map(|tenant| Wanted {
        tenant,
        ..wanted.clone()
    });
    let mut kinds: Vec<_> = kinds.collect();
    kinds.dedup();
    let beside = kinds.iter().map(|wanted| (main.beside(wanted), None));
    let mut all: Vec<_> = beside.collect();
    if settings.scope_is_told {
        let at_main = kinds.into_iter().map(|wanted| (main.clone(), Some(wanted)));
        all.extend(at_main);
        return all;
    }
    all.push((main.clone(), None));
    all.extend(main.all_beside().into_iter().map(|place| (place, None)));
    // An engine is meant, if there is one.
    all.sort_by_key(|(place, _)| leftovers::is_of_folders(place, None));
    all
}

/// What was found at a place.
enum Found {
    Answer(Event),
    /// A session for something else, as people know it.
    Other(String),
    /// What a dead one had left.
    Cleared,
    Nothing,
}

/// Asks the session. Waits for one that is starting or ending, and clears what a dead one left.
fn ask(
    verb: &Down,
    settings: &Settings,
    place: &Place,
    of: Option<&Wanted>,
    report: &Report,
) -> Done<Found> {
    let request = Request::Down {
        discard: verb.discard,
        within: None,
        of: of.cloned(),
    };
    let mut waits = false;
    loop {
        let asked = guard::hurried(
            || client::ask(place, &request, report),
            || leftovers::hurry(place),
        );
        match asked?? {
            Some(Event::Other(job)) => {
                return Ok(Found::Other(format!("{} in {}", job.lineage, job.store)));
            }
            Some(event) => return Ok(Found::Answer(event)),
            None => {}
        }
        let is_others = of.is_some_and(|of| leftovers::is_of_other(place, of));
        if !place.exists() {
            return Ok(Found::Nothing);
        }
        if let Some(_lock) = lock::take(place)? {
            if leftovers::clear(place)? {
                docker_context::remove(place, settings.docker.config.as_deref());
                return Ok(Found::Cleared);
            }
            return Ok(Found::Nothing);
        }
        if is_others {
            return Ok(Found::Nothing);
        }
        if !waits {
            report.note("waiting for the session, which is starting or ending");
            waits = true;
        }
        std::thread::sleep(lock::PAUSE);
    }
}

fn ended(
    verb: &Down,
    settings: &Settings,
    [place, main]: [&Place; 2],
    event: Event,
    report: &Report,
) -> Done {
    match event {
        Event::Ended(job) => {
            docker_context::remove(place, settings.docker.config.as_deref());
            leftovers::sweep_after(place, main);
            super::tell_end(&job, main, verb.summary.as_deref(), report);
            report.write_json(verb.json.as_deref(), &job)?;
            let saved = job.saved.as_ref().map(|saved| saved.snapshot);
            collect::after(
                settings.collects(&verb.care)?.as_ref(),
                saved.as_ref(),
                report,
            );
            if let Some(lost) = &job.lost {
                return Err(Failure::failed(format!(
                    "{}; what the job made after that may be wrong: run it again",
                    lost.why
                )));
            }
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
