//! A small HTTP server that does what a test says, and writes down what it was asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub method: String,
    /// Path and query, or the whole URL when we are taken for a proxy.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Seen {
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.headers.get("authorization").map(String::as_str)
    }
}

/// How the body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Whole,
    /// One byte, a pause, one byte, ...
    Trickle(Duration),
    /// The head, half of the body, then nothing more.
    Stall,
    /// The head, half of the body, then the connection is closed.
    Cut,
    /// Chunks without an end.
    Endless,
    /// Not even a head.
    Silence,
}

#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub manner: Manner,
    /// It is not sent before so many wait here.
    pub gate: Option<Arc<Barrier>>,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            manner: Manner::Whole,
            gate: None,
        }
    }

    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status).body(body.to_string().into_bytes())
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without headers of this name.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }

    pub(crate) fn gate(mut self, gate: &Arc<Barrier>) -> Self {
        self.gate = Some(Arc::clone(gate));
        self
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::new(307).header("location", to)
    }
}

type Script = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// Listens on a free port of the loopback until it is dropped.
pub(crate) struct Server {
    pub host: String,
    log: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let host = listener.local_addr().expect("bound").to_string();
        let log = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let script: Script = Arc::new(script);
        let task = tokio::spawn(accept(listener, script, log.clone(), connections.clone()));
        Self {
            host,
            log,
            connections,
            task,
        }
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.lock().expect("not poisoned").clone()
    }

    /// The request lines since the last time this was asked.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log
            .lock()
            .expect("not poisoned")
            .drain(..)
            .map(|seen| seen.line())
            .collect()
    }
}

async fn accept(
    listener: TcpListener,
    script: Script,
    log: Arc<Mutex<Vec<Seen>>>,
    accepted: Arc<AtomicUsize>,
) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::Relaxed);
        let (script, log) = (script.clone(), log.clone());
        connections.spawn(async move {
            let mut stream = BufReader::new(stream);
            while let Some(seen) = request(&mut stream).await {
                log.lock().expect("not poisoned").push(seen.clone());
                if answer(stream.get_mut(), &seen, script(&seen))
                    .await
                    .is_none()
                {
                    break;
                }
            }
        });
    }
}

async fn request(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    stream
        .read_line(&mut line)
        .await
        .ok()
        .filter(|length| *length > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen {
        method,
        path,
        headers,
        body: String::from_utf8(body).ok()?,
    })
}

/// `None` when the connection is not to be used again.
async fn answer(stream: &mut TcpStream, seen: &Seen, reply: Reply) -> Option<()> {
    if let Some(gate) = &reply.gate {
        gate.wait().await;
    }
    let mut headers = reply.headers.clone();
    match reply.manner {
        Manner::Silence => std::future::pending().await,
        Manner::Endless => headers.push(("transfer-encoding".into(), "chunked".into())),
        _ if headers.iter().any(|(name, _)| name == "content-length") => {}
        _ => headers.push(("content-length".into(), reply.body.len().to_string())),
    }
    let lines = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    let lines: String = lines.collect();
    let head = format!("HTTP/1.1 {} Scripted\r\n{lines}\r\n", reply.status);
    stream.write_all(head.as_bytes()).await.ok()?;
    if seen.method == "HEAD" {
        return Some(());
    }
    body(stream, &reply).await
}

async fn body(stream: &mut TcpStream, reply: &Reply) -> Option<()> {
    let half = &reply.body[..reply.body.len() / 2];
    match reply.manner {
        Manner::Whole | Manner::Silence => stream.write_all(&reply.body).await.ok(),
        Manner::Trickle(pause) => {
            for byte in &reply.body {
                stream.write_all(&[*byte]).await.ok()?;
                tokio::time::sleep(pause).await;
            }
            Some(())
        }
        Manner::Stall => {
            stream.write_all(half).await.ok()?;
            std::future::pending().await
        }
        Manner::Cut => {
            stream.write_all(half).await.ok()?;
            None
        }
        Manner::Endless => loop {
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
            stream.write_all(chunk.as_bytes()).await.ok()?;
        },
    }
}
