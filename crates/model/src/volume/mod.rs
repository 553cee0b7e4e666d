//! Rules about a volume and its map: what of them is stored together, how it is read ahead, what is dropped before it is
//! saved, and how full it may be.

pub mod dropping;
pub mod habit;
pub mod leaves;
mod loose;
pub mod pace;
pub mod space;
pub mod uses;
