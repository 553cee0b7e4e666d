//! One verb, one file: each reads as what the verb does.

pub mod completions;
mod context;
pub mod down;
pub mod ls;
pub mod man;
pub mod run;
pub mod serve;
pub mod status;
pub mod up;
