//! The two ways in which an engine keeps images.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::UnknownValue;

/// Where an engine keeps images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageStore {
    /// Docker's own layer store with the overlay2 graph driver.
    Overlay2,
    /// containerd's content store and overlayfs snapshotter.
    Containerd,
}

impl fmt::Display for ImageStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Overlay2 => "overlay2",
            Self::Containerd => "containerd",
        })
    }
}

impl FromStr for ImageStore {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        match text {
            "overlay2" => Ok(Self::Overlay2),
            "containerd" => Ok(Self::Containerd),
            _ => Err(UnknownValue {
                what: "image store",
                value: text.to_owned(),
                expected: "overlay2 or containerd",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_as_written() {
        for store in [ImageStore::Overlay2, ImageStore::Containerd] {
            let read: ImageStore = store.to_string().parse().expect("own text");
            assert_eq!(read, store);
        }
        assert!("aufs".parse::<ImageStore>().is_err());
    }
}
