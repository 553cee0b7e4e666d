//! Larder: a Docker engine that remembers, for CI jobs on machines that forget.
//!
//! Each verb is one file in [`command`]. What was typed ([`args`](larder_settings::args)) becomes what it means
//! ([`larder_settings`]) once; [`survey`] knows what a command's builds depend on; only [`report`] prints. All
//! else is done by the crates below.

mod address;
mod command;
mod output;
mod report;
mod signals;
mod survey;
mod view;

use std::process::ExitCode;

use clap::Parser as _;
use larder_settings::args::{Arguments, Verb};
use larder_settings::exit::{Done, Failure};

use crate::report::Report;

fn main() -> ExitCode {
    larder_local::names::find_ourselves();
    let arguments = Arguments::parse().settled();
    let report = Report::new(arguments.quiet);
    let done = begin_log(&arguments).and_then(|()| run(arguments.verb, &report));
    match done {
        Ok(_) if report.has_lost_an_answer() => ExitCode::FAILURE,
        Ok(code) => code,
        Err(failure) => {
            report.failure(&failure);
            ExitCode::from(failure.code)
        }
    }
}

fn begin_log(arguments: &Arguments) -> Done<()> {
    let in_background = matches!(arguments.verb, Verb::Serve);
    let filter = larder_settings::log_filter(arguments.verbose, in_background);
    report::logs::begin(&filter, in_background).map_err(|error| {
        Failure::input(format!(
            "LARDER_LOG={filter:?}: {error}; write for example debug, or larder_registry=debug"
        ))
    })
}

fn run(verb: Verb, report: &Report) -> Done {
    match verb {
        Verb::Run(verb) => command::run::run(&verb, report),
        Verb::Up(verb) => command::up::run(&verb, report),
        Verb::Down(verb) => command::down::run(&verb, report),
        Verb::Mount(verb) => command::mount::run(&verb, report),
        Verb::Unmount(verb) => command::down::unmount(&verb, report),
        Verb::Status(verb) => command::status::run(&verb, report),
        Verb::Restore(verb) => command::images::restore::run(&verb, report),
        Verb::Save(verb) => command::images::save::run(&verb, report),
        Verb::Build(verb) => command::images::build::run(&verb, report),
        Verb::Doctor(verb) => command::doctor::run(&verb, report),
        Verb::Report(verb) => command::store::past::report::run(&verb, report),
        Verb::History(verb) => command::store::past::history::run(&verb, report),
        Verb::Ls(verb) => command::store::ls::run(&verb, report),
        Verb::Gc(verb) => command::store::gc::run(&verb, report),
        Verb::Verify(verb) => command::store::verify::run(&verb, report),
        Verb::Rm(verb) => command::store::rm::run(&verb, report),
        Verb::Promote(verb) => command::store::promote::run(&verb, report),
        Verb::Cp(verb) => command::store::cp::run(&verb, report),
        Verb::Policy(verb) => command::store::policy::run(&verb, report),
        Verb::Rekey(verb) => command::store::rekey::run(&verb, report),
        Verb::Image(verb) => command::image::run(&verb, report),
        Verb::Plan(verb) => command::plan::run(&verb, report),
        Verb::Key(verb) => command::key::run(&verb, report),
        Verb::Explain(verb) => command::explain::run(&verb, report),
        Verb::Init(verb) => command::setup::init::run(&verb, report),
        Verb::Version(verb) => Ok(command::setup::version::run(&verb, report)),
        Verb::Completions(verb) => Ok(command::setup::completions::run(&verb, report)),
        Verb::Keygen(verb) => command::setup::keygen::run(&verb, report),
        Verb::Man(verb) => command::setup::man::run(&verb, report),
        Verb::Collect => command::store::collect::run(),
        Verb::Serve => {
            // The background process tells the command that started it how it went.
            larder_session::serve();
            Ok(ExitCode::SUCCESS)
        }
    }
}
