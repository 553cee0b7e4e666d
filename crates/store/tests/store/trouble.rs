//! A store on a bad day: what is tried again, and what is given up. The server plays parts that a real one cannot
//! be made to play.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use larder_store::packer::{self, Changed, Job};
use larder_store::{Location, Objects, Source};

/// A server of a store that is not sealed, which answers each other request by the next of these texts, and with the last one for ever; what was asked of
/// it, by first lines. An empty text closes the connection.
fn server(answers: &'static [&'static str]) -> (Objects, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let first = read_request(&connection);
            if first.contains("/v1-sealed/") {
                let _ = (&connection).write_all(NO_KEYS.as_bytes());
                continue;
            }
            let at = {
                let mut seen = seen.lock().expect("no panic");
                seen.push(first);
                seen.len() - 1
            };
            let answer = answers.get(at).or(answers.last()).expect("an answer");
            // A client that has enough does not read to the end.
            let _ = (&connection).write_all(answer.as_bytes());
        }
    });
    (objects_at(port), asked)
}

fn objects_at(port: u16) -> Objects {
    let settings = [
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let location = Location::parse("s3://bucket/cache").expect("a store");
    location.open(&settings).expect("it opens")
}

/// Reads a request, as far as clients wait for that; gives its first line.
fn read_request(connection: &TcpStream) -> String {
    let mut reader = BufReader::new(connection);
    let mut lines = Vec::new();
    let mut bytes = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a request");
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(length) = line.strip_prefix("content-length: ") {
            bytes = length.parse().expect("a number");
        }
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let body = std::io::copy(&mut reader.take(bytes), &mut std::io::sink());
    body.expect("a body");
    lines.first().cloned().unwrap_or_default()
}

const CUT: &str = "HTTP/1.1 206 Partial Content\r\nETag: \"x\"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n\
    Content-Range: bytes 4-9/10\r\nContent-Length: 6\r\nConnection: close\r\n\r\n456";
const ODD: &str = "HTTP/1.1 206 Partial Content\r\nETag: \"x\"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n\
    Content-Range: bytes 0-5/10\r\nContent-Length: 6\r\nConnection: close\r\n\r\n012345";
const WHOLE: &str = "HTTP/1.1 206 Partial Content\r\nETag: \"x\"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n\
    Content-Range: bytes 4-9/10\r\nContent-Length: 6\r\nConnection: close\r\n\r\n456789";
const ERROR: &str =
    "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const BUSY: &str =
    "HTTP/1.1 503 Slow Down\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const NO_KEYS: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn whatever_happens_to_a_request_it_is_made_again() {
    let (objects, asked) = server(&["", ERROR, CUT, ODD, BUSY, WHOLE]);
    let begun = Instant::now();
    let read = objects.get_range("v1/packs/aa/x", 4..10).await;
    assert_eq!(read.expect("at last"), "456789");
    assert_eq!(asked.lock().expect("no panic").len(), 6);
    assert!(
        begun.elapsed() > Duration::from_secs(2),
        "it was asked to wait"
    );
}

#[tokio::test]
async fn a_refusal_is_final() {
    let (objects, asked) = server(&[REFUSED]);
    let read = objects.get("v1/maps/x", 10).await.expect_err("refused");
    assert!(read.to_string().contains("403"), "{read}");
    assert_eq!(asked.lock().expect("no panic").len(), 1);
}

/// Packs that cannot be stored end the save: the others are not tried one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_save_ends_with_its_first_upload() {
    let (objects, asked) = server(&[ERROR]);
    objects.patience().set(Duration::from_millis(500));
    let source = Arc::new(Source::empty(objects, 1 << 30).expect("a volume"));
    let changed = Changed {
        written: (0..1600).collect(),
        ..Changed::default()
    };
    // Content that does not shrink: six packs.
    let noise = |block: u64, buffer: &mut [u8]| {
        for (at, piece) in buffer.chunks_mut(32).enumerate() {
            let name = [block.to_le_bytes(), at.to_le_bytes()].concat();
            piece.copy_from_slice(larder_model::digest::BlockId::of(&name).as_bytes());
        }
        Ok(())
    };
    let job = Job {
        changed,
        ..Job::default()
    };
    let packed = packer::pack(&source, job, noise, Arc::default()).await;
    let error = packed.expect_err("nothing was stored").to_string();
    assert!(
        error.contains("v1/packs/") && error.contains("500"),
        "{error}"
    );
    let asked = asked.lock().expect("no panic");
    let packs: BTreeSet<&str> = asked
        .iter()
        .map(|line| line.split(' ').nth(1).unwrap_or(line))
        .collect();
    assert!(packs.len() <= 3, "{packs:?}");
}

#[tokio::test]
async fn it_is_listed_while_it_is_asked_whether_it_is_sealed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        // Neither is answered before both are asked.
        let connections = [(); 2].map(|()| listener.accept().expect("a connection").0);
        let requests = connections.map(|one| (read_request(&one), one));
        for (asked, mut connection) in requests {
            let answer = if asked.contains("/v1-sealed/") {
                NO_KEYS.to_owned()
            } else {
                let body = "<ListBucketResult><Contents><Key>cache/v1/some/name</Key><Size>1</Size>\
                    <LastModified>2015-10-21T07:28:00Z</LastModified></Contents></ListBucketResult>";
                let bytes = body.len();
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n{body}"
                )
            };
            connection.write_all(answer.as_bytes()).expect("answered");
        }
    });
    let objects = objects_at(port);
    let names = objects.first_names("v1/some", "", 10);
    let names = tokio::time::timeout(Duration::from_secs(10), names).await;
    let names = names.expect("both are asked at once").expect("a list");
    assert_eq!(names, ["name"]);
}
