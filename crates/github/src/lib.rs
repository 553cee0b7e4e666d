//! A store in GitHub's own cache.
//!
//! The service knows entries that are written once, finds the newest whose key begins with some name, and counts new
//! ones: 200 a minute. It lists nothing, and removes what it likes. So
//!
//! - objects that are named by their content are put together in **bundles**, an entry each;
//! - every other object is an entry of its own, and says what was before it in its folder (`entry`);
//! - the entry of a document says where everything is that the document names. It counts only as long as all these
//!   bundles are there: to ask that is to ask for their URLs, once each, all at once.
//!
//! What a save has put is held here until its bundle is full, or its document is written.

mod bundles;
mod entry;
mod service;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use futures_util::stream::BoxStream;
use http::Extensions;
use object_store::client::HttpClient;
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use parking_lot::Mutex;

use self::bundles::Table;
use self::entry::{BEFORE_MAX, Header};
use self::service::Service;

/// Entries that are remembered: those of a ladder.
const ENTRIES_MAX: usize = 128;
/// Where documents are.
const DOCUMENTS: [&str; 2] = ["v1/snapshots/", "v1/archives/"];

/// The store. Clones are the same one.
#[derive(Debug, Clone)]
pub struct GitHub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: Service,
    /// What all our keys begin with.
    root: String,
    is_content: fn(&str) -> bool,
    table: Mutex<Table>,
    /// Entries that were read, or were found missing something.
    entries: Mutex<HashMap<String, Option<Entry>>>,
    /// What the document names that is written next.
    named: Mutex<Option<Header>>,
}

/// An object that is no bundle's.
#[derive(Debug, Clone)]
struct Entry {
    before: Vec<String>,
    /// None if something is gone of what it needs.
    content: Option<Bytes>,
}

impl GitHub {
    /// The store of a job with this token, whose keys begin with a name. `is_content` says of a path whether it names
    /// its object's content.
    pub fn new(
        client: HttpClient,
        url: &str,
        token: String,
        name: &str,
        is_content: fn(&str) -> bool,
    ) -> Self {
        let root = match name {
            "" => "larder/".to_owned(),
            name => format!("{name}/"),
        };
        Self(Arc::new(Inner {
            service: Service::new(client, url, token, root.clone()),
            root,
            is_content,
            table: Mutex::default(),
            entries: Mutex::default(),
            named: Mutex::default(),
        }))
    }

    /// Says what the document names that is written next, and stores all of it that is held here.
    pub async fn settle(&self, names: &BTreeSet<String>) -> Result<()> {
        let header = self.gather(names).await?;
        *self.0.named.lock() = Some(header);
        Ok(())
    }

    async fn entry(&self, path: &str) -> Result<Option<Entry>> {
        if let Some(known) = self.0.entries.lock().get(path) {
            return Ok(known.clone());
        }
        let entry = self.read_entry(path).await?;
        let mut entries = self.0.entries.lock();
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(path.to_owned(), entry.clone());
        Ok(entry)
    }

    /// An entry, with its object if all is there that it says to be in bundles.
    async fn read_entry(&self, path: &str) -> Result<Option<Entry>> {
        let service = &self.0.service;
        let Some(key) = service.key(path).await? else {
            return Ok(None);
        };
        let Some(bytes) = service.read(&key, None).await? else {
            return Ok(None);
        };
        let Some((header, content)) = Header::decode(&self.0.root, self.0.is_content, &bytes)
        else {
            tracing::warn!(key, "an entry of the cache is not understood");
            return Ok(None);
        };
        let there = header.bundles.iter().map(|(key, _)| service.holds(key));
        let there = try_join_all(there).await?;
        let gone = there.iter().position(|is_there| !is_there);
        match gone {
            Some(gone) => {
                let bundle = &header.bundles[gone].0;
                tracing::warn!(key, bundle, "GitHub has removed what a document needs");
            }
            None => self.0.table.lock().learn(&header),
        }
        Ok(Some(Entry {
            before: header.before,
            content: gone.is_none().then_some(content),
        }))
    }

    /// The newest names in a folder, as far as its newest entry knows them; and those of folders in it.
    async fn names(&self, folder: &str) -> Result<(Vec<String>, Option<String>)> {
        let newest = self.0.service.newest(folder).await?;
        let newest = newest.as_deref().and_then(|name| name.strip_prefix(folder));
        let Some(name) = newest else {
            return Ok((Vec::new(), None));
        };
        if let Some((below, _)) = name.split_once('/') {
            return Ok((Vec::new(), Some(below.to_owned())));
        }
        let entry = self.entry(&format!("{folder}{name}")).await?;
        let before = entry.map(|entry| entry.before).unwrap_or_default();
        let mut names = vec![name.to_owned()];
        names.extend(before.into_iter().filter(|other| other != name));
        Ok((names, None))
    }

