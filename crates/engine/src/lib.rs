//! The Docker engine that stands on a volume: our own dockerd and containerd, beside the machine's
//! engine or in its place.
//!
//! The order of a job, each step one call:
//!
//! 1. [`probe`](program::probe) finds the programs, whose versions say which saved volumes they can
//!    continue (model `compatibility`).
//! 2. [`system::observe`] looks at the machine's engine, [`system::choose`] picks the
//!    [`Shape`].
//! 3. [`MachineSettings`] are what the administrator has set for that engine, [`TakenOver`] what of it
//!    ours has.
//! 4. [`Taken`](takeover::Taken) stops the machine's engine, or [`PrivateNet`](network::PrivateNet)
//!    gives the private one a way out.
//! 5. [`Engine::spawn`], [`ready`](Engine::ready), the job, [`quiesce`](Engine::quiesce), what the
//!    [`Collector`](collector::Collector) drops, [`stop`](Engine::stop).
//! 6. [`end_holders`](holders::end_holders) and [`scrub`](scrub::scrub) make the volume fit to be
//!    published; step 4 is given back.
//!
//! What starts a process is blocking and inherits the namespaces of the thread that calls it: that
//! thread is the *room*, which also must live as long as the engine (see [`Engine::spawn`]). What talks
//! to the engine is async and may run anywhere, because a unix socket is found by path.

pub mod builders;
pub mod collector;
mod daemon;
mod error;
mod instance;
mod layout;
mod machine;
pub mod network;
pub mod paths;
pub mod program;
mod room;
pub mod scrub;
mod shape;
mod tool;

pub use daemon::{
    Daemon, Engine, EngineConfig, EngineFacts, Exit, StopReport, TakenOver, bound_to_us,
    check_settings, child_environment, clean_up, own_folders, quiesce,
};
pub use error::EngineError;
pub use instance::InstanceId;
pub use machine::settings::MachineSettings;
pub use machine::{cgroups, holders, process, rights, system, takeover};
pub use room::InRoom;
pub use shape::{Asked, Choice, Shape};
