//! A real S3 server: what it answers when something is wrong, as people are told it.

use std::time::{Duration, Instant};

use larder_store::{Location, Objects, StoreError};

use crate::moto::Server;

const SECRET: &str = "kept-between-us-4711";
/// The name has "range" in it on purpose: what a store is called says nothing about its objects.
const BUCKET: &str = "orange-cache";

/// What people are told by each kind of request. None of it is damage, and none shows a secret.
async fn told(objects: &Objects) -> Vec<String> {
    let errors = [
        objects.put("v1/packs/aa/x", "x").await.expect_err("no put"),
        objects.get("v1/maps/x", 10).await.expect_err("no get"),
        objects
            .get_range("v1/packs/aa/x", 3..9)
            .await
            .expect_err("no range"),
        objects
            .first_names("v1/snapshots", "", 1)
            .await
            .expect_err("no names"),
        objects.walk("v1", 1).await.expect_err("no walk"),
    ];
    let told = errors.iter().map(|error| {
        let said = error.to_string();
        assert!(!error.is_damage(), "{said}");
        assert!(matches!(error, StoreError::Failed { .. }), "{error:?}");
        for secret in [SECRET, "Signature=", "StringToSign", "<", "AKIA"] {
            assert!(!said.contains(secret), "{secret} in {said}");
        }
        said
    });
    told.collect()
}

fn assert_all_say(told: &[String], code: &str, cure: &str) {
    for said in told {
        assert!(
            said.contains(&format!("{code}: ")) && said.contains(cure),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_bucket_that_is_missing_is_no_empty_store() {
    let server = Server::start(BUCKET, u32::MAX);
    let told = told(&server.open("another", "key", SECRET)).await;
    assert_all_say(&told, "NoSuchBucket", "create it");
}

#[tokio::test]
async fn credentials_that_are_refused_say_why() {
    let server = Server::start(BUCKET, 3);
    let (key, secret) = server.user("job");
    let unknown = told(&server.open(BUCKET, "AKIA0000000000000000", SECRET)).await;
    assert_all_say(&unknown, "InvalidAccessKeyId", "check AWS_ACCESS_KEY_ID");
    let wrong = told(&server.open(BUCKET, &key, SECRET)).await;
    assert_all_say(&wrong, "SignatureDoesNotMatch", "check the secret");
    let powerless = server.open(BUCKET, &key, &secret);
    assert_all_say(
        &told(&powerless).await,
        "AccessDenied",
        "allow these credentials",
    );
    // The answer to this one is 200, with a refusal for each object in it.
    let begun = Instant::now();
    let deleted = powerless.delete(&["v1/packs/aa/x".to_owned()]).await;
    let refused = deleted.expect_err("no delete").to_string();
    assert_all_say(&[refused], "AccessDenied", "to delete objects");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn an_object_that_was_cut_short_is_damaged() {
    let server = Server::start(BUCKET, u32::MAX);
    let objects = server.open(BUCKET, "key", SECRET);
    objects
        .put("v1/packs/aa/x", "0123456789")
        .await
        .expect("stored");
    let whole = objects.get_range("v1/packs/aa/x", 4..10).await;
    assert_eq!(whole.expect("whole"), "456789");
    assert_cut(&objects).await;
    let missing = objects.get_range("v1/packs/aa/y", 0..1).await;
    let missing = missing.expect_err("it is not there");
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
}

/// Ranges that begin before the end of ten bytes, at it and after it.
async fn assert_cut(objects: &Objects) {
    for range in [4..11, 10..12, 3000..4000] {
        let error = objects.get_range("v1/packs/aa/x", range).await;
        let error = error.expect_err("it is cut short");
        assert!(
            error.is_damage() && error.to_string().contains("10 of "),
            "{error}"
        );
    }
}

#[tokio::test]
async fn in_a_folder_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = Location::folder(folder.path()).open(&[]).expect("a store");
    objects
        .put("v1/packs/aa/x", "0123456789")
        .await
        .expect("stored");
    assert_cut(&objects).await;
}
