//! What contributors and CI run: `cargo xtask engine`, `demo`, `test`, `fresh`, `dist`, `bench` and `campaign`.

mod bench;
mod campaign;
mod demo;
mod dockerd;
mod fresh;
mod job;
mod mirrors;
mod test;
mod workplace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask_engine as engine;
use xtask_tools::{cargo, process, say};

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
    Dist(xtask_dist::Args),
    Bench(bench::Args),
    Campaign(campaign::Args),
    Figures(test::figures::Args),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().task {
        Task::Engine(args) => engine::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Fresh(args) => fresh::run(&args),
        Task::Dist(args) => xtask_dist::run(&args, engine::unpack, engine::schemas),
        Task::Bench(args) => bench::run(&args),
        Task::Campaign(args) => campaign::run(&args),
        Task::Figures(args) => test::figures::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}
