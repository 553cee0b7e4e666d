//! What people do before their first job, and packagers for them.

pub(crate) mod completions;
pub(crate) mod init;
pub(crate) mod keygen;
pub(crate) mod man;
pub(crate) mod version;
