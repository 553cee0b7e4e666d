//! The Docker engine that stands on a volume: our own dockerd and containerd, beside the machine's
//! engine or in its place.
//!
//! The order of a job, each step one call:
//!
//! 1. [`probe`](program::probe) finds the programs; [`continuation`](program::continuation) says
//!    which saved volumes they can continue.
//! 2. [`system::observe`] looks at the machine's engine, [`system::choose`] picks the
//!    [`Shape`].
//! 3. [`Taken`](takeover::Taken) stops the machine's engine, or [`PrivateNet`](network::PrivateNet)
//!    gives the private one a way out.
//! 4. [`Engine::spawn`](engine::Engine::spawn), [`ready`](engine::Engine::ready), the job,
//!    [`quiesce`](engine::Engine::quiesce), [`stop`](engine::Engine::stop).
//! 5. [`end_holders`](holders::end_holders) and [`scrub`](scrub::scrub) make the volume fit to be
//!    published; step 3 is given back.
//!
//! An engine that is only an API away has none of that: [`api`] finds it and speaks to it, [`archive`]
//! takes its exports apart and makes streams for loading.
//!
//! What starts a process is blocking and inherits the namespaces of the thread that calls it: that
//! thread is the *room*, which also must live as long as the engine (see [`engine`]). What talks to
//! the engine is async and may run anywhere, because a unix socket is found by path.

pub mod api;
pub mod archive;
pub mod clean_up;
mod config;
mod daemon;
pub mod engine;
pub mod error;
pub mod freshness;
pub mod holders;
mod http;
mod layout;
pub mod network;
pub mod process;
pub mod program;
pub mod quiesce;
pub mod scrub;
pub mod shape;
pub mod system;
pub mod takeover;
mod tool;

pub use config::child_environment;
pub use engine::{Engine, EngineConfig, EngineFacts, StopReport};
pub use error::EngineError;
pub use shape::{Asked, Choice, ImageStore, InstanceId, Shape};
