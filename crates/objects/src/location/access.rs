//! A store with what lets us in, and with whom we believe there.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Location;
use crate::error::StoreError;
use crate::keys::{EncryptKey, Keys};
use crate::objects::Objects;

/// Where a store is, the settings of its cloud, and keys. Another process can be given it; shown, it says
/// the location alone, because secrets are among the settings.
#[derive(Clone, Serialize, Deserialize)]
pub struct Access {
    location: Location,
    /// Names and values, as the cloud's own tools read them in the environment.
    settings: Vec<(String, String)>,
    keys: Keys,
}

impl Access {
    /// A store, and settings of clouds. Those that mean nothing to this one are not used.
    pub fn new(location: Location, settings: Vec<(String, String)>, keys: Keys) -> Self {
        Self {
            location,
            settings,
            keys,
        }
    }

    /// Another store, with the same settings.
    #[must_use]
    pub fn of(&self, location: Location) -> Self {
        Self::new(location, self.settings.clone(), self.keys.clone())
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

    /// Opens the store; see [`Location::open`].
    pub fn open(&self) -> Result<Objects, StoreError> {
        let objects = self.location.open(&self.settings)?;
        Ok(objects.with_keys(self.keys.clone()))
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
