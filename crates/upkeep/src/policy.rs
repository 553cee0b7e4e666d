//! What a job must be allowed to do to a store in a cloud, and no more, in the words of that cloud.
//!
//! A trusted job reads, writes and removes everything in the store. An untrusted one reads what its project saved, and
//! creates: objects that are named by their content, and documents and marks of its own scope. It removes and replaces
//! nothing. So no scope but its own ever holds what it wrote; and an object that it stores under another's name is not
//! what its digest says, so that is found.

use std::collections::BTreeSet;

use larder_model::address::{self, Kind, segment};
use larder_store::{Objects, StoreError};
use serde_json::{Value, json};

/// Kinds of engines that one project has.
const COMPATIBILITIES_MAX: usize = 32;

/// What is allowed, as beginnings of names in a bucket; `*` stands for one folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// May be read.
    pub read: Vec<String>,
    /// May be listed.
    pub list: Vec<String>,
    /// May be created, but not replaced.
    pub create: Vec<String>,
    /// May be written and removed.
    pub change: Vec<String>,
}

/// Whose a policy is.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// The project.
    pub project: &'a str,
    /// The scope that an untrusted job has; nothing for a trusted one.
    pub untrusted: Option<&'a str>,
}

/// Where things are in a bucket.
struct Bucket<'a> {
    objects: &'a Objects,
    prefix: &'a str,
}

impl Bucket<'_> {
    async fn folder(&self, path: &str) -> Result<String, StoreError> {
        let stored = self.objects.stored_folder(path).await?;
        Ok(format!("{}/", in_bucket(self.prefix, &stored)))
    }
}

impl Grants {
    /// What a job of this kind needs in a store whose names in its bucket begin with `prefix`. An untrusted one may save
    /// for engines whose state the project has there.
    pub async fn of(objects: &Objects, prefix: &str, whose: Whose<'_>) -> Result<Self, StoreError> {
        let bucket = Bucket { objects, prefix };
        let keys = in_bucket(prefix, larder_model::sealed::RING);
        match whose.untrusted {
            None => Self::trusted(&bucket, keys).await,
            Some(scope) => Self::untrusted(&bucket, keys, whose.project, scope).await,
        }
    }

    async fn trusted(bucket: &Bucket<'_>, keys: String) -> Result<Self, StoreError> {
        let all = vec![bucket.folder(address::FORMAT).await?];
        let keys = (!keys.starts_with(&all[0])).then_some(keys);
        Ok(Self {
            read: all.iter().cloned().chain(keys).collect(),
            list: all.clone(),
            create: Vec::new(),
            change: all,
        })
    }

    async fn untrusted(
        bucket: &Bucket<'_>,
        keys: String,
        project: &str,
        scope: &str,
    ) -> Result<Self, StoreError> {
        let mut grants = Self {
            read: vec![keys],
            ..Self::default()
        };
        for kind in address::CONTENT {
            let folder = bucket
                .folder(&format!("{}/{kind}", address::FORMAT))
                .await?;
            grants.read.push(folder.clone());
            grants.create.push(folder);
        }
        for folder in [
            address::project(Kind::Snapshot, project),
            address::project(Kind::Archive, project),
            address::images(project),
            address::all_marks(),
            address::sweeps(),
        ] {
            let folder = bucket.folder(&folder).await?;
            grants.read.push(folder.clone());
            grants.list.push(folder);
        }
        for folder in own_folders(bucket.objects, project, scope).await? {
            grants.create.push(bucket.folder(&folder).await?);
        }
        // The folder of a document's marks is its id.
        let own = bucket.folder(&address::marks("id", scope)).await?;
        let own = own.trim_end_matches('/').rsplit('/').next();
        let marks = bucket.folder(&address::all_marks()).await?;
        let own = own.expect("marks are in folders");
        grants.create.push(format!("{marks}*/{own}/"));
        Ok(grants)
    }
}

impl Grants {
    /// Whether the project has nothing in the store, so that an untrusted job may save no document.
    pub fn is_for_no_engine(&self) -> bool {
        self.change.is_empty() && self.create.len() == address::CONTENT.len() + 1
    }
}

