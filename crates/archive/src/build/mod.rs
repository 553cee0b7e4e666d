//! `docker build`: who runs the steps and how that builder finds restored ones ([`builder`]), the
//! command's arguments ([`arguments`]), and the images that its stages get ([`stages`]).

pub mod arguments;
pub mod builder;
pub mod stages;
