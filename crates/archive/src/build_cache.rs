//! `BuildKit`'s cache in a folder (`--cache-to type=local`): an OCI image layout, saved blob by blob
//! and made again.
//!
//! Only what `index.json` leads to is saved: a directory that is written to again and again keeps old
//! blobs. The names of restored files are made of digests alone, which are checked to be digests. Nothing
//! else that the store says becomes part of a path.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _, stream};
use larder_local::files::{check_public, make_folder_of_user, write_public};
use larder_model::hex;
use larder_store::{ArchiveReader, ArchiveWriter};
use serde_json::Value;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::document::{CacheFolder, blob_name};
use crate::{ArchiveError, Result};

/// `BuildKit` refuses to read longer ones (`cache/remotecache/import.go`, `readBlob`).
const DOCUMENT_MAX_BYTES: u64 = 1 << 20;
/// More blobs than engines have layers, many times over.
const BLOBS_MAX: usize = 10_000;
/// Bytes that are read of a file at once.
const PIECE_BYTES: usize = 256 * 1024;
/// The file that says which version of the layout a folder has (OCI image specification,
/// `image-layout.md`).
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// Stores what the folder's index leads to; what the store holds is not read.
pub(crate) async fn save(folder: &Path, writer: &mut ArchiveWriter) -> Result<CacheFolder> {
    let index = document(&folder.join("index.json")).await?;
    let digests = reachable(folder, &index).await?;
    for digest in &digests {
        let (path, name) = (file(folder, digest), blob_name(digest));
        let size = size(&path).await?;
        if writer.has(&name) == Some(size) && writer.keep(&name) {
            continue;
        }
        let opened = File::open(&path)
            .await
            .map_err(ArchiveError::cache(&path))?;
        writer.blob(&name, size, pieces(opened)).await?;
    }
    Ok(CacheFolder {
        index,
        blobs: digests.into_iter().collect(),
    })
}

/// Makes the folder again: how many bytes of blobs.
pub(crate) async fn restore(
    kept: &CacheFolder,
    reader: &ArchiveReader,
    folder: &Path,
) -> Result<u64> {
    let blobs = folder.join("blobs/sha256");
    // Who builds may be the user on whose behalf root restores.
    make_folder_of_user(&blobs, 0o700).map_err(ArchiveError::cache(&blobs))?;
    let mut bytes = 0;
    for digest in &kept.blobs {
        let path = file(folder, digest);
        let mut blob = reader
            .blob(&blob_name(digest))
            .ok_or_else(|| ArchiveError::Lacking(digest.clone()))?;
        check_public(&path).map_err(ArchiveError::cache(&path))?;
        let created = File::create(&path).await;
        let mut written = created.map_err(ArchiveError::cache(&path))?;
        while let Some(piece) = blob.try_next().await? {
            let result = written.write_all(&piece).await;
            result.map_err(ArchiveError::cache(&path))?;
            bytes += piece.len() as u64;
        }
        written.flush().await.map_err(ArchiveError::cache(&path))?;
    }
    // The index last: without it the folder is no cache.
    for (name, text) in [("oci-layout", LAYOUT), ("index.json", &kept.index)] {
        let path = folder.join(name);
        write_public(&path, text.as_bytes()).map_err(ArchiveError::cache(&path))?;
    }
    Ok(bytes)
}

/// The digests of all blobs that an index leads to. Blobs that are missing are left out: `BuildKit`
/// names base layers that it did not need to store.
async fn reachable(folder: &Path, index: &str) -> Result<BTreeSet<String>> {
    let mut open = named(index);
    let mut all = BTreeSet::new();
    while let Some((digest, is_document)) = open.pop() {
        let path = file(folder, &digest);
        if all.contains(&digest) || !tokio::fs::try_exists(&path).await.unwrap_or(false) {
            continue;
        }
        if is_document {
            open.extend(named(&document(&path).await?));
        }
        all.insert(digest);
        if all.len() > BLOBS_MAX {
            let why = format!("has more than {BLOBS_MAX} blobs");
            return Err(ArchiveError::NoCache(folder.to_owned(), why));
        }
    }
    Ok(all)
}

