//! Policies as a server enforces them. moto looks at actions and at names, not at conditions, and lets nobody remove several
//! objects at once who may not do so to the whole bucket: that a listing stays in its folders, that nothing is replaced and
//! what may be removed, it cannot show.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use larder_model::address::{self, Kind};
use larder_model::digest::SnapshotId;
use larder_store::{Location, Objects, StoreError};
use larder_upkeep::policy::{Grants, Whose, s3};
use serde_json::Value;

use crate::kit::lineage;

const BUCKET: &str = "shop";
/// moto, which is stopped with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; the test says more about that than this could.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start() -> Self {
        let program = std::env::var("LARDER_TEST_MOTO").expect(
            "the S3 server is missing; `cargo xtask test` installs it and says where it is",
        );
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env("INITIAL_NO_AUTH_ACTION_COUNT", u32::MAX.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let server = Self { child, port };
        let limit = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < limit, "moto does not serve");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// Sends a request as the cloud's administrator.
    fn administer(&self, service: &str, line: &str, body: &str) -> String {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("it serves");
        let kind = match service {
            "iam" => "application/x-www-form-urlencoded",
            _ => "text/plain",
        };
        let request = format!(
            "{line} HTTP/1.0\r\nHost: localhost\r\nAuthorization: AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/\
             {service}/aws4_request, SignedHeaders=host, Signature=x\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        assert!(
            answer
                .lines()
                .next()
                .is_some_and(|line| line.contains("200")),
            "{answer}"
        );
        answer
    }

    /// A user with this policy: id and secret of the key.
    fn user(&self, name: &str, policy: &Value) -> (String, String) {
        let iam = |action: &str, more: &str| {
            let body = format!("Action={action}&Version=2010-05-08&UserName={name}{more}");
            self.administer("iam", "POST /", &body)
        };
        iam("CreateUser", "");
        let mut document = String::new();
        for byte in policy.to_string().bytes() {
            document.push('%');
            document.push_str(&larder_model::hex::encode(&[byte]));
        }
        iam(
            "PutUserPolicy",
            &format!("&PolicyName=larder&PolicyDocument={document}"),
        );
        let made = iam("CreateAccessKey", "");
        let field = |name: &str| {
            let (_, after) = made.split_once(&format!("<{name}>")).expect("a field");
            after.split('<').next().expect("a value").to_owned()
        };
        (field("AccessKeyId"), field("SecretAccessKey"))
    }

    fn open(&self, (key, secret): &(String, String)) -> Objects {
        let settings = [
            (
                "AWS_ENDPOINT_URL",
                &*format!("http://127.0.0.1:{}", self.port),
            ),
            ("AWS_ACCESS_KEY_ID", key),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", "us-east-1"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let location = Location::parse(&format!("s3://{BUCKET}/ci")).expect("a store");
        location.open(&settings).expect("it opens")
    }
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
    let grants = Grants::of(objects, "ci", Whose { project, untrusted }).await;
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
    let server = Server::start();
    server.administer("s3", &format!("PUT /{BUCKET}"), "");
    let admin = server.open(&("key".into(), "secret".into()));
    let main = document("branch/main", "build");
    let pack = "v1/packs/3f/3f00";
    let elsewhere = main.replace("shop=2fweb", "other");
    for path in [&*main, &*elsewhere, pack] {
        admin.put(path, "honest").await.expect("stored");
    }
    let [trusted, pull] = [None, Some("pull/7")];
    let trusted = server.user("trusted", &policy(&admin, trusted).await);
    let pull = server.user("pull", &policy(&admin, pull).await);
    server.administer("s3", "POST /moto-api/reset-auth", "0");
    let (trusted, pull) = (server.open(&trusted), server.open(&pull));

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