fn in_bucket(prefix: &str, stored: &str) -> String {
    match prefix {
        "" => stored.to_owned(),
        _ => format!("{prefix}/{stored}"),
    }
}

/// The folders of a scope's documents, for each kind of engine that the project has something of.
async fn own_folders(
    objects: &Objects,
    project: &str,
    scope: &str,
) -> Result<Vec<String>, StoreError> {
    let projects = Kind::ALL.map(|kind| address::project(kind, project));
    let mut compatibilities = BTreeSet::new();
    for project in &projects {
        compatibilities.extend(objects.folders(project, COMPATIBILITIES_MAX).await?);
    }
    let scope = &segment(scope);
    let folders = projects.iter().flat_map(|project| {
        let own = compatibilities.iter();
        own.map(move |compatibility| format!("{project}/{compatibility}/{scope}"))
    });
    Ok(folders.collect())
}

/// A policy of AWS, and of servers that speak its protocol ("Policies and permissions in Amazon S3").
pub fn s3(grants: &Grants, bucket: &str) -> Value {
    let listed: Vec<String> = grants.list.iter().map(|name| with_star(name)).collect();
    let mut statements = vec![
        json!({
            "Sid": "LarderList", "Effect": "Allow", "Action": ["s3:ListBucket"],
            "Resource": [format!("arn:aws:s3:::{bucket}")],
            "Condition": { "StringLike": { "s3:prefix": listed } },
        }),
        json!({
            "Sid": "LarderRead", "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": arns(bucket, &grants.read),
        }),
    ];
    if !grants.create.is_empty() {
        // "Enforce conditional writes on Amazon S3 buckets": nothing that is there is replaced.
        statements.push(json!({
            "Sid": "LarderCreate", "Effect": "Allow", "Action": ["s3:PutObject"], "Resource": arns(bucket, &grants.create),
            "Condition": { "Null": { "s3:if-none-match": "false" } },
        }));
    }
    if !grants.change.is_empty() {
        statements.push(json!({
            "Sid": "LarderChange", "Effect": "Allow", "Action": ["s3:PutObject", "s3:DeleteObject"],
            "Resource": arns(bucket, &grants.change),
        }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn arns(bucket: &str, names: &[String]) -> Vec<String> {
    let names = names.iter().map(|name| with_star(name));
    let arns = names.map(|name| format!("arn:aws:s3:::{bucket}/{name}"));
    arns.collect()
}

/// A name that begins so; one that is no folder is a whole name.
fn with_star(name: &str) -> String {
    let star = if name.ends_with('/') { "*" } else { "" };
    format!("{name}{star}")
}

/// Bindings of a bucket of Google's, for `gcloud storage buckets set-iam-policy` ("Overview of IAM Conditions", "Attribute
/// reference"): each has one beginning, as conditions may not be long. Who may only create does not replace, because
/// that needs the permission to delete.
pub fn gcs(grants: &Grants, bucket: &str) -> Value {
    let mut bindings = Vec::new();
    for (verb, role, names) in [
        ("read", "objectViewer", &grants.read),
        ("create", "objectCreator", &grants.create),
        ("change", "objectUser", &grants.change),
    ] {
        bindings.extend(names.iter().map(|name| {
            let title = format!("larder {verb} {name}");
            binding(role, &title, &begins(bucket, name))
        }));
    }
    bindings.extend(grants.list.iter().map(|name| {
        let attribute = "api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \"\")";
        let expression = format!("{attribute}.startsWith(\"{name}\")");
        binding("objectViewer", &format!("larder list {name}"), &expression)
    }));
    json!({ "version": 3, "bindings": bindings })
}

fn binding(role: &str, title: &str, expression: &str) -> Value {
    json!({
        "role": format!("roles/storage.{role}"), "members": ["PRINCIPAL"],
        "condition": { "title": title, "expression": expression },
    })
}

fn begins(bucket: &str, name: &str) -> String {
    let objects = format!("projects/_/buckets/{bucket}/objects/");
    match name.split_once("/*/") {
        None if name.ends_with('/') => format!("resource.name.startsWith(\"{objects}{name}\")"),
        None => format!("resource.name == \"{objects}{name}\""),
        Some((before, after)) => format!(
            "resource.name.startsWith(\"{objects}{before}/\") && \
             resource.name.extract(\"{objects}{before}/{{folder}}/{after}\") != \"\""
        ),
    }
}

/// Role assignments of a container of Azure's, each a role's actions on data and the condition of its assignment ("Azure
/// role assignment condition format and syntax"). Who may only add does not replace.
pub fn azure(grants: &Grants, container: &str) -> Value {
    let path = format!("Resource[{BLOBS}:path]");
    let prefix = format!("Request[{BLOBS}:prefix]");
    let assignments = [
        ("read", &["read"][..], &path, &grants.read),
        ("list", &["read"], &prefix, &grants.list),
        ("create", &["add/action"], &path, &grants.create),
        (
            "change",
            &["add/action", "write", "delete"],
            &path,
            &grants.change,
        ),
    ];
    let assignments = assignments.iter().filter(|(.., names)| !names.is_empty());
    let assignments = assignments.map(|(what, actions, attribute, names)| {
        let actions = actions.iter().map(|action| format!("{BLOBS}/{action}"));
        let names = names.iter().map(|name| with_star(name));
        let paths = names.map(|name| format!("@{attribute} StringLike '{name}'"));
        let paths = paths.collect::<Vec<_>>().join(" OR ");
        json!({
            "role": format!("larder {what}"), "dataActions": actions.collect::<Vec<_>>(), "conditionVersion": "2.0",
            "condition": format!("(@Resource[{CONTAINER}] StringEquals '{container}' AND ({paths}))"),
        })
    });
    json!({ "assignments": assignments.collect::<Vec<_>>() })
}

const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
const CONTAINER: &str = "Microsoft.Storage/storageAccounts/blobServices/containers:name";

#[cfg(test)]
mod tests {
    use larder_model::digest::SnapshotId;
    use larder_model::lineage::Lineage;
    use larder_store::{EncryptKey, Keys, Location};

    use super::*;

    async fn grants(objects: &Objects, untrusted: Option<&str>) -> Grants {
        let whose = Whose {
            project: "shop/web",
            untrusted,
        };
        Grants::of(objects, "ci", whose).await.expect("listed")
    }

    async fn store(key: Option<EncryptKey>) -> (tempfile::TempDir, Objects) {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Location::folder(folder.path()).open(&[]).expect("a store");
        let objects = objects.with_keys(Keys {
            encrypt: key,
            ..Keys::default()
        });
        let lineage = Lineage {
            project: "shop/web".into(),
            compatibility: "linux-docker26".into(),
            scope: "branch/main".into(),
            job: "build".into(),
        };
        let path = address::document(Kind::Snapshot, &lineage, 1, SnapshotId::of(b"x"));
        objects.put(&path, "x").await.expect("stored");
        (folder, objects)
    }

    /// Whether a name begins with one of these.
    fn covers(names: &[String], path: &str) -> bool {
        names.iter().any(|name| match name.split_once("/*/") {
            None => path.starts_with(name.as_str()),
            Some((before, after)) => {
                path.starts_with(before) && path.contains(&format!("/{after}"))
            }
        })
    }

    fn creates(grants: &Grants, path: &str) -> bool {
        covers(&grants.create, &format!("ci/v1/{path}"))
    }

    #[tokio::test]
    async fn an_untrusted_job_creates_in_its_own_scope_alone() {
        let (_folder, objects) = store(None).await;
        let own = grants(&objects, Some("pull/7")).await;
        assert!(own.change.is_empty());
        let snapshots = "snapshots/shop=2fweb/linux-docker26";
        assert!(creates(&own, "packs/3f/3f00") && creates(&own, "maps/3f00"));
        assert!(creates(
            &own,
            &format!("{snapshots}/pull=2f7/build/0-1.json")
        ));
        assert!(creates(
            &own,
            "archives/shop=2fweb/linux-docker26/pull=2f7/build/0-1.json"
        ));
        assert!(creates(&own, "marks/3f/pull=2f7/0-damage-1.json"));
        for other in [
            format!("{snapshots}/branch=2fmain/build/0-1.json"),
            // A job of another scope that is called as the scope is.
            format!("{snapshots}/branch=2fmain/pull=2f7/0-1.json"),
            format!("{snapshots}/pull=2f77/build/0-1.json"),
            "snapshots/other/linux-docker26/pull=2f7/build/0-1.json".into(),
            "marks/3f/branch=2fmain/0-damage-1.json".into(),
            "sweeps/0-1".into(),
            "images/shop=2fweb/0-1".into(),
            "retired/snapshots/x".into(),
        ] {
            assert!(!covers(&own.create, &format!("ci/v1/{other}")), "{other}");
        }
        assert!(
            covers(&own.read, "ci/v1/snapshots/shop=2fweb/x")
                && covers(&own.read, "ci/v1-sealed/keys")
        );
        assert!(!covers(&own.read, "ci/v1/snapshots/other/x"));
        let trusted = grants(&objects, None).await;
        assert_eq!(
            (&*trusted.change, trusted.create.len()),
            (&["ci/v1/".to_owned()][..], 0)
        );
    }

    #[tokio::test]
    async fn in_a_sealed_store_the_names_are_those_that_are_stored() {
        let (folder, objects) = store(Some(EncryptKey::generate().expect("random bytes"))).await;
        let own = grants(&objects, Some("pull/7")).await;
        assert!(own.create.len() == 5 + 2 + 1 && !own.is_for_no_engine());
        let text = format!("{own:?}");
        assert!(
            !text.contains("shop") && !text.contains("pull") && !text.contains("docker26"),
            "{text}"
        );
        objects
            .put("v1/marks/3f/pull=2f7/00-damage-1.json", "x")
            .await
            .expect("stored");
        let path = objects
            .stored_folder("v1/marks/3f/pull=2f7")
            .await
            .expect("known");
        assert!(covers(&own.create[7..], &format!("ci/{path}/x")), "{path}");
        assert!(folder.path().join(path).is_dir());
    }

    #[test]
    fn each_cloud_has_its_words() {
        let grants = Grants {
            read: vec!["ci/v1-sealed/keys".into(), "ci/v1/packs/".into()],
            list: vec!["ci/v1/sweeps/".into()],
            create: vec!["ci/v1/marks/*/pull=2f7/".into()],
            change: Vec::new(),
        };
        let s3 = s3(&grants, "b");
        assert_eq!(
            s3["Statement"][0]["Condition"]["StringLike"]["s3:prefix"][0],
            "ci/v1/sweeps/*"
        );
        assert_eq!(
            s3["Statement"][1]["Resource"][0],
            "arn:aws:s3:::b/ci/v1-sealed/keys"
        );
        assert_eq!(
            s3["Statement"][2]["Resource"][0],
            "arn:aws:s3:::b/ci/v1/marks/*/pull=2f7/*"
        );
        assert_eq!(s3["Statement"].as_array().map(Vec::len), Some(3));
        let gcs = gcs(&grants, "b");
        let bindings = gcs["bindings"].as_array().expect("bindings").iter();
        let conditions: Vec<String> = bindings
            .map(|binding| binding["condition"]["expression"].to_string())
            .collect();
        assert!(conditions[0].contains("== \\\"projects/_/buckets/b/objects/ci/v1-sealed/keys"));
        assert!(conditions[1].contains("startsWith(\\\"projects/_/buckets/b/objects/ci/v1/packs/"));
        assert!(
            conditions[2].contains("{folder}/pull=2f7/"),
            "{}",
            conditions[2]
        );
        assert!(conditions[3].contains("objectListPrefix"));
        let azure = azure(&grants, "c");
        let condition = azure["assignments"][2]["condition"].to_string();
        assert!(
            condition.contains("StringLike 'ci/v1/marks/*/pull=2f7/*'"),
            "{condition}"
        );
    }
}
