//! Larder: a Docker engine that remembers, for CI jobs on machines that forget.
//!
//! Each verb is one file in [`command`]. What was typed ([`args`]) becomes what it means
//! ([`settings`]) once; [`plan`] knows builds and their base images; only [`report`] prints;
//! [`session`] is the background process that holds an open volume and its engine; [`archive`] saves
//! and restores images where an engine is only an API away.

mod archive;
mod args;
mod command;
mod exit;
mod plan;
mod private;
mod report;
mod session;
mod settings;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Verb};
use crate::report::Report;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let report = Report::new(arguments.quiet);
    let done = match arguments.verb {
        Verb::Run(verb) => command::run::run(&verb, &report),
        Verb::Up(verb) => command::up::run(&verb, &report),
        Verb::Down(verb) => command::down::run(&verb, &report),
        Verb::Status(verb) => command::status::run(&verb, &report),
        Verb::Restore(verb) => command::restore::run(&verb, &report),
        Verb::Save(verb) => command::save::run(&verb, &report),
        Verb::Build(verb) => command::build::run(&verb, &report),
        Verb::Doctor(verb) => command::doctor::run(&verb, &report),
        Verb::Ls(verb) => command::ls::run(&verb, &report),
        Verb::Image(verb) => command::image::run(&verb, &report),
        Verb::Plan(verb) => command::plan::run(&verb, &report),
        Verb::Key(verb) => command::key::run(&verb, &report),
        Verb::Explain(verb) => command::explain::run(&verb, &report),
        Verb::Completions(verb) => {
            command::completions::run(&verb, &report);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Man(verb) => command::man::run(&verb, &report),
        Verb::Serve => command::serve::run(),
    };
    match done {
        Ok(_) if report.has_lost_an_answer() => ExitCode::FAILURE,
        Ok(code) => code,
        Err(failure) => {
            report.failure(&failure);
            failure.code()
        }
    }
}
