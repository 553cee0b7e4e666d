//! A store with what lets us in, and with whom we believe there.

use std::fmt;

use larder_local::own::OwnFolder;
use serde::{Deserialize, Serialize};

use super::Location;
use crate::error::StoreError;
use crate::keys::{EncryptKey, Heads, Keys};
use crate::objects::{Near, Objects};

/// Where a store is, the settings of its cloud, and keys. Another process can be given it; shown, it says
/// the location alone, because secrets are among the settings.
#[derive(Clone, Serialize, Deserialize)]
pub struct Access {
    location: Location,
    /// Names and values, as the cloud's own tools read them in the environment.
    settings: Vec<(String, String)>,
    keys: Keys,
    /// Whether it holds just what the newest documents need.
    is_single: bool,
    near: Option<NearTier>,
    /// Where this machine remembers what it has started from.
    heads: Option<OwnFolder>,
}

/// A cache in front of a store, and what it may hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NearTier {
    /// Where it is.
    pub place: NearPlace,
    /// Bytes that it may hold.
    pub max_bytes: u64,
}

/// Where a near tier is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum NearPlace {
    /// A directory of this machine, or one that machines share.
    Folder(OwnFolder),
    /// Another store, with the settings of its cloud. Secrets are among them.
    Store(Location, Settings),
}

/// Settings of a cloud, which are not shown.
#[derive(Clone, Serialize, Deserialize)]
pub struct Settings(pub Vec<(String, String)>);

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} settings", self.0.len())
    }
}

impl NearTier {
    /// Opens it. One that cannot be used says so when it is asked ([`Objects::near_trouble`]).
    fn open(&self) -> Near {
        match &self.place {
            NearPlace::Folder(folder) => Near::folder(folder, self.max_bytes),
            NearPlace::Store(location, settings) => match location.open(&settings.0) {
                Ok(objects) => Near::remote(objects, self.max_bytes),
                Err(error) => Near::nothing(error),
            },
        }
    }
}

impl Access {
    /// A store, and settings of clouds. Those that mean nothing to this one are not used.
    pub fn new(location: Location, settings: Vec<(String, String)>, keys: Keys) -> Self {
        Self {
            location,
            settings,
            keys,
            is_single: false,
            near: None,
            heads: None,
        }
    }

    /// The same on a machine that remembers here what it has started from: where only certain keys are trusted, it takes
    /// nothing older.
    #[must_use]
    pub fn remembering(mut self, heads: OwnFolder) -> Self {
        self.heads = (!self.keys.trust.is_anybody()).then_some(heads);
        self
    }

    /// The same behind a near tier.
    #[must_use]
    pub fn behind(self, near: Option<NearTier>) -> Self {
        Self { near, ..self }
    }

    /// The same, holding just what the newest document of each lineage needs. It must be a directory.
    #[must_use]
    pub fn single(self) -> Self {
        Self {
            is_single: true,
            ..self
        }
    }

    /// Another store, with the same settings.
    #[must_use]
    pub fn of(&self, location: Location) -> Self {
        Self {
            heads: self.heads.clone(),
            ..Self::new(location, self.settings.clone(), self.keys.clone())
        }
    }

    /// The same, sealed with this key, or not at all.
    #[must_use]
    pub fn sealed_with(mut self, key: Option<EncryptKey>) -> Self {
        self.keys.encrypt = key;
        self
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Opens the store to look after it, where that can be done.
    pub fn open_listed(&self) -> Result<Objects, StoreError> {
        if self.location.can_be_listed() {
            self.open()
        } else {
            Err(StoreError::NotListed(self.location.to_string()))
        }
    }

    /// Whether its garbage is collected now and then.
    pub fn is_collected(&self) -> bool {
        self.location.can_be_listed() && !self.is_single
    }

    /// Opens the store; see [`Location::open`].
    pub fn open(&self) -> Result<Objects, StoreError> {
        let objects = self.location.open(&self.settings)?;
        let mut objects = objects.with_keys(self.keys.clone());
        if let Some(near) = &self.near {
            objects = objects.behind(near.open());
        }
        if let Some(folder) = &self.heads {
            let heads = Heads::new(folder.clone(), self.location.to_string());
            objects = objects.remembering(heads);
        }
        match self.location.as_folder().filter(|_| self.is_single) {
            Some(folder) => objects
                .into_single(&folder)
                .map_err(|error| self.location.refused(&error.to_string())),
            None => Ok(objects),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.location.fmt(f)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} settings", self.location, self.settings.len())
    }
}
