//! Images and their build cache saved and restored through an engine's API.
