//! A stand-in for GitHub's cache service, version 2, and for the blobs behind it. `@actions/cache` saves and restores
//! through it: see `examples/github_cache.rs`.

use std::collections::{HashMap, VecDeque};
use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use self::requests::Request;

#[path = "../requests.rs"]
mod requests;

/// New entries that GitHub takes in a minute.
const ENTRIES_A_MINUTE: usize = 200;

/// An entry of the cache.
#[derive(Default)]
struct Entry {
    scope: String,
    key: String,
    version: String,
    content: Vec<u8>,
    blocks: HashMap<String, Vec<u8>>,
    is_whole: bool,
}

#[derive(Default)]
struct State {
    /// By their numbers; those that were removed are none.
    entries: Vec<Option<Entry>>,
    created: VecDeque<Instant>,
    requests: Vec<String>,
    /// When signed URLs were last made worthless.
    signature: u64,
    denies_writes: bool,
    /// How many more new entries are refused as too many.
    refuses: usize,
}

/// The service. It serves until the process ends.
#[derive(Clone)]
pub(crate) struct StandIn {
    state: Arc<Mutex<State>>,
    port: u16,
}

struct Answer(u16, Vec<(&'static str, String)>, Vec<u8>);

impl Answer {
    fn json(status: u16, body: &Value) -> Self {
        let kind = ("Content-Type", "application/json".to_owned());
        Self(status, vec![kind], body.to_string().into_bytes())
    }

    fn too_many(seconds: u64) -> Self {
        let body = json!({ "code": "resource_exhausted", "msg": "rate limit" });
        let Self(status, mut headers, body) = Self::json(429, &body);
        headers.push(("Retry-After", seconds.to_string()));
        Self(status, headers, body)
    }

    fn azure(status: u16, code: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}.</Message></Error>"
        );
        Self(status, Vec::new(), body.into_bytes())
    }
}

