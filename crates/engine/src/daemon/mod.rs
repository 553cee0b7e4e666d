//! Our own engine: its two daemons, what they are configured with, what is asked of them while they run,
//! and what is ended after a crash.

mod base_images;
mod child;
pub mod clean_up;
mod config;
mod engine;
pub mod quiesce;
mod taken_over;

pub use self::child::{Daemon, Exit};
pub use self::config::child_environment;
pub use self::engine::{Engine, EngineConfig, EngineFacts, StopReport, bound_to_us, own_folders};
pub use self::taken_over::{TakenOver, check as check_settings};
