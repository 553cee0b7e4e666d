//! The background process: a volume, its engine and a store, from up to down.
