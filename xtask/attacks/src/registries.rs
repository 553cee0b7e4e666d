//! Whoever answers for a registry, or is on the way there: what a tag is asked of a server that lies, that sends
//! elsewhere, and that never ends. A password goes to the registry's own address, and to a token server that the
//! registry names now; never where a redirect or a remembered challenge leads.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use xtask_tools::random::Random;

use super::Attack;
use super::checkouts::noise;
use super::ground::{EVIL, Ground, chance, one};

/// `user:hunter2`, as docker's configuration has it.
const PASSWORD: &str = "dXNlcjpodW50ZXIy";
/// Where only a redirect or a memory leads.
const ELSEWHERE: &str = "/elsewhere";
/// What a server sends at most that never ends.
const MUCH: usize = 256 << 20;

/// One answer: its head, the beginning of its body, and how it goes on.
#[derive(Debug, Clone)]
struct Answer {
    head: String,
    body: Vec<u8>,
    /// Zeros without end.
    endless: bool,
    /// A drop each second.
    slow: bool,
}

/// What somebody was told who asked for this path.
type Heard = Arc<Mutex<Vec<(String, String)>>>;

pub(crate) fn attack(ground: &mut Ground<'_>, random: &mut Random) -> Result<Attack> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?.to_string();
    let answers: Vec<Answer> = (0..=random.below(4))
        .map(|_| answer(random, &host))
        .collect();
    let parts = answers.iter().map(|answer| {
        let head = answer.head.lines().next().unwrap_or_default();
        let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(80)]).into_owned();
        format!(
            "{head:?} {body:?} endless: {}, slow: {}",
            answer.endless, answer.slow
        )
    });
    let parts = parts.collect();
    let heard = Heard::default();
    serve(listener, answers, &heard);
    remember(ground, random, &host)?;
    let mut command = ground.larder(&["image", "--insecure-registry", &host]);
    command
        .arg(format!("{host}/app:1"))
        .env("DOCKER_CONFIG", ground.folder.join("docker"));
    if chance(random, 30) {
        command.arg("--json");
    }
    let ran = ground.run(command)?;
    let mut broken = ran.faults(&[0, 1]);
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    for (path, authorization) in heard.iter() {
        if path.starts_with(ELSEWHERE) && authorization.contains(PASSWORD) {
            broken.push(format!("the password went to {path}"));
        }
    }
    Ok(Attack { parts, ran, broken })
}

/// Docker's configuration with a password, and a memory that somebody changed.
fn remember(ground: &Ground<'_>, random: &mut Random, host: &str) -> Result<()> {
    let docker = ground.folder.join("docker");
    fs::create_dir_all(&docker)?;
    let config = format!("{{\"auths\":{{\"{host}\":{{\"auth\":\"{PASSWORD}\"}}}}}}");
    fs::write(docker.join("config.json"), config)?;
    if !chance(random, 50) {
        return Ok(());
    }
    // Where it is kept is told by a first question.
    let cache = ground
        .folder
        .join("home/.cache/larder/registry-v1/challenges");
    fs::create_dir_all(&cache)?;
    let challenge = format!("Bearer realm=\"http://127.0.0.2:1{ELSEWHERE}\",service=\"x\"");
    for origin in [
        format!("http://{host}"),
        format!("https://{host}"),
        host.to_owned(),
    ] {
        let name = blake3::hash(origin.as_bytes()).to_hex().to_string();
        fs::write(cache.join(name), &challenge)?;
    }
    Ok(())
}

fn answer(random: &mut Random, host: &str) -> Answer {
    let kind = *one(
        random,
        &[
            "application/vnd.oci.image.index.v1+json",
            "application/vnd.docker.distribution.manifest.v2+json",
            "text/html",
        ],
    );
    let (status, more, body) = said(random, host);
    Answer {
        head: format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}"),
        endless: chance(random, 10),
        slow: chance(random, 2),
        body,
    }
}

