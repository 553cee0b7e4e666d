//! `larder man [VERB]`: the manual page, as roff.

use std::process::ExitCode;

use clap::CommandFactory as _;
use larder_settings::args::{Arguments, Man};
use larder_settings::exit::{Done, Failure};

use crate::report::Report;

pub(crate) fn run(verb: &Man, report: &Report) -> Done {
    let mut command = Arguments::command();
    command.build();
    let page = match &verb.verb {
        None => command,
        Some(name) => command.find_subcommand(name).cloned().ok_or_else(|| {
            Failure::input(format!("{name:?} is not a command; see larder --help"))
        })?,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut text)
        .map_err(|error| Failure::failed(format!("the page cannot be made: {error}")))?;
    report.answer(String::from_utf8_lossy(&text).trim_end());
    Ok(ExitCode::SUCCESS)
}