    async fn put_entry(&self, path: &str, content: PutPayload) -> Result<()> {
        let is_document = DOCUMENTS.iter().any(|folder| path.starts_with(folder));
        let named = self.0.named.lock().clone().filter(|_| is_document);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let (mut before, _) = self.names(&format!("{folder}/")).await?;
        before.truncate(BEFORE_MAX);
        let mut header = named.unwrap_or_default();
        header.before = before;
        let entry = header.encode(&Bytes::from(content));
        self.0.service.create(path, entry.into()).await?;
        if is_document {
            self.0.named.lock().take();
        }
        Ok(())
    }

    /// The bytes of an object, or a range of them, and how many it has.
    async fn read(&self, path: &str, range: Option<&GetRange>) -> Result<Option<Read>> {
        if !(self.0.is_content)(path) {
            let entry = self.entry(path).await?;
            let content = entry.and_then(|entry| entry.content);
            return content.map(|content| part(&content, range)).transpose();
        }
        let (place, held) = self.0.table.lock().find(path);
        if let Some(held) = held {
            return part(&held, range).map(Some);
        }
        let Some(place) = place else {
            return Ok(None);
        };
        let wanted = bounded(range, place.bytes)?;
        let (start, end) = (place.offset + wanted.start, place.offset + wanted.end);
        let bytes = self.0.service.read(&place.bundle, Some(start..end)).await?;
        Ok(bytes.map(|bytes| Read {
            size: place.bytes,
            range: wanted,
            bytes,
        }))
    }

    fn size(&self, path: &str) -> Option<u64> {
        let (place, held) = self.0.table.lock().find(path);
        let held = held.map(|held| held.len() as u64);
        held.or(place.map(|place| place.bytes))
    }
}

struct Read {
    size: u64,
    range: Range<u64>,
    bytes: Bytes,
}

fn part(content: &Bytes, range: Option<&GetRange>) -> Result<Read> {
    let size = content.len() as u64;
    let range = bounded(range, size)?;
    Ok(Read {
        size,
        bytes: content.slice(range.start as usize..range.end as usize),
        range,
    })
}

/// What of a range an object has.
fn bounded(range: Option<&GetRange>, size: u64) -> Result<Range<u64>> {
    let wanted = match range {
        None => 0..size,
        Some(GetRange::Bounded(range)) => range.start..range.end.min(size),
        Some(GetRange::Offset(start)) => *start..size,
        Some(GetRange::Suffix(bytes)) => size.saturating_sub(*bytes)..size,
    };
    if wanted.start < wanted.end || size == 0 {
        Ok(wanted)
    } else {
        Err(service::unclear(format!("it has {size} bytes")))
    }
}

#[allow(clippy::default_trait_access)] // the type of the time is of no crate that we name
fn meta(location: &Path, size: u64) -> ObjectMeta {
    ObjectMeta {
        location: location.clone(),
        last_modified: Default::default(),
        size,
        e_tag: None,
        version: None,
    }
}

/// What the service has no method for.
fn lacks(operation: &str) -> Error {
    Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: "GitHub's cache".to_owned(),
    }
}

#[async_trait]
impl ObjectStore for GitHub {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        _: PutOptions,
    ) -> Result<PutResult> {
        let path = location.as_ref();
        if (self.0.is_content)(path) {
            self.hold(path, payload.into()).await?;
        } else {
            self.put_entry(path, payload).await?;
        }
        Ok(PutResult {
            e_tag: None,
            version: None,
            extensions: Extensions::default(),
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let path = location.as_ref();
        let known = self.size(path).filter(|_| options.head);
        let read = match known {
            Some(size) => Some(Read {
                size,
                range: 0..size,
                bytes: Bytes::new(),
            }),
            None => self.read(path, options.range.as_ref()).await?,
        };
        let Some(Read { size, range, bytes }) = read else {
            return Err(Error::NotFound {
                path: path.to_owned(),
                source: "it is not in GitHub's cache".into(),
            });
        };
        let stream = futures_util::stream::iter([Ok(bytes)]);
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream.boxed()),
            meta: meta(location, size),
            range,
            attributes: Attributes::default(),
            extensions: Extensions::default(),
        })
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(lacks("upload in parts"))
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        futures_util::stream::iter([Err(lacks("remove"))]).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        futures_util::stream::iter([Err(lacks("list"))]).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(lacks("list"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(lacks("copy"))
    }
}

#[async_trait]
impl PaginatedListStore for GitHub {
    /// As far as the newest entry of a folder tells.
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        _: PaginatedListOptions,
    ) -> Result<PaginatedListResult> {
        let folder = prefix.unwrap_or_default();
        let (names, below) = self.names(folder).await?;
        let objects = names
            .iter()
            .map(|name| meta(&Path::from(format!("{folder}{name}")), 0));
        let below = below.map(|below| Path::from(format!("{folder}{below}")));
        let result = ListResult {
            common_prefixes: below.into_iter().collect(),
            objects: objects.collect(),
            extensions: Extensions::default(),
        };
        let page_token = None;
        Ok(PaginatedListResult { result, page_token })
    }
}

impl fmt::Display for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GitHub's cache")
    }
}