/// A status, headers and a body.
fn said(random: &mut Random, host: &str) -> (&'static str, String, Vec<u8>) {
    let evil = one(random, &EVIL).replace(['\r', '\n'], " ");
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    match random.below(12) {
        0 => ("200 OK", String::new(), noise(random)),
        1 => (
            "200 OK",
            format!("Docker-Content-Digest: {evil}\r\n"),
            b"{}".to_vec(),
        ),
        2 => (
            "302 Found",
            format!("Location: {}{ELSEWHERE}\r\n", other_name(host)),
            Vec::new(),
        ),
        3 => (
            "307 Temporary Redirect",
            "Location: /v2/app/manifests/1\r\n".to_owned(),
            Vec::new(),
        ),
        4 => (
            "302 Found",
            "Location: file:///etc/passwd\r\n".to_owned(),
            Vec::new(),
        ),
        5 => (
            "401 Unauthorized",
            format!("WWW-Authenticate: Basic realm=\"{evil}\"\r\n"),
            evil.clone().into_bytes(),
        ),
        6 => (
            "401 Unauthorized",
            format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service={evil}\r\n"),
            Vec::new(),
        ),
        7 => (
            "500 Internal Server Error",
            String::new(),
            format!("{{\"errors\":[{{\"message\":{evil:?}}}]}}").into_bytes(),
        ),
        8 => (
            "429 Too Many Requests",
            "Retry-After: 1000000\r\n".to_owned(),
            Vec::new(),
        ),
        9 => (
            "200 OK",
            format!("Docker-Content-Digest: {digest}\r\n"),
            index(random, &digest),
        ),
        10 => (
            "200 OK",
            format!("X: {}\r\n", "a".repeat(1 << 20)),
            b"{}".to_vec(),
        ),
        _ => (
            "200 OK",
            String::new(),
            format!("{{\"token\":{evil:?}}}").into_bytes(),
        ),
    }
}

/// Far too many manifests, of sizes that no machine has.
fn index(random: &mut Random, digest: &str) -> Vec<u8> {
    let size = *one(random, &["0", "-1", "18446744073709551615", "5", "1e99"]);
    let one = format!(
        "{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"{digest}\",\"size\":{size},\
         \"platform\":{{\"os\":\"linux\",\"architecture\":\"amd64\"}}}}"
    );
    let many = vec![one; 1 + random.below(2000) as usize].join(",");
    format!("{{\"schemaVersion\":2,\"manifests\":[{many}]}}").into_bytes()
}

/// The same server by another name: whoever follows a redirect there has left the registry.
fn other_name(host: &str) -> String {
    format!("http://{}", host.replace("127.0.0.1", "localhost"))
}

fn serve(listener: TcpListener, answers: Vec<Answer>, heard: &Heard) {
    let heard = Arc::clone(heard);
    thread::spawn(move || {
        for (at, connection) in listener.incoming().flatten().enumerate() {
            let answer = answers[at % answers.len()].clone();
            let heard = Arc::clone(&heard);
            // Whoever has had enough hangs up.
            thread::spawn(move || tell(&connection, &answer, &heard));
        }
    });
}

fn tell(mut connection: &TcpStream, answer: &Answer, heard: &Heard) -> std::io::Result<()> {
    connection.set_write_timeout(Some(Duration::from_secs(60)))?;
    let mut lines = BufReader::new(connection).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut authorization = String::new();
    for line in lines {
        let line = line?;
        if line.to_ascii_lowercase().starts_with("authorization:") {
            authorization.clone_from(&line);
        }
        if line.is_empty() {
            break;
        }
    }
    let mut all = heard.lock().unwrap_or_else(PoisonError::into_inner);
    all.push((path, authorization));
    drop(all);
    let length = if answer.endless {
        MUCH
    } else {
        answer.body.len()
    };
    write!(
        connection,
        "{}Content-Length: {length}\r\nConnection: close\r\n\r\n",
        answer.head
    )?;
    if answer.slow {
        for byte in &answer.body {
            thread::sleep(Duration::from_secs(1));
            connection.write_all(&[*byte])?;
        }
    }
    connection.write_all(&answer.body)?;
    let zeros = vec![b' '; 1 << 16];
    let mut sent = answer.body.len();
    while answer.endless && sent < MUCH {
        connection.write_all(&zeros)?;
        sent += zeros.len();
    }
    Ok(())
}
