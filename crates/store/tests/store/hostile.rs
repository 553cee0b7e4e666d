//! A server that answers with more than it was asked for: what is read of it has an end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder_store::{Location, Objects, StoreError};

/// More than any test may read.
const MUCH: u64 = 4 << 30;

/// What is sent: the first line and the headers, and how the body begins. Zeros follow to the length that
/// the headers announce.
type Answers = fn(&str) -> (String, &'static str);

struct Server {
    port: u16,
    requests: Arc<AtomicU64>,
    sent_bytes: Arc<AtomicU64>,
}

impl Server {
    fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let server = Self {
            port: listener.local_addr().expect("an address").port(),
            requests: Arc::default(),
            sent_bytes: Arc::default(),
        };
        let (requests, sent) = (Arc::clone(&server.requests), Arc::clone(&server.sent_bytes));
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (requests, sent) = (Arc::clone(&requests), Arc::clone(&sent));
                std::thread::spawn(move || {
                    requests.fetch_add(1, Ordering::Relaxed);
                    // Whoever has read enough hangs up.
                    let _hung_up = answer(connection, answers, &sent);
                });
            }
        });
        server
    }

    fn objects(&self) -> Objects {
        let settings = [
            (
                "AWS_ENDPOINT_URL",
                &*format!("http://127.0.0.1:{}", self.port),
            ),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let location = Location::parse("s3://bucket/cache").expect("a store");
        let objects = location.open(&settings).expect("it opens");
        objects.patience().set(Duration::from_millis(200));
        objects
    }

    fn assert_little_was_read(&self) {
        let sent = self.sent_bytes.load(Ordering::Relaxed);
        assert!(sent < 64 << 20, "{sent} bytes were taken");
    }
}

fn answer(connection: TcpStream, answers: Answers, sent: &AtomicU64) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let (head, begins) = answers(&first);
    let mut connection = connection;
    write!(connection, "{head}Connection: close\r\n\r\n{begins}")?;
    if !head.contains(&format!("Content-Length: {MUCH}")) {
        return Ok(());
    }
    let zeros = vec![b' '; 1 << 16];
    while sent.load(Ordering::Relaxed) < MUCH {
        connection.write_all(&zeros)?;
        sent.fetch_add(zeros.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

fn head(status: &str, more: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nETag: \"x\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n{more}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_is_answered_with_more_is_no_damage_and_not_read() {
    let server = Server::start(|_| {
        let more = format!("Content-Range: bytes 5-104/1000\r\nContent-Length: {MUCH}\r\n");
        (head("206 Partial Content", &more), "")
    });
    let read = server.objects().get_range("v1/packs/aa/x", 5..105).await;
    let error = read.expect_err("too much");
    assert!(
        matches!(error, StoreError::Failed { .. }) && error.to_string().contains("100 bytes"),
        "{error}"
    );
    server.assert_little_was_read();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_too_large_is_not_read() {
    let server = Server::start(|_| {
        (
            head("200 OK", &format!("Content-Length: {MUCH}\r\n")),
            "{\"",
        )
    });
    let read = server.objects().get("v1/maps/x", 1000).await;
    let error = read.expect_err("too much");
    assert!(error.is_damage(), "{error}");
    server.assert_little_was_read();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_and_a_page_of_names_have_an_end() {
    let server = Server::start(|_| {
        let head = head("403 Forbidden", &format!("Content-Length: {MUCH}\r\n"));
        (head, "<Error><Code>AccessDenied</Code></Error>")
    });
    let refused = server.objects().get("v1/maps/x", 1000).await;
    assert!(
        matches!(refused, Err(StoreError::Failed { .. })),
        "{refused:?}"
    );
    let refused = server.objects().put("v1/maps/x", "x").await;
    assert!(
        matches!(refused, Err(StoreError::Failed { .. })),
        "{refused:?}"
    );
    server.assert_little_was_read();

    let server = Server::start(|_| {
        let head = head("200 OK", &format!("Content-Length: {MUCH}\r\n"));
        (head, "<ListBucketResult>")
    });
    let objects = server.objects();
    let names = objects.first_names("v1/maps", "", 10).await;
    assert!(matches!(names, Err(StoreError::Failed { .. })), "{names:?}");
    let paths = objects.walk("v1", 10).await;
    assert!(matches!(paths, Err(StoreError::Failed { .. })), "{paths:?}");
    server.assert_little_was_read();
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_names_without_end_are_given_up() {
    const PAGE: &str = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x\
        </NextContinuationToken><CommonPrefixes><Prefix>cache/v1/maps/below/</Prefix></CommonPrefixes>\
        </ListBucketResult>";
    let server = Server::start(|_| {
        let more = format!("Content-Length: {}\r\n", PAGE.len());
        (head("200 OK", &more), PAGE)
    });
    let objects = server.objects();
    let names = objects.first_names("v1/maps", "", 10).await;
    assert_eq!(names.expect("what there is"), Vec::<String>::new());
    let folders = objects.folders("v1/maps", 10).await;
    assert_eq!(folders.expect("what there is"), ["below"]);
    // Eight pages each, and whether the store is sealed.
    assert!(server.requests.load(Ordering::Relaxed) <= 17);
}
