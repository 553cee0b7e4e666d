//! The values and rules of Larder.

pub mod identity;
