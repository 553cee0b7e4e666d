//! One verb, one file: each reads as what the verb does.

mod builds;
pub mod completions;
mod context;
pub mod down;
pub mod explain;
pub mod image;
pub mod key;
pub mod ls;
pub mod man;
pub mod plan;
pub mod run;
pub mod serve;
pub mod status;
pub mod up;
