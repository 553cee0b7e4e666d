//! The integration tests of the model, in one binary.

mod bounds;
mod cases;
mod corpus;
mod decoders;
mod options;
mod plan;
mod properties;
mod rebuild;
