//! What CI systems do with configurations of ours: jobs on machines of their own, of which each after the first hits.

mod action;
mod newcomer;
mod player;
mod plugin;
mod proposed;
mod systems;

/// How many steps of its build a job found.
fn cached(said: &str) -> usize {
    said.lines()
        .filter(|line| line.ends_with(" CACHED"))
        .count()
}
