//! What goes wrong with a builder is what goes wrong with an engine.

pub(crate) use larder_engine::EngineError;

pub(crate) type Result<T, E = EngineError> = std::result::Result<T, E>;
