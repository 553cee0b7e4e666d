//! The stores of a campaign: folders, or an S3 server.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;

use crate::job::larder::Store;
use crate::job::s3::{self, Server};
use xtask_tools::wire::{self, Line};

/// What kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Folder,
    S3,
}

/// Where stores are made.
pub(super) struct Stores {
    folder: PathBuf,
    /// The server and the port at which jobs reach it.
    server: Option<(Server, u16)>,
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
            server: server.map(|server| {
                let port = server.port;
                (server, port)
            }),
        })
    }

    /// Starts the server `program`, a fast one, behind a line.
    pub(super) fn far(line: Line, folder: &Path, program: &Path) -> Result<Self> {
        let server = Server::start_fast(program, folder)?;
        let port = wire::to(server.port, line)?;
        Ok(Self {
            folder: folder.to_owned(),
            server: Some((server, port)),
        })
    }

    /// The store of this name.
    pub(super) fn store(&self, name: &str) -> Store {
        match &self.server {
            Some((_, port)) => s3::store(name, *port),
            None => Store::folder(&self.folder.join(name)),
        }
    }
}
