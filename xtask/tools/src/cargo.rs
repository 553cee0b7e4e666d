//! Cargo, called by a program that cargo runs.

use std::process::Command;

/// What cargo tells a program that it runs about that program's own package ("Environment variables Cargo sets",
/// the Cargo book). Build scripts depend on some of it: those of aws-lc-sys, and all that stands on it, would be
/// built anew for each change between `cargo test` and `cargo xtask test`.
const OF_THE_CALLER: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// The cargo that runs this task, for this workspace.
pub fn command(subcommand: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .arg(subcommand)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if OF_THE_CALLER.iter().any(|start| told.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command
}
