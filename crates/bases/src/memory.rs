//! What tags were when a registry was last asked, on this machine.
//!
//! One small file for all of them, written whole: two processes at once may lose one's news, which
//! costs asking again. A memory that cannot be read or written is a miss.

use std::path::{Path, PathBuf};

use larder_local::files;

use crate::record::Known;

/// Tags remembered; those asked for longest ago go first.
const TAGS_MAX: usize = 512;
/// A larger file is not ours.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// The remembered tags.
#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
    pub(crate) known: Vec<Known>,
}

impl Memory {
    pub(crate) fn open(folder: &Path) -> Self {
        let path = folder.join("tags-v1.json");
        let known = read(&path).unwrap_or_default();
        Self { path, known }
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
            tracing::debug!(%error, path = %self.path.display(), "not remembered");
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let folder = self.path.parent().expect("the file is in a folder");
        files::make_folder_of_user(folder, 0o700)?;
        let text = serde_json::to_vec(&self.known).expect("it has a JSON form");
        files::write_private(&self.path, &text)
    }
}

fn read(path: &Path) -> Option<Vec<Known>> {
    let length = std::fs::metadata(path).ok()?.len();
    let text = (length <= FILE_MAX_BYTES).then(|| std::fs::read(path))?;
    serde_json::from_slice(&text.ok()?).ok()
}
