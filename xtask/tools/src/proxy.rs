//! A proxy before the S3 server that does to requests what networks and stores do to them on bad days.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::random::Random;

/// Longer than any client waits for a server that says nothing.
const STALL: Duration = Duration::from_secs(40);

/// What can be done to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connection is reset instead of an answer.
    Reset,
    /// The request is done, and then the connection is reset.
    DoneAndReset,
    /// The connection is reset in the middle of the answer.
    ResetInBody,
    /// No answer.
    Stall,
    /// Half of an answer, and then nothing.
    StallInBody,
    /// 500.
    Error,
    /// 503, and to come again in a second.
    Busy,
    /// The answer comes late, and in drops.
    Slow,
    /// Half of the answer, as if it ended there.
    Truncated,
    /// One bit is another one.
    WrongByte,
    /// Fewer bytes than were asked for, and a length that says so.
    WrongLength,
    /// The server is away, for a time.
    Away,
}

impl Fault {
    /// In words, for a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reset => "connection reset, nothing done",
            Self::DoneAndReset => "done, connection reset instead of the answer",
            Self::ResetInBody => "connection reset in the answer",
            Self::Stall => "no answer",
            Self::StallInBody => "half an answer, then silence",
            Self::Error => "500",
            Self::Busy => "503 with Retry-After",
            Self::Slow => "a slow answer",
            Self::Truncated => "an answer that ends early",
            Self::WrongByte => "a wrong bit",
            Self::WrongLength => "fewer bytes than asked for",
            Self::Away => "the store away for 1 s to 3 min",
        }
    }

    /// Whether a client waits for it until its patience ends.
    fn stalls(self) -> bool {
        matches!(self, Self::Stall | Self::StallInBody)
    }
}

/// Faults and how often each is chosen, of 100.
const WEIGHTS: [(Fault, u64); 11] = [
    (Fault::Reset, 14),
    (Fault::DoneAndReset, 12),
    (Fault::ResetInBody, 12),
    (Fault::Stall, 2),
    (Fault::StallInBody, 2),
    (Fault::Error, 14),
    (Fault::Busy, 8),
    (Fault::Slow, 8),
    (Fault::Truncated, 12),
    (Fault::WrongByte, 8),
    (Fault::WrongLength, 8),
];

/// What the proxy does, and has done.
pub struct Chaos {
    upstream: u16,
    /// Whether nothing is done that a client waits for.
    quick: bool,
    /// Of 1000 requests, so many meet a fault.
    permille: AtomicU64,
    random: Mutex<Random>,
    /// When the server was, is or will be away.
    away: Mutex<Vec<Range<Instant>>>,
    done: Mutex<BTreeMap<Fault, u64>>,
    /// How many requests came.
    pub requests: AtomicU64,
    /// Whether it is to end.
    pub stopped: AtomicBool,
}

impl Chaos {
    /// A proxy before the server at a port, whose random numbers begin at `seed`. A `quick` one answers at once, or
    /// not well.
    pub fn new(upstream: u16, seed: u64, quick: bool) -> Arc<Self> {
        Arc::new(Self {
            upstream,
            quick,
            permille: AtomicU64::new(0),
            random: Mutex::new(Random::new(seed)),
            away: Mutex::default(),
            done: Mutex::default(),
            requests: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        })
    }

    /// From now on so many of 1000 requests meet a fault.
    pub fn set_permille(&self, permille: u64) {
        self.permille.store(permille, Ordering::Relaxed);
    }

    /// The server is away from now on, for so long.
    pub fn go_away(&self, period: Duration) {
        let now = Instant::now();
        lock(&self.away).push(now..now + period);
        self.count(Fault::Away);
    }

    /// How much of the time since then it was away.
    pub fn away_since(&self, then: Instant) -> Duration {
        let (now, away) = (Instant::now(), lock(&self.away));
        let parts = away.iter().map(|span| {
            let (start, end) = (span.start.max(then), span.end.min(now));
            end.saturating_duration_since(start)
        });
        parts.sum()
    }

    /// How often each fault was met.
    pub fn counts(&self) -> BTreeMap<Fault, u64> {
        lock(&self.done).clone()
    }

    fn count(&self, fault: Fault) {
        *lock(&self.done).entry(fault).or_default() += 1;
    }

    fn is_away(&self) -> bool {
        let now = Instant::now();
        lock(&self.away).iter().any(|span| span.contains(&now))
    }

