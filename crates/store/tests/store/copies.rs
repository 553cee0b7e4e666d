//! Copies of the newest documents, in a real S3 server.

use larder_model::address::{self, Kind};
use larder_model::document::Document as _;
use larder_model::ladder::Rung;
use larder_model::mark::Fault;
use larder_model::snapshot::Snapshot;
use larder_store::catalog::{self, Walk};
use larder_store::{EncryptKey, Keys, Objects};

use crate::catalogue::{lineage, reader, snapshot};
use crate::moto::Server;

const BUCKET: &str = "cache";
/// A copy that comes late is not waited for, so that one walk alone may not have it.
const WALKS: usize = 50;

/// The time of the snapshot that a walk finds.
async fn found(objects: &Objects) -> Option<u64> {
    let reader = reader("here", "main");
    let ladder = vec![Rung::Lineage(lineage("main", "build"))];
    let walk = Walk::<Snapshot>::new(objects, ladder, &reader);
    let walked = walk.first(async |found| Ok(found.document.created_ms));
    walked.await.outcome.expect("a listing")
}

async fn published(objects: &Objects, at: u64) -> Snapshot {
    let document = snapshot(lineage("main", "build"), at);
    let published = catalog::publish(objects, &document).await;
    published.expect("published");
    document
}

fn path_of(document: &Snapshot) -> String {
    document.path(document.encode().0)
}

fn copy_path() -> String {
    address::newest(Kind::Snapshot, &lineage("main", "build"))
}

/// Whether some walk finds a document, its marks taken away before each.
async fn is_found_by_some_walk(objects: &Objects, document: &Snapshot) -> bool {
    for _ in 0..WALKS {
        if found(objects).await == Some(document.created_ms) {
            return true;
        }
        let marks = objects.walk(&address::all_marks(), 10).await;
        let marks = marks.expect("a listing");
        objects.delete(&marks).await.expect("taken away");
    }
    false
}

async fn a_copy_is_as_good_as_its_document(objects: &Objects) {
    published(objects, 1).await;
    let newest = published(objects, 2).await;
    let copy = objects.get_copy(&copy_path(), Snapshot::MAX_BYTES).await;
    assert_eq!(copy.as_deref(), Some(&*newest.encode().1));
    let spoiled = objects.put(&path_of(&newest), "rubbish").await;
    spoiled.expect("written over");
    assert!(is_found_by_some_walk(objects, &newest).await);
}

#[tokio::test]
async fn a_copy_that_comes_with_the_listing_is_read_instead_of_the_document() {
    let server = Server::start(BUCKET, u32::MAX);
    a_copy_is_as_good_as_its_document(&server.open(BUCKET, "key", "secret")).await;
}

#[tokio::test]
async fn in_a_sealed_store_too() {
    let server = Server::start(BUCKET, u32::MAX);
    let key = EncryptKey::generate().expect("a key");
    let sealed = server.open(BUCKET, "key", "secret").with_keys(Keys {
        encrypt: Some(key),
        ..Keys::default()
    });
    a_copy_is_as_good_as_its_document(&sealed).await;
}

#[tokio::test]
async fn a_copy_says_nothing_of_what_there_is() {
    let server = Server::start(BUCKET, u32::MAX);
    let objects = server.open(BUCKET, "key", "secret");
    let old = published(&objects, 1).await;
    let newest = published(&objects, 2).await;
    let rubbish = [
        "rubbish".into(),
        old.encode().1,
        vec![b' '; 2 * Snapshot::MAX_BYTES],
    ];
    for copy in rubbish {
        objects.put_copy(&copy_path(), copy.into()).await;
        assert_eq!(found(&objects).await, Some(2), "another copy");
    }
    objects
        .put_copy(&copy_path(), newest.encode().1.into())
        .await;
    let reader = reader("here", "main");
    let id = newest.encode().0;
    reader.mark(&objects, id, Fault::Damage, "test").await;
    assert_eq!(found(&objects).await, Some(1), "it is marked");
    let paths = [path_of(&newest), path_of(&old)];
    objects.delete(&paths[..1]).await.expect("removed");
    assert_eq!(found(&objects).await, Some(1), "it was removed");
    objects.delete(&paths[1..]).await.expect("removed");
    assert_eq!(found(&objects).await, None, "all were");
}
