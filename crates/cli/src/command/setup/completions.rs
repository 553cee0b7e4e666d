//! `larder completions SHELL`: a completion script.

use std::process::ExitCode;

use clap::CommandFactory as _;
use larder_settings::args::{Arguments, Completions};

use crate::report::Report;

pub(crate) fn run(verb: &Completions, report: &Report) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(verb.shell, &mut Arguments::command(), "larder", &mut script);
    report.answer(String::from_utf8_lossy(&script).trim_end());
    ExitCode::SUCCESS
}
