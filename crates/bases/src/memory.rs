//! What tags were when a registry was last asked, on this machine.
//!
//! One small file for all of them, written whole: two processes at once may lose one's news, which
//! costs asking again. A memory that cannot be read or written is a miss.

use std::path::Path;

use larder_local::files;
use larder_local::own::{NotOurs, OwnFolder};

use crate::record::Known;

const FILE: &str = "tags-v1.json";
/// Tags remembered; those asked for longest ago go first.
const TAGS_MAX: usize = 512;
/// A larger file is not ours.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// The remembered tags.
#[derive(Debug)]
pub(crate) struct Memory {
    folder: OwnFolder,
    pub(crate) known: Vec<Known>,
}

impl Memory {
    /// The memory in a folder. What others could have written there is not read.
    pub(crate) fn open(folder: &OwnFolder) -> Self {
        let existing = folder.existing().ok().flatten();
        let known = existing.and_then(|folder| read(&folder.join(FILE)));
        Self {
            folder: folder.clone(),
            known: known.unwrap_or_default(),
        }
    }

    pub(crate) fn learn(mut self, news: &[Known]) {
        if news.iter().all(|new| self.known.contains(new)) {
            return;
        }
        let all = &mut self.known;
        all.retain(|known| !news.iter().any(|new| new.is_same_image(known)));
        all.extend_from_slice(news);
        all.sort_by_key(|known| std::cmp::Reverse(known.checked_ms));
        all.truncate(TAGS_MAX);
        if let Err(error) = self.write() {
            tracing::debug!(%error, folder = %self.folder.named().display(), "not remembered");
        }
    }

    fn write(&self) -> Result<(), NotOurs> {
        let path = self.folder.make_of_user()?.join(FILE);
        let text = serde_json::to_vec(&self.known).expect("it has a JSON form");
        files::write_private(&path, &text).map_err(|source| NotOurs::Io { path, source })
    }
}

fn read(path: &Path) -> Option<Vec<Known>> {
    let length = std::fs::metadata(path).ok()?.len();
    let text = (length <= FILE_MAX_BYTES).then(|| std::fs::read(path))?;
    serde_json::from_slice(&text.ok()?).ok()
}
