//! A real S3 server with users and policies: moto.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use larder_store::{Location, Objects};

/// moto, which is stopped with the test.
pub(crate) struct Server {
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
    /// A server with a bucket. It takes any credentials for this many requests, the bucket's included, and from
    /// then on looks at them.
    pub(crate) fn start(bucket: &str, trusting: u32) -> Self {
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
        server.administer("s3", &format!("PUT /{bucket}"), "");
        server
    }

    /// Sends a request of its own to a service of the cloud, as its administrator.
    pub(crate) fn administer(&self, service: &str, line: &str, body: &str) -> String {
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
        let first = answer.lines().next();
        assert!(first.is_some_and(|line| line.contains("200")), "{answer}");
        answer
    }

    /// A user without any permission: id and secret of the key.
    pub(crate) fn user(&self, name: &str) -> (String, String) {
        let of = format!("Version=2010-05-08&UserName={name}");
        self.administer("iam", "POST /", &format!("Action=CreateUser&{of}"));
        let answer = self.administer("iam", "POST /", &format!("Action=CreateAccessKey&{of}"));
        let field = |name: &str| {
            let (_, after) = answer.split_once(&format!("<{name}>")).expect("a field");
            after.split('<').next().expect("a value").to_owned()
        };
        (field("AccessKeyId"), field("SecretAccessKey"))
    }

    /// The store below `cache` in a bucket.
    pub(crate) fn open(&self, bucket: &str, key: &str, secret: &str) -> Objects {
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
