//! Rules about a volume: what of it is stored together, how it is read ahead, what is dropped before it is
//! saved, and how full it may be.

pub mod dropping;
pub mod habit;
pub mod pace;
pub mod space;
pub mod uses;