    fn choose(&self) -> Option<Fault> {
        let mut random = lock(&self.random);
        if random.below(1000) >= self.permille.load(Ordering::Relaxed) {
            return None;
        }
        let mut at = random.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
        let chosen = WEIGHTS.iter().find(|(_, weight)| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        });
        let chosen = chosen.map(|(fault, _)| *fault);
        chosen.filter(|fault| !(self.quick && fault.stalls()))
    }

    /// Serves what connects to `listener`, until it is stopped.
    pub fn serve(self: &Arc<Self>, listener: TcpListener) {
        let chaos = Arc::clone(self);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if chaos.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let chaos = Arc::clone(&chaos);
                // A connection that fails is one that the client sees fail.
                thread::spawn(move || chaos.relay(&near));
            }
        });
    }

    fn relay(&self, near: &TcpStream) -> io::Result<()> {
        near.set_nodelay(true)?;
        let mut requests = BufReader::new(near.try_clone()?);
        while !self.is_away()
            && let Some(request) = Message::read(&mut requests, false)?
        {
            self.requests.fetch_add(1, Ordering::Relaxed);
            if self.is_away() {
                break;
            }
            let fault = self.choose();
            if let Some(fault) = fault {
                self.count(fault);
            }
            if !self.answer(near, &request, fault)? {
                break;
            }
        }
        reset(near)
    }

    /// Answers a request; whether the connection goes on.
    fn answer(
        &self,
        near: &TcpStream,
        request: &Message,
        fault: Option<Fault>,
    ) -> io::Result<bool> {
        match fault {
            Some(Fault::Reset) => return Ok(false),
            Some(Fault::Stall) => {
                stall(near);
                return Ok(false);
            }
            Some(Fault::Error) => return say(near, "500 Internal Server Error", ""),
            Some(Fault::Busy) => return say(near, "503 Slow Down", "Retry-After: 1\r\n"),
            _ => {}
        }
        let answer = self.ask(request)?;
        let half = answer.body.len() / 2;
        match fault {
            Some(Fault::DoneAndReset) => return Ok(false),
            Some(Fault::ResetInBody | Fault::Truncated) if half > 0 => {
                answer.write_head(near, answer.body.len())?;
                (&mut &*near).write_all(&answer.body[..half])?;
                if fault == Some(Fault::Truncated) {
                    near.shutdown(std::net::Shutdown::Write)?;
                    stall(near);
                }
                return Ok(false);
            }
            Some(Fault::StallInBody) if half > 0 => {
                answer.write_head(near, answer.body.len())?;
                (&mut &*near).write_all(&answer.body[..half])?;
                stall(near);
                return Ok(false);
            }
            Some(Fault::WrongLength) if half > 0 => {
                answer.write_head(near, half)?;
                (&mut &*near).write_all(&answer.body[..half])?;
            }
            Some(Fault::WrongByte) if half > 0 => {
                let mut body = answer.body.clone();
                let at = lock(&self.random).below(body.len() as u64);
                body[usize::try_from(at).expect("it is in memory")] ^= 1 << (at % 8);
                answer.write_head(near, body.len())?;
                (&mut &*near).write_all(&body)?;
            }
            Some(Fault::Slow) => {
                thread::sleep(Duration::from_millis(500 + lock(&self.random).below(1500)));
                answer.write_head(near, answer.body.len())?;
                for piece in answer.body.chunks((answer.body.len() / 8).max(1)) {
                    thread::sleep(Duration::from_millis(100));
                    (&mut &*near).write_all(piece)?;
                }
            }
            _ => {
                answer.write_head(near, answer.body.len())?;
                (&mut &*near).write_all(&answer.body)?;
            }
        }
        Ok(true)
    }

    /// The server's own answer.
    fn ask(&self, request: &Message) -> io::Result<Message> {
        let far = TcpStream::connect(("127.0.0.1", self.upstream))?;
        far.set_nodelay(true)?;
        request.write_head(&far, request.body.len())?;
        (&mut &far).write_all(&request.body)?;
        let is_head = request
            .head
            .first()
            .is_some_and(|line| line.starts_with("HEAD "));
        let answer = Message::read(&mut BufReader::new(far), is_head)?;
        answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// A request or an answer of HTTP/1.1 (RFC 9112), with a length that it says.
struct Message {
    head: Vec<String>,
    body: Vec<u8>,
    /// What an answer to HEAD says without sending it.
    announced: Option<usize>,
}

impl Message {
    fn read(from: &mut BufReader<TcpStream>, no_body: bool) -> io::Result<Option<Self>> {
        let (mut head, mut bytes, mut line) = (Vec::new(), 0, String::new());
        loop {
            line.clear();
            if from.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            let (name, value) = text.split_once(": ").unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => bytes = value.parse().map_err(io::Error::other)?,
                "transfer-encoding" => return Err(io::Error::other("a body without a length")),
                "connection" | "keep-alive" => {}
                _ => head.push(text.to_owned()),
            }
        }
        let mut body = vec![0; if no_body { 0 } else { bytes }];
        from.read_exact(&mut body)?;
        Ok(Some(Self {
            head,
            body,
            announced: no_body.then_some(bytes),
        }))
    }

    fn write_head(&self, mut to: &TcpStream, bytes: usize) -> io::Result<()> {
        let bytes = self.announced.unwrap_or(bytes);
        let head = self.head.join("\r\n");
        // An answer of 204 or 304 has no length, and clients do not mind this one.
        to.write_all(format!("{head}\r\nContent-Length: {bytes}\r\n\r\n").as_bytes())
    }
}

fn say(mut near: &TcpStream, status: &str, more: &str) -> io::Result<bool> {
    let answer = format!("HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\n\r\n");
    near.write_all(answer.as_bytes())?;
    Ok(true)
}

/// Says nothing until the client has had enough.
fn stall(near: &TcpStream) {
    let mut byte = [0];
    let waited = near.set_read_timeout(Some(STALL));
    // A client that goes away ends the reading; so does the limit.
    let _ = waited.and_then(|()| (&mut &*near).read(&mut byte));
}

/// Ends a connection at once: what is unsent is dropped, and the client sees a reset (socket(7), `SO_LINGER`).
fn reset(near: &TcpStream) -> io::Result<()> {
    rustix::net::sockopt::set_socket_linger(near, Some(Duration::ZERO))?;
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
