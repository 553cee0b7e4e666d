//! The stores of a campaign: folders, or an S3 server.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;

use crate::job::larder::Store;
use crate::job::s3::{self, Server};

/// What kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Folder,
    S3,
}

/// Where stores are made.
pub(super) struct Stores {
    folder: PathBuf,
    server: Option<Server>,
}

impl Stores {
    /// Starts the server `program`, if one is needed.
    pub(super) fn ready(kind: Kind, folder: &Path, program: &Path) -> Result<Self> {
        let server = match kind {
            Kind::Folder => None,
            Kind::S3 => Some(Server::start(program, folder)?),
        };
        Ok(Self {
            folder: folder.to_owned(),
            server,
        })
    }

    /// The store of this name.
    pub(super) fn store(&self, name: &str) -> Store {
        match &self.server {
            Some(server) => s3::store(name, server.port),
            None => Store::folder(&self.folder.join(name)),
        }
    }
}
