//! What is remembered from one run to the next, and what a second run costs.

use larder_registry::{Credential, Credentials, Memory, Registry, RegistryError, Secret, Settings};
use serde_json::json;
use tempfile::TempDir;

use crate::server::{Reply, Seen, Server};
use crate::shelf::{Shelf, any_client, named, request, seed_of, settings, target};

/// A new process with the same state folder.
fn again(folder: &TempDir) -> Registry {
    Registry::new(
        settings(),
        Some(Memory::open(folder.path()).expect("opens")),
    )
}

/// Resolves once with a good registry, then again with one whose answers to HEAD are changed.
async fn second_run(change: fn(Reply) -> Reply) -> (Result<String, RegistryError>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let shelf = Shelf::with_an_index();
    let server = Server::start(move |seen: &Seen| {
        let reply = shelf.answer(seen);
        if seen.method == "HEAD" {
            change(reply)
        } else {
            reply
        }
    })
    .await;
    let wanted = request(&server.host, "linux/amd64");
    let first = again(&folder)
        .resolve(&wanted)
        .await
        .expect("the first run asks by GET");
    server.lines();
    let second = again(&folder).resolve(&wanted).await;
    if let Ok(second) = &second {
        assert_eq!(*second, first);
    }
    (
        second.map(|found| seed_of(&found).to_owned()),
        server.lines(),
    )
}

#[tokio::test]
async fn a_tag_that_has_not_moved_costs_one_head() {
    let (found, lines) = second_run(|reply| reply).await;
    assert_eq!(found.expect("resolves"), "amd");
    assert_eq!(lines, ["HEAD /v2/app/manifests/latest"]);
}

#[tokio::test]
async fn a_registry_without_head_is_asked_by_get() {
    for change in [
        (|_| Reply::new(405)) as fn(Reply) -> Reply,
        |_| Reply::new(501),
        |reply| reply.without("docker-content-digest"),
        |reply| {
            reply
                .without("docker-content-digest")
                .header("docker-content-digest", "x:y")
        },
    ] {
        let (found, lines) = second_run(change).await;
        assert_eq!(found.expect("resolves"), "amd");
        assert_eq!(
            lines,
            [
                "HEAD /v2/app/manifests/latest",
                "GET /v2/app/manifests/latest"
            ]
        );
    }
}