impl StandIn {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::default();
        let service = Self { state, port };
        let serving = service.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let service = serving.clone();
                std::thread::spawn(move || service.serve(connection));
            }
        });
        service
    }

    /// `ACTIONS_RESULTS_URL`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// The token of a job: where it writes, and where it reads beside that.
    pub(crate) fn token(writes: &str, reads: &[&str]) -> String {
        [&[writes], reads].concat().join(",")
    }

    /// From now on no job may write.
    #[allow(dead_code)]
    pub(crate) fn deny_writes(&self) {
        self.state.lock().denies_writes = true;
    }

    /// The next so many new entries are too many for this second.
    #[allow(dead_code)]
    pub(crate) fn refuse(&self, entries: usize) {
        self.state.lock().refuses = entries;
    }

    /// Signed URLs that were given out are worth nothing any more.
    #[allow(dead_code)]
    pub(crate) fn expire_urls(&self) {
        self.state.lock().signature += 1;
    }

    /// Removes the newest entry whose key has this in it, as GitHub may do at any time.
    #[allow(dead_code)]
    pub(crate) fn evict(&self, part: &str) -> String {
        let mut state = self.state.lock();
        let mut entries = state.entries.iter_mut().rev();
        let has = |entry: &Option<Entry>| entry.as_ref().is_some_and(|one| one.key.contains(part));
        let found = entries.find(|entry| has(entry)).and_then(Option::take);
        found.expect("there is one").key
    }

    /// The keys, oldest first.
    #[allow(dead_code)]
    pub(crate) fn keys(&self) -> Vec<String> {
        let state = self.state.lock();
        state
            .entries
            .iter()
            .flatten()
            .map(|one| one.key.clone())
            .collect()
    }

    /// What was asked since this was asked last.
    #[allow(dead_code)]
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().requests)
    }

    fn serve(&self, connection: TcpStream) {
        let Ok(mut sender) = connection.try_clone() else {
            return;
        };
        let mut reader = BufReader::new(connection);
        while let Some(request) = Request::read(&mut reader) {
            let is_head = request.method == "HEAD";
            let Answer(status, headers, body) = self.answer(&request);
            let mut head = vec![format!("HTTP/1.1 {status} X")];
            head.push(format!("Content-Length: {}", body.len()));
            head.extend(
                headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}")),
            );
            let head = head.join("\r\n") + "\r\n\r\n";
            let body: &[u8] = if is_head { &[] } else { &body };
            if sender
                .write_all(head.as_bytes())
                .and_then(|()| sender.write_all(body))
                .is_err()
            {
                return;
            }
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        let last = request.path.rsplit('/').next().unwrap_or_default();
        let noted = format!("{} {last}", request.method);
        self.state.lock().requests.push(noted);
        if request.path.starts_with("/blob/") {
            return self.blob(request, last);
        }
        let token = request.headers.get("authorization");
        let Some(token) = token.and_then(|token| token.strip_prefix("Bearer ")) else {
            let body = json!({ "code": "unauthenticated", "msg": "no token" });
            return Answer::json(401, &body);
        };
        let scopes: Vec<&str> = token.split(',').collect();
        let question: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match last {
            "CreateCacheEntry" => self.create(&scopes, &question),
            "FinalizeCacheEntryUpload" => self.finalize(&scopes, &question),
            "GetCacheEntryDownloadURL" => self.find(&scopes, &question),
            _ => Answer::json(
                404,
                &json!({ "code": "bad_route", "msg": "no such method" }),
            ),
        }
    }

    fn signed(&self, state: &State, number: usize, may: &str) -> String {
        let signature = state.signature;
        format!("{}blob/{number}?sp={may}&sig={signature}", self.url())
    }

    fn create(&self, scopes: &[&str], question: &Value) -> Answer {
        let mut state = self.state.lock();
        if state.denies_writes {
            let why = "cache write denied: token has no writable scopes";
            return Answer::json(200, &json!({ "ok": false, "message": why }));
        }
        let (key, version) = (field(question, "key"), field(question, "version"));
        if key.len() > 512 || key.contains(',') || version.len() != 64 {
            let body = json!({ "code": "invalid_argument", "msg": "key or version" });
            return Answer::json(400, &body);
        }
        let minute = Duration::from_secs(60);
        while state
            .created
            .front()
            .is_some_and(|at| at.elapsed() > minute)
        {
            state.created.pop_front();
        }
        if state.created.len() >= ENTRIES_A_MINUTE {
            return Answer::too_many(60);
        }
        if let Some(left) = state.refuses.checked_sub(1) {
            state.refuses = left;
            return Answer::too_many(1);
        }
        let same = |one: &Entry| one.scope == scopes[0] && one.key == key && one.version == version;
        if state.entries.iter().flatten().any(same) {
            let body = json!({ "code": "already_exists", "msg": "cache entry already exists" });
            return Answer::json(409, &body);
        }
        state.created.push_back(Instant::now());
        state.entries.push(Some(Entry {
            scope: scopes[0].to_owned(),
            key,
            version,
            ..Entry::default()
        }));
        let url = self.signed(&state, state.entries.len() - 1, "w");
        Answer::json(200, &json!({ "ok": true, "signed_upload_url": url }))
    }

    fn finalize(&self, scopes: &[&str], question: &Value) -> Answer {
        let mut state = self.state.lock();
        let key = field(question, "key");
        let size = field(question, "size_bytes") + &field(question, "sizeBytes");
        let mut entries = state.entries.iter_mut().enumerate();
        let found = entries.find_map(|(number, entry)| {
            let entry = entry.as_mut()?;
            (entry.scope == scopes[0] && entry.key == key).then_some((number, entry))
        });
        match found {
            Some((number, entry)) if entry.content.len().to_string() == size => {
                entry.is_whole = true;
                Answer::json(200, &json!({ "ok": true, "entry_id": number.to_string() }))
            }
            _ => Answer::json(200, &json!({ "ok": false })),
        }
    }

    fn find(&self, scopes: &[&str], question: &Value) -> Answer {
        let state = self.state.lock();
        let version = field(question, "version");
        let more = [&question["restore_keys"], &question["restoreKeys"]];
        let more = more
            .into_iter()
            .flat_map(|keys| keys.as_array().into_iter().flatten());
        let mut keys = vec![field(question, "key")];
        keys.extend(more.filter_map(|key| key.as_str().map(str::to_owned)));
        for (scope, key) in scopes
            .iter()
            .flat_map(|scope| keys.iter().map(move |key| (scope, key)))
        {
            let fits = |entry: &Entry, whole: bool| {
                let is_meant = if whole {
                    entry.key == *key
                } else {
                    entry.key.starts_with(key)
                };
                entry.is_whole && entry.scope == **scope && entry.version == version && is_meant
            };
            let entries = state.entries.iter().enumerate().rev();
            let mut found = [true, false].into_iter().filter_map(|whole| {
                let mut entries = entries.clone();
                entries.find(|(_, entry)| entry.as_ref().is_some_and(|one| fits(one, whole)))
            });
            if let Some((number, Some(entry))) = found.next() {
                let url = self.signed(&state, number, "r");
                let body =
                    json!({ "ok": true, "signed_download_url": url, "matched_key": entry.key });
                return Answer::json(200, &body);
            }
        }
        Answer::json(200, &json!({ "ok": false }))
    }

    fn blob(&self, request: &Request, number: &str) -> Answer {
        let mut state = self.state.lock();
        let signature = state.signature.to_string();
        let may = request.query.get("sp").map(String::as_str);
        let needed = if request.method == "GET" { "r" } else { "w" };
        if request.query.get("sig") != Some(&signature) || may != Some(needed) {
            return Answer::azure(403, "AuthenticationFailed");
        }
        let number: usize = number.parse().expect("a number");
        let Some(entry) = state.entries[number].as_mut() else {
            return Answer::azure(404, "BlobNotFound");
        };
        if request.method == "GET" {
            return range(&entry.content, request.headers.get("range"));
        }
        match request.query.get("comp").map(String::as_str) {
            Some("block") => {
                let id = request.query["blockid"].clone();
                entry.blocks.insert(id, request.body.clone());
            }
            Some("blocklist") => {
                let list = String::from_utf8_lossy(&request.body).into_owned();
                let ids = list.split("<Latest>").skip(1);
                let ids = ids.filter_map(|rest| rest.split("</Latest>").next());
                entry.content = ids.flat_map(|id| entry.blocks[id].clone()).collect();
            }
            _ if request
                .headers
                .get("x-ms-blob-type")
                .is_some_and(|kind| kind == "BlockBlob") =>
            {
                entry.content.clone_from(&request.body);
            }
            _ => return Answer::azure(400, "MissingRequiredHeader"),
        }
        Answer(201, vec![("ETag", "\"0x1\"".to_owned())], Vec::new())
    }
}

fn field(question: &Value, name: &str) -> String {
    match &question[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn range(content: &[u8], asked: Option<&String>) -> Answer {
    let Some((start, end)) = asked.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
    else {
        return Answer(200, Vec::new(), content.to_vec());
    };
    let start: usize = start.parse().expect("a number");
    let end = end
        .parse()
        .map_or(content.len(), |end: usize| (end + 1).min(content.len()));
    if start >= content.len() {
        return Answer::azure(416, "InvalidRange");
    }
    let shown = format!("bytes {start}-{}/{}", end - 1, content.len());
    Answer(
        206,
        vec![("Content-Range", shown)],
        content[start..end].to_vec(),
    )
}
