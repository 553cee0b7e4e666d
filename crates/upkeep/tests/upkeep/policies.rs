//! Policies as a server enforces them. moto looks at actions and at names, not at conditions, and lets nobody remove several
//! objects at once who may not do so to the whole bucket: that a listing stays in its folders, that nothing is replaced and
//! what may be removed, it cannot show.

use larder_model::address::{self, Kind};
use larder_model::digest::SnapshotId;
use larder_store::{Objects, StoreError};
use larder_upkeep::policy::{Grants, Whose, s3};
use serde_json::Value;

use crate::kit::lineage;
use crate::moto::Server;

const BUCKET: &str = "shop";

/// A user with this policy, and the store with the user's key.
fn open_as(server: &Server, name: &str, policy: &Value) -> Objects {
    let (key, secret) = server.user(name);
    let mut document = String::new();
    for byte in policy.to_string().bytes() {
        document.push('%');
        document.push_str(&larder_model::hex::encode(&[byte]));
    }
    let body = format!(
        "Action=PutUserPolicy&Version=2010-05-08&UserName={name}&PolicyName=larder&PolicyDocument={document}"
    );
    server.administer("iam", "POST /", &body);
    server.open(BUCKET, &key, &secret)
}

/// A policy as moto can take it: it refuses what has a condition.
fn unconditional(mut policy: Value) -> Value {
    let statements = policy["Statement"].as_array_mut().expect("statements");
    for statement in statements {
        let statement = statement.as_object_mut().expect("a statement");
        statement.remove("Condition");
    }
    policy
}

async fn policy(objects: &Objects, untrusted: Option<&str>) -> Value {
    let project = "shop/web";
    let grants = Grants::of(objects, "cache", Whose { project, untrusted }).await;
    unconditional(s3(&grants.expect("listed"), BUCKET))
}

/// Where a document of a scope and a job is.
fn document(scope: &str, job: &str) -> String {
    address::document(
        Kind::Snapshot,
        &lineage(scope, job),
        1,
        SnapshotId::of(b"x"),
    )
}

fn assert_denied<T: std::fmt::Debug>(done: Result<T, StoreError>, what: &str) {
    let error = done.expect_err(what).to_string();
    assert!(
        error.contains("AccessDenied") || error.contains("Forbidden"),
        "{what}: {error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_job_reads_trusted_lineages_and_writes_its_own() {
    let server = Server::start(BUCKET, u32::MAX);
    let admin = server.open(BUCKET, "key", "secret");
    let main = document("branch/main", "build");
    let pack = "v1/packs/3f/3f00";
    let elsewhere = main.replace("shop=2fweb", "other");
    for path in [&*main, &*elsewhere, pack] {
        admin.put(path, "honest").await.expect("stored");
    }
    let [trusted, pull] = [None, Some("pull/7")];
    let trusted = open_as(&server, "trusted", &policy(&admin, trusted).await);
    let pull = open_as(&server, "pull", &policy(&admin, pull).await);
    server.administer("s3", "POST /moto-api/reset-auth", "0");

    assert_eq!(pull.get(&main, 9).await.expect("read"), "honest");
    assert_eq!(pull.get(pack, 9).await.expect("read"), "honest");
    let own = document("pull/7", "build");
    let names = [
        "v1/maps/3f00",
        &*own,
        "v1/marks/3f/pull=2f7/0-damage-1.json",
    ];
    for path in names {
        pull.put(path, "mine").await.expect(path);
        assert_eq!(trusted.get(path, 9).await.expect(path), "mine");
    }
    assert!(pull.folders("v1/snapshots/shop=2fweb", 9).await.is_ok());
    assert_denied(pull.get(&elsewhere, 9).await, "another project's");
    for path in [
        &*document("branch/main", "other"),
        &*document("branch/main", "pull/7"),
        &*document("pull/77", "build"),
        "v1/marks/3f/branch=2fmain/0-damage-1.json",
        "v1/sweeps/0-1",
        "v1-sealed/keys",
    ] {
        assert_denied(pull.put(path, "forged").await, path);
    }
    for path in [&*main, pack, "v1/sweeps/0-1"] {
        trusted.put(path, "newer").await.expect(path);
    }
    assert_denied(
        trusted.put("v1-sealed/keys", "x").await,
        "what is none of a plain store's",
    );
}
