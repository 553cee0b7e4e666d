//! A session: one open volume with its engine, from `up` to `down`, in a background process.
//!
//! | module | holds |
//! |---|---|
//! | [`place`] | where a session's files are |
//! | [`facts`] | what is reported of a job |
//! | [`protocol`] | what the background process and the commands say to each other |
//! | [`events`] | where the background process says what it does |
//! | [`client`] | the commands' side |
//! | [`serve`] | the background process, from its first to its last line |
//! | [`start`] | bringing up: ladder, volume, engine |
//! | [`fresh`] | base images: what they are today, which tags the engine must forget |
//! | [`parts`] | the room, the network, the volume, the engine, in their order |
//! | [`finish`] | bringing down: quiesce, seal, publish |
//! | [`lock`] | who may touch a state folder |
//! | [`leftovers`] | clearing what a crash left behind |
//! | [`machine`] | what the machine must have |

pub mod client;
mod events;
pub mod facts;
mod finish;
pub mod fresh;
pub mod leftovers;
pub mod lock;
pub mod machine;
mod parts;
pub mod place;
pub mod protocol;
mod restore;
pub mod serve;
mod start;
