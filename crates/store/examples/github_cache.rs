//! Serves the stand-in for GitHub's cache, for GitHub's own client: in an empty directory
//!
//! ```sh
//! npm install @actions/cache@4
//! cargo run -p larder-store --example github_cache -- node path/to/crates/store/tests/store/github/client.mjs
//! ```

#[path = "../tests/store/github/stand_in.rs"]
mod stand_in;

use std::process::{Command, exit};

fn main() {
    let service = stand_in::StandIn::start();
    let mut words = std::env::args_os().skip(1);
    let program = words.next().expect("a program to run beside the service");
    let status = Command::new(program)
        .args(words)
        .env("ACTIONS_RESULTS_URL", service.url())
        .env(
            "ACTIONS_RUNTIME_TOKEN",
            stand_in::StandIn::token("refs/heads/main", &[]),
        )
        .env("ACTIONS_CACHE_SERVICE_V2", "true")
        .env(
            "GITHUB_WORKSPACE",
            std::env::current_dir().expect("a directory"),
        )
        .env("RUNNER_TEMP", std::env::temp_dir())
        .status()
        .expect("it starts");
    exit(status.code().unwrap_or(1));
}
