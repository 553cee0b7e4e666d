//! placeholder
#![allow(missing_docs)]

pub mod dockerfile;
pub mod reference;
