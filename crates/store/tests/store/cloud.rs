//! A real S3 server: what it answers when something is wrong, as people are told it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use larder_store::{Location, Objects, StoreError};

const SECRET: &str = "kept-between-us-4711";
/// The name has "range" in it on purpose: what a store is called says nothing about its objects.
const BUCKET: &str = "orange-cache";

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
    /// A server that takes any credentials for this many requests, and from then on looks at them.
    fn start(trusting: u32) -> Self {
        let program = std::env::var("LARDER_TEST_MOTO").expect(
            "the S3 server is missing; `cargo xtask test` installs it and says where it is",
        );
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env("INITIAL_NO_AUTH_ACTION_COUNT", trusting.to_string())
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

    /// Sends a request of its own to a service of the cloud, as its administrator.
    fn administer(&self, service: &str, line: &str, body: &str) -> String {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("it serves");
        let request = format!(
            "{line} HTTP/1.0\r\nHost: localhost\r\nAuthorization: AWS4-HMAC-SHA256 Credential=x/20260101/\
             us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=x\r\nContent-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
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

    fn with_bucket(trusting: u32) -> Self {
        let server = Self::start(trusting);
        server.administer("s3", &format!("PUT /{BUCKET}"), "");
        server
    }

    /// A user without any permission: id and secret of the key.
    fn user(&self) -> (String, String) {
        let version = "Version=2010-05-08&UserName=job";
        self.administer("iam", "POST /", &format!("Action=CreateUser&{version}"));
        let made = format!("Action=CreateAccessKey&{version}");
        let answer = self.administer("iam", "POST /", &made);
        let field = |name: &str| {
            let (_, after) = answer.split_once(&format!("<{name}>")).expect("a field");
            after.split('<').next().expect("a value").to_owned()
        };
        (field("AccessKeyId"), field("SecretAccessKey"))
    }

    fn open(&self, bucket: &str, key: &str, secret: &str) -> Objects {
        let settings = [
            (
                "AWS_ENDPOINT_URL",
                &*format!("http://127.0.0.1:{}", self.port),
            ),
            ("AWS_ACCESS_KEY_ID", key),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", "us-east-1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let location = Location::parse(&format!("s3://{bucket}/cache")).expect("a store");
        location.open(&settings).expect("it opens")
    }
}

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
    let server = Server::with_bucket(u32::MAX);
    let told = told(&server.open("another", "key", SECRET)).await;
    assert_all_say(&told, "NoSuchBucket", "create it");
}

#[tokio::test]
async fn credentials_that_are_refused_say_why() {
    let server = Server::with_bucket(3);
    let (key, secret) = server.user();
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
    let server = Server::with_bucket(u32::MAX);
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
