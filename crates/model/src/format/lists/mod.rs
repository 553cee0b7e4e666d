//! Lists beside the documents: what a job read (`hot`), what registries said (`images`), what a collection is
//! about to remove (`garbage`).

pub mod garbage;
pub mod hot;
pub mod images;
