//! A real S3 server, and what a client must know of it.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub(crate) const SECRET: &str = "kept-between-us-4711";
pub(crate) const KEY: &str = "key-of-the-house-0815";
pub(crate) const PORT: u16 = 5055;
/// A store on it.
pub(crate) const STORE: &str = "s3://shop/cache";

/// The server's command line, without its program.
const ARGUMENTS: [&str; 4] = ["-H", "127.0.0.1", "-p", "5055"];

/// Makes a bucket, and says so if the server is there.
pub(crate) const MAKE_BUCKET: &str = "printf 'PUT /shop HTTP/1.0\\r\\nHost: localhost\\r\\nAuthorization: AWS4-HMAC-SHA256 \
    Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x\\r\\n\
    Content-Length: 0\\r\\n\\r\\n' | busybox nc 127.0.0.1 5055 | grep '200 OK'";

/// The server's program: moto.
pub(crate) fn program() -> String {
    std::env::var("LARDER_TEST_MOTO")
        .expect("the S3 server is missing; `cargo xtask test` installs it and says where it is")
}

/// Starts the server; it serves when [`MAKE_BUCKET`] succeeds.
pub(crate) fn start(mut command: Command, log: &Path) -> Child {
    let log = File::create(log).expect("made");
    let server = command.args(ARGUMENTS).stdout(Stdio::null()).stderr(log);
    server.spawn().expect("moto starts")
}

pub(crate) fn with_credentials(command: &mut Command, port: u16) -> &mut Command {
    command
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_REGION", "us-east-1")
}