#[tokio::test]
async fn a_head_that_lies_is_found_out() {
    let lie = |reply: Reply| {
        let other = larder_registry::sha256(b"elsewhere");
        reply
            .without("docker-content-digest")
            .header("docker-content-digest", &other.to_string())
    };
    let (found, _) = second_run(lie).await;
    assert!(
        matches!(found, Err(RegistryError::NotFound { .. })),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_tag_that_moved_is_followed_and_what_stayed_is_not_fetched_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut shelf = Shelf::default();
    let amd = shelf.image("linux/amd64", "amd");
    let arm = shelf.image("linux/arm64", "arm");
    let (one, both) = (
        shelf.index(std::slice::from_ref(&amd)),
        shelf.index(&[arm, amd]),
    );
    let mut moved = shelf.clone();
    shelf.tag("latest", &one);
    moved.tag("latest", &both);
    let is_moved = std::sync::atomic::AtomicBool::new(false);
    let server = Server::start(move |seen| {
        if seen.path == "/move" {
            is_moved.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        let now = is_moved.load(std::sync::atomic::Ordering::Relaxed);
        if now {
            moved.answer(seen)
        } else {
            shelf.answer(seen)
        }
    })
    .await;
    let wanted = request(&server.host, "linux/amd64");
    let before = again(&folder).resolve(&wanted).await.expect("resolves");
    let place = format!("http://{}/move", server.host);
    any_client().get(place).send().await.expect("moved");
    server.lines();
    let after = again(&folder).resolve(&wanted).await.expect("resolves");
    assert_ne!(after.index, before.index);
    assert_eq!(
        (after.manifest, after.identity),
        (before.manifest, before.identity)
    );
    let index = after.index.expect("an index");
    assert_eq!(
        server.lines(),
        [
            "HEAD /v2/app/manifests/latest".to_owned(),
            format!("GET /v2/app/manifests/{index}")
        ],
    );
}

#[tokio::test]
async fn a_spoilt_memory_is_a_miss() {
    let folder = tempfile::tempdir().expect("a folder");
    let shelf = Shelf::with_an_index();
    let server = Server::start(move |seen| shelf.answer(seen)).await;
    let wanted = request(&server.host, "linux/amd64");
    let first = again(&folder).resolve(&wanted).await.expect("resolves");
    for entry in std::fs::read_dir(folder.path().join("registry-v1/contents")).expect("there") {
        std::fs::write(entry.expect("an entry").path(), "spoilt").expect("written");
    }
    server.lines();
    assert_eq!(
        again(&folder).resolve(&wanted).await.expect("resolves"),
        first
    );
    assert_eq!(server.lines().len(), 4, "HEAD and everything again");
}

#[tokio::test]
async fn a_remembered_digest_costs_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let shelf = Shelf::with_an_index();
    let digest = shelf.tags["latest"].clone();
    let server = Server::start(move |seen| shelf.answer(seen)).await;
    let mut wanted = request(&server.host, "linux/amd64");
    wanted.target = named(&format!("{}/app@{digest}", server.host));
    for requests in [3, 0] {
        let found = again(&folder).resolve(&wanted).await.expect("resolves");
        assert_eq!((seed_of(&found), server.lines().len()), ("amd", requests));
    }
}

#[tokio::test]
async fn two_platforms_of_one_tag_cost_one_question() {
    let folder = tempfile::tempdir().expect("a folder");
    let shelf = Shelf::with_an_index();
    let server = Server::start(move |seen| shelf.answer(seen)).await;
    let wanted = ["linux/amd64", "linux/arm64"].map(|p| request(&server.host, p));
    for (expected_tags, expected) in [(1, 5), (1, 1)] {
        let found = again(&folder).resolve_all(&wanted).await;
        let seeds: Vec<_> = found
            .iter()
            .map(|f| seed_of(f.as_ref().expect("good")))
            .collect();
        assert_eq!(seeds, ["amd", "arm"]);
        let lines = server.lines();
        let tags = lines.iter().filter(|line| line.ends_with("latest")).count();
        assert_eq!((tags, lines.len()), (expected_tags, expected), "{lines:?}");
    }
}

#[tokio::test]
async fn a_digest_alone_costs_one_head_and_no_memory() {
    let shelf = Shelf::with_an_index();
    let expected = shelf.tags["latest"].clone();
    let server = Server::start(move |seen| shelf.answer(seen)).await;
    let registry = Registry::new(settings(), None);
    let digest = registry
        .digest(&target(&server.host, "app", "latest"))
        .await
        .expect("there");
    assert_eq!(digest.to_string(), expected);
    assert_eq!(server.lines(), ["HEAD /v2/app/manifests/latest"]);
}

#[tokio::test]
async fn how_a_registry_asks_is_remembered_without_any_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let shelf = Shelf::with_an_index();
    let server = Server::start(move |seen| {
        let host = &seen.headers["host"];
        match seen.authorization() {
            Some("Bearer s3cret") => shelf.answer(seen),
            _ if seen.path.starts_with("/token") => Reply::new(200).body(r#"{"token":"s3cret"}"#),
            _ => Reply::new(401).header(
                "www-authenticate",
                &format!(r#"Bearer realm="http://{host}/token""#),
            ),
        }
    })
    .await;
    let wanted = request(&server.host, "linux/amd64");
    again(&folder).resolve(&wanted).await.expect("resolves");
    server.lines();
    again(&folder).resolve(&wanted).await.expect("resolves");
    let lines = server.lines();
    assert_eq!(lines.len(), 2, "a token and a HEAD, no 401: {lines:?}");
    assert!(
        lines[0].starts_with("GET /token") && lines[1].starts_with("HEAD"),
        "{lines:?}"
    );

    for entry in std::fs::read_dir(folder.path().join("registry-v1/challenges")).expect("there") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("text");
        assert!(text.contains("realm") && !text.contains("s3cret"), "{text}");
    }
}

/// A token server, and a registry that sends everybody there.
async fn two_hosts() -> (Server, Server) {
    let tokens = Server::start(|_| Reply::json(200, &json!({ "token": "t" }))).await;
    let shelf = Shelf::with_an_index();
    let challenge = format!(r#"Bearer realm="http://{}/token""#, tokens.host);
    let registry = Server::start(move |seen| match seen.authorization() {
        Some("Bearer t") => shelf.answer(seen),
        _ => Reply::new(401).header("www-authenticate", &challenge),
    });
    (tokens, registry.await)
}

/// Resolves with or without a password, in a new process with the same state folder: the lines that the registry
/// saw.
async fn run(folder: &TempDir, server: &Server, has_password: bool) -> Vec<String> {
    let ann = Credential::Password {
        user: "ann".to_owned(),
        password: Secret::new("s3cret"),
    };
    let given = has_password.then(|| (server.host.clone(), ann));
    let credentials = Credentials {
        given: given.into_iter().collect(),
        ..Credentials::default()
    };
    let settings = Settings {
        credentials,
        ..settings()
    };
    let memory = Memory::open(folder.path()).expect("opens");
    let registry = Registry::new(settings, Some(memory));
    let found = registry
        .resolve(&request(&server.host, "linux/amd64"))
        .await;
    found.expect("resolves");
    server.lines()
}

#[tokio::test]
async fn no_file_decides_which_host_gets_a_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let (tokens, server) = two_hosts().await;
    run(&folder, &server, true).await;
    let head = "HEAD /v2/app/manifests/latest";
    // The registry is asked first where its tokens come from: one request more than with its own host.
    assert_eq!(run(&folder, &server, true).await, [head, head]);
    // Nobody's password is at stake without one: the 401 is saved as before.
    assert_eq!(run(&folder, &server, false).await, [head]);
    assert_eq!(tokens.lines().len(), 3);

    let thief = Server::start(|_| Reply::json(200, &json!({ "token": "t" }))).await;
    let planted =
        json!({ "bearer": { "realm": format!("http://{}/token", thief.host), "service": "" } });
    for entry in std::fs::read_dir(folder.path().join("registry-v1/challenges")).expect("there") {
        let path = entry.expect("an entry").path();
        std::fs::write(path, planted.to_string()).expect("written");
    }
    run(&folder, &server, true).await;
    assert_eq!(thief.lines(), [""; 0], "the password went elsewhere");
    let asked = tokens.seen();
    assert!(
        asked.iter().all(|seen| seen.authorization().is_some()),
        "{asked:?}"
    );
}
