//! What registries told us that stays true: contents by their digest; and what probably still is:
//! that a tag was seen before, and how a registry asks for authentication.
//!
//! A fault of the memory is a miss: it costs requests and never fails a resolution.

mod writer;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use larder_local::files;
use larder_model::identity::InheritedConfig;
use larder_model::oci::Digest;

use crate::http::Challenge;
use crate::image::Target;
use crate::image::digest::{names, sha256};
use crate::image::document::Config;
use crate::limits::{CONFIG_MAX_BYTES, MEMORY_MAX_BYTES, MEMORY_MAX_FILES};

pub(crate) use writer::Writer;

/// A folder of remembered answers. Any number of processes may share one.
///
/// # Data format
///
/// ```text
/// registry-v1/contents/sha256-<hex>    a manifest, index or configuration, byte for byte
/// registry-v1/tags/<hex>               empty: the tag whose full name has this SHA-256 was seen
/// registry-v1/challenges/<hex>         JSON: how the origin with this SHA-256 asks for authentication
/// ```
///
/// Files are written whole or not at all, readable by their owner only. A content is verified
/// against its name each time it is read; tags and challenges only decide what is asked first, and no
/// challenge from here has a password sent to another host than the registry's own.
/// No token and no password is ever written.
#[derive(Debug, Clone)]
pub struct Memory {
    contents: PathBuf,
    tags: PathBuf,
    challenges: PathBuf,
}

impl Memory {
    /// The memory in `folder`, which is made if need be, brought back within its bounds.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let memory = Self::at(folder);
        for folder in [&memory.contents, &memory.tags, &memory.challenges] {
            files::make_folder_of_user(folder, 0o700)?;
            bound(folder, MEMORY_MAX_BYTES, MEMORY_MAX_FILES)?;
        }
        Ok(memory)
    }

    /// The memory in `folder`, if there is one; nothing is made or changed for it.
    pub fn existing(folder: &Path) -> Option<Self> {
        let memory = Self::at(folder);
        memory.contents.is_dir().then_some(memory)
    }

    fn at(folder: &Path) -> Self {
        let root = folder.join("registry-v1");
        Self {
            contents: root.join("contents"),
            tags: root.join("tags"),
            challenges: root.join("challenges"),
        }
    }

    /// What an image's children inherit, if its configuration is remembered.
    pub fn inherited(&self, config: &Digest) -> Option<InheritedConfig> {
        let content = self.get(config)?;
        let config = Config::parse(&content, &config.to_string());
        config.ok().map(|config| config.inherited)
    }

    /// The content that `digest` names, if it is remembered.
    pub fn get(&self, digest: &Digest) -> Option<Vec<u8>> {
        let path = self.contents.join(file_name(digest));
        let file = File::open(&path).ok()?;
        if file.metadata().ok()?.len() > CONFIG_MAX_BYTES as u64 {
            return None;
        }
        let content = fs::read(&path).ok()?;
        if names(digest, &content) {
            // What is used stays: the oldest go first when the memory is full.
            told(file.set_modified(SystemTime::now()), &path);
            return Some(content);
        }
        told(fs::remove_file(&path), &path);
        None
    }

    /// Remembers a content under the digest that it has.
    pub fn learn(&self, content: &[u8]) {
        if content.len() <= CONFIG_MAX_BYTES {
            self.put(&sha256(content), content);
        }
    }

    /// Remembers a content that was verified against its digest.
    pub(crate) fn put(&self, digest: &Digest, content: &[u8]) {
        let path = self.contents.join(file_name(digest));
        if !path.exists() {
            write(&path, content);
        }
    }

    /// Whether the tag was resolved before.
    pub fn has_seen(&self, target: &Target) -> bool {
        self.tags.join(key(&target.to_string())).exists()
    }

    /// Remembers that the tag was resolved.
    pub fn note_seen(&self, target: &Target) {
        let path = self.tags.join(key(&target.to_string()));
        // What is used stays.
        match File::open(&path) {
            Ok(file) => told(file.set_modified(SystemTime::now()), &path),
            Err(_) => write(&path, b""),
        }
    }

    pub(crate) fn challenge(&self, origin: &str) -> Option<Challenge> {
        let text = fs::read(self.challenges.join(key(origin))).ok()?;
        serde_json::from_slice(&text).ok()
    }

    pub(crate) fn note_challenge(&self, origin: &str, challenge: &Challenge) {
        let text = serde_json::to_vec(challenge).expect("texts only");
        write(&self.challenges.join(key(origin)), &text);
    }
}

fn file_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm(), digest.hex())
}

fn key(text: &str) -> String {
    sha256(text.as_bytes()).hex()
}

/// A file torn by a crash fails its check and is a miss.
fn write(path: &Path, content: &[u8]) {
    told(files::write_private(path, content), path);
}

fn told(result: io::Result<()>, path: &Path) {
    if let Err(error) = result {
        tracing::debug!(%error, path = %path.display(), "the registry memory could not be changed");
    }
}

/// Removes the least recently used files until half of the bound is free, once it is passed.
fn bound(folder: &Path, max_bytes: u64, max_files: usize) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Another process may have removed it since.
        if let Ok(meta) = entry.metadata() {
            files.push((meta.modified()?, meta.len(), entry.path()));
        }
    }
    let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
    if bytes <= max_bytes && files.len() <= max_files {
        return Ok(());
    }
    files.sort();
    let mut left = files.len();
    for (_, length, path) in &files {
        if bytes <= max_bytes / 2 && left <= max_files / 2 {
            break;
        }
        told(fs::remove_file(path), path);
        bytes -= length;
        left -= 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_content_is_verified_each_time_it_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = Memory::open(folder.path()).expect("opens");
        let digest = sha256(b"content");
        assert_eq!(memory.get(&digest), None);
        memory.put(&digest, b"content");
        assert_eq!(memory.get(&digest).as_deref(), Some(&b"content"[..]));

        let path = memory.contents.join(file_name(&digest));
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&path, b"c0ntent").expect("written");
        assert_eq!(memory.get(&digest), None);
        assert!(!path.exists(), "a wrong content is removed");
    }

    #[test]
    fn a_memory_that_cannot_be_written_is_a_miss() {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = Memory::open(folder.path()).expect("opens");
        fs::remove_dir_all(folder.path()).expect("removed");
        memory.put(&sha256(b"x"), b"x");
        assert_eq!(memory.get(&sha256(b"x")), None);
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let folder = tempfile::tempdir().expect("a folder");
        for age in 0..10_u64 {
            let path = folder.path().join(age.to_string());
            fs::write(&path, [0; 10]).expect("written");
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 - age);
            File::open(&path)
                .expect("there")
                .set_modified(time)
                .expect("set");
        }
        bound(folder.path(), 100, 10).expect("within bounds");
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 10);
        bound(folder.path(), 99, 10).expect("bounded");
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .expect("read")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("a digit")
            })
            .collect();
        left.sort();
        assert_eq!(left, ["0", "1", "2", "3"]);
    }
}
