//! Policies as a server enforces them. moto (for Amazon's) looks at actions and at names, not at conditions, and lets nobody
//! remove several objects at once who may not do so to the whole bucket; `clouds` (Google's and Microsoft's) looks at all
//! that is granted: a listing stays in its folders, nothing is replaced.

use larder_model::address::{self, Kind};
use larder_model::digest::SnapshotId;
use larder_store::{Objects, StoreError};
use larder_upkeep::policy::{Grants, Whose, azure, gcs, s3};
use serde_json::Value;

use crate::clouds::{BUCKET, Bucket, Cloud};
use crate::kit::lineage;
use crate::moto::Server;

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

async fn grants(objects: &Objects, untrusted: Option<&str>) -> Grants {
    let project = "shop/web";
    let grants = Grants::of(objects, "cache", Whose { project, untrusted }).await;
    grants.expect("listed")
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

/// What the project, and another one, have saved.
async fn fill(owner: &Objects) -> [String; 3] {
    let main = document("branch/main", "build");
    let elsewhere = main.replace("shop=2fweb", "other");
    let honest = [main, elsewhere, "v1/packs/3f/3f00".to_owned()];
    for path in &honest {
        owner.put(path, "honest").await.expect("stored");
    }
    honest
}

/// What both kinds of job may do and may not, where names and actions are looked at.
async fn assert_tiers(trusted: &Objects, pull: &Objects, [main, elsewhere, pack]: [String; 3]) {
    assert_eq!(pull.get(&main, 9).await.expect("read"), "honest");
    assert_eq!(pull.get(&pack, 9).await.expect("read"), "honest");
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
    let found = pull.folders("v1/snapshots/shop=2fweb", 9).await;
    assert_eq!(found.expect("listed").len(), 1);
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
    for path in [&*main, &*pack, "v1/sweeps/0-1"] {
        trusted.put(path, "newer").await.expect(path);
    }
    assert_denied(
        trusted.put("v1-sealed/keys", "x").await,
        "what is none of a plain store's",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_job_reads_trusted_lineages_and_writes_its_own() {
    let server = Server::start(BUCKET, u32::MAX);
    let owner = server.open(BUCKET, "key", "secret");
    let saved = fill(&owner).await;
    let [trusted, pull] = [
        ("trusted", grants(&owner, None).await),
        ("pull", grants(&owner, Some("pull/7")).await),
    ]
    .map(|(name, grants)| open_as(&server, name, &unconditional(s3(&grants, BUCKET))));
    server.administer("s3", "POST /moto-api/reset-auth", "0");
    assert_tiers(&trusted, &pull, saved).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_does_where_conditions_are_looked_at() {
    for (cloud, policy) in [
        (Cloud::Google, gcs as fn(&Grants, &str) -> Value),
        (Cloud::Microsoft, azure),
    ] {
        let bucket = Bucket::new(cloud);
        let owner = bucket.open_as(None);
        let saved = fill(&owner).await;
        let trusted = bucket.open_as(Some(policy(&grants(&owner, None).await, BUCKET)));
        let scope = Some("pull/7");
        let pull = bucket.open_as(Some(policy(&grants(&owner, scope).await, BUCKET)));
        assert_tiers(&trusted, &pull, saved.clone()).await;
        let [main, elsewhere, pack] = &saved;
        for folder in ["v1/snapshots/other", "v1/snapshots", ""] {
            assert_denied(pull.folders(folder, 9).await, folder);
        }
        let own = &*document("pull/7", "build");
        for path in [&**main, pack, own] {
            assert_denied(pull.put(path, "other").await, path);
            assert_denied(pull.delete(&[path.to_owned()]).await, path);
        }
        // What is there and just the same is stored: two jobs have built the same.
        for path in [pack, own] {
            let there = pull.get(path, 9).await.expect(path);
            pull.put(path, there).await.expect(path);
        }
        let found = owner.get(elsewhere, 9).await;
        assert_eq!(found.expect("untouched"), "honest");
    }
}