/// The digests that an index or a manifest names, and whether each is one of these itself.
fn named(document: &str) -> Vec<(String, bool)> {
    let Ok(document) = serde_json::from_str::<Value>(document) else {
        return Vec::new();
    };
    let lists = ["manifests", "layers"]
        .iter()
        .filter_map(|list| document[*list].as_array());
    let descriptors = lists.flatten().chain(document.get("config"));
    descriptors.filter_map(digest).collect()
}

fn digest(descriptor: &Value) -> Option<(String, bool)> {
    let digest = descriptor["digest"].as_str()?.strip_prefix("sha256:")?;
    let kind = descriptor["mediaType"].as_str().unwrap_or_default();
    let is_document = kind.contains("manifest") || kind.contains("image.index");
    hex::decode::<32>(digest)?;
    Some((digest.to_owned(), is_document))
}

fn file(folder: &Path, digest: &str) -> PathBuf {
    folder.join(blob_name(digest))
}

/// The size of a file of the cache. The folder may be part of a checkout, and no link in it leads us to a file
/// that would then be in the store.
async fn size(path: &Path) -> Result<u64> {
    check_public(path).map_err(ArchiveError::cache(path))?;
    let found = tokio::fs::metadata(path).await;
    Ok(found.map_err(ArchiveError::cache(path))?.len())
}

async fn document(path: &Path) -> Result<String> {
    let size = size(path).await?;
    if size > DOCUMENT_MAX_BYTES {
        let why = format!("has {size} bytes");
        return Err(ArchiveError::NoCache(path.to_owned(), why));
    }
    let text = tokio::fs::read_to_string(path).await;
    text.map_err(ArchiveError::cache(path))
}

fn pieces(file: File) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(file, |mut file| async move {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let mut limited = (&mut file).take(PIECE_BYTES as u64);
        let read = limited.read_to_end(&mut piece).await?;
        Ok((read > 0).then(|| (Bytes::from(piece), file)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_documents_name_is_found() {
        let digest = |digit: &str| digit.repeat(64);
        let text = serde_json::json!({
            "manifests": [
                { "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": format!("sha256:{}", digest("a")) },
                { "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": format!("sha256:{}", digest("b")) },
                { "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "sha256:../../../etc/passwd" },
            ],
            "config": { "mediaType": "application/vnd.buildkit.cacheconfig.v0", "digest": format!("sha256:{}", digest("c")) },
        });
        let found = named(&text.to_string());
        let expected = [("a", true), ("b", false), ("c", false)];
        assert_eq!(found, expected.map(|(digit, is)| (digest(digit), is)));
        assert_eq!(named("not JSON"), []);
    }

    #[tokio::test]
    async fn no_link_of_a_checkout_leads_out_of_the_cache() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("repo/cache");
        std::fs::create_dir_all(folder.join("blobs/sha256")).expect("made");
        std::fs::create_dir(root.path().join("repo/.git")).expect("made");
        std::fs::write(root.path().join("secret"), "topsecret").expect("written");
        let blob = file(&folder, &"a".repeat(64));
        std::os::unix::fs::symlink(root.path().join("secret"), &blob).expect("linked");
        let error = size(&blob).await.expect_err("it leads out");
        assert!(error.to_string().contains("leads out of"), "{error}");
        std::os::unix::fs::symlink("blobs", folder.join("b")).expect("linked");
        let error = document(&blob).await.expect_err("it leads out");
        assert!(error.to_string().contains("leads out of"), "{error}");
        std::fs::remove_file(&blob).expect("removed");
        std::fs::write(&blob, "{}").expect("written");
        assert_eq!(
            size(&folder.join("b/sha256").join("a".repeat(64)))
                .await
                .expect("within"),
            2
        );
    }
}
