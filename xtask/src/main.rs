//! What contributors and CI run: `cargo xtask engine`, `demo`, `test`, `fresh` and `bench`.

mod application;
mod bench;
mod cargo;
mod demo;
mod dockerd;
mod engine;
mod fresh;
mod job;
mod larder;
mod mirrors;
mod process;
mod report;
mod say;
mod test;
mod workplace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the Larder project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Engine(engine::Args),
    Demo(demo::Args),
    Test(test::Args),
    Fresh(fresh::Args),
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().task {
        Task::Engine(args) => engine::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Fresh(args) => fresh::run(&args),
        Task::Bench(args) => bench::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}
