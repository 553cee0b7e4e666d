//! Registries that are slow, busy, broken or lead in circles: an answer or a clear error, in time.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use larder_registry::{Registry, RegistryError, Settings};
use tokio::net::TcpListener;

use crate::server::{Manner, Reply, Server};
use crate::shelf::{Shelf, request, resolve, seed_of, settings};

/// A registry that answers the first requests like this, and well afterwards.
async fn at_first(replies: Vec<Reply>) -> Server {
    let shelf = Shelf::with_an_index();
    let replies = Mutex::new(replies.into_iter());
    Server::start(move |seen| {
        let next = replies.lock().expect("not poisoned").next();
        next.unwrap_or_else(|| shelf.answer(seen))
    })
    .await
}

#[tokio::test]
async fn a_busy_registry_is_asked_again() {
    let each = [408, 429, 500, 502, 503, 504].map(|status| async move {
        let server = at_first(vec![Reply::new(status), Reply::new(status)]).await;
        let found = resolve(&server.host).await.expect("resolves in the end");
        assert_eq!(
            (seed_of(&found), server.lines().len()),
            ("amd", 5),
            "{status}"
        );
    });
    join_all(each).await;
}

#[tokio::test]
async fn a_registry_that_stays_busy_ends_with_an_error() {
    let server = Server::start(|_| Reply::new(503)).await;
    let error = resolve(&server.host).await.expect_err("busy");
    assert!(
        matches!(error, RegistryError::Status { status: 503, .. }),
        "{error}"
    );
    assert_eq!(server.lines().len(), 4);
}

#[tokio::test]
async fn other_refusals_are_not_asked_again() {
    for status in [400, 403, 404, 410, 418, 501] {
        let server = Server::start(move |_| Reply::new(status)).await;
        resolve(&server.host).await.expect_err("refused");
        assert_eq!(server.lines().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn retry_after_is_honoured_in_seconds_and_as_a_date() {
    let busy = |wait: &str| at_first(vec![Reply::new(429).header("retry-after", wait)]);
    let server = busy("1").await;
    let start = Instant::now();
    resolve(&server.host)
        .await
        .expect("resolves after a second");
    assert!(start.elapsed() >= Duration::from_secs(1));
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3));
    let server = busy(&date).await;
    resolve(&server.host).await.expect("resolves at that time");
    // Two clocks are in play.
    let now = SystemTime::now() + Duration::from_millis(100);
    assert!(now >= httpdate::parse_http_date(&date).expect("a date"));
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let server = at_first(vec![Reply::new(429).header("retry-after", "3600")]).await;
    let start = Instant::now();
    let error = resolve(&server.host)
        .await
        .expect_err("too long")
        .to_string();
    assert!(start.elapsed() < settings().deadline);
    assert!(
        error.contains("deadline") && error.contains("3600 s"),
        "{error}"
    );
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again() {
    let shelf = Shelf::with_an_index();
    let first = Mutex::new(true);
    let server = Server::start(move |seen| {
        let reply = shelf.answer(seen);
        let cut = std::mem::take(&mut *first.lock().expect("not poisoned"));
        if cut {
            reply.manner(Manner::Cut)
        } else {
            reply
        }
    })
    .await;
    assert_eq!(
        seed_of(&resolve(&server.host).await.expect("resolves")),
        "amd"
    );
}

/// The error of a registry that behaves like this, with a deadline of 2 s.
async fn hopeless(host: &str) -> RegistryError {
    let limits = Settings {
        deadline: Duration::from_secs(2),
        try_limit: Duration::from_millis(700),
        ..settings()
    };
    let (start, deadline) = (Instant::now(), limits.deadline);
    let registry = Registry::new(limits, None);
    let error = registry.resolve(&request(host, "linux/amd64")).await;
    let error = error.expect_err("hopeless");
    let took = start.elapsed();
    assert!(matches!(error, RegistryError::Deadline { .. }), "{error}");
    // A busy machine is late; nobody waits for the end of an answer all the same.
    assert!(took < 5 * deadline, "{took:?}: {error}");
    error
}

#[tokio::test]
async fn no_slowness_outlasts_the_deadline() {
    let trickle = Manner::Trickle(Duration::from_millis(50));
    let cases = [trickle, Manner::Stall, Manner::Silence]
        .into_iter()
        .flat_map(|manner| {
            ["manifests/latest", "manifests/sha256", "blobs/"].map(|part| (manner, part))
        });
    let each = cases.map(|(manner, part)| async move {
        let shelf = Shelf::with_an_index();
        let server = Server::start(move |seen| {
            let reply = shelf.answer(seen);
            if seen.path.contains(part) {
                reply.manner(manner)
            } else {
                reply
            }
        })
        .await;
        let text = hopeless(&server.host).await.to_string();
        assert!(text.contains("within"), "{manner:?} {part}: {text}");
    });
    join_all(each).await;
}

#[tokio::test]
async fn a_host_that_accepts_and_says_nothing_or_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let host = listener.local_addr().expect("bound").to_string();
    let error = hopeless(&host).await;
    assert!(error.to_string().contains("within"), "{error}");
    // Not a port that was free a moment ago, which another test may have by now.
    let nobody = resolve("127.0.0.1:1").await;
    let error = nobody.expect_err("nobody there").to_string();
    assert!(
        error.contains("cannot be reached") && error.contains("refused"),
        "{error}"
    );
}

#[tokio::test]
async fn redirects_are_followed_up_to_a_bound() {
    let shelf = Shelf::with_an_index();
    let server = Server::start(move |seen| match seen.path.split_once("&n=") {
        Some((_, "5")) => shelf.answer(seen),
        Some((path, n)) => {
            let next: u32 = n.parse().expect("a number");
            Reply::redirect(&format!("{path}&n={}", next + 1))
        }
        None => Reply::redirect(&format!("{}?a=b&n=1", seen.path)),
    })
    .await;
    assert_eq!(
        seed_of(&resolve(&server.host).await.expect("five redirects")),
        "amd"
    );
}

#[tokio::test]
async fn redirects_that_lead_nowhere_end_with_an_error() {
    for (location, expected) in [
        ("/v2/app/manifests/latest", "more than 5 times"),
        ("file:///etc/passwd", "other than http"),
        ("http://", "not a URL"),
        ("http://127.0.0.1:1/", "127.0.0.1:1 cannot be reached"),
    ] {
        let server = Server::start(move |_| Reply::redirect(location)).await;
        let error = resolve(&server.host)
            .await
            .expect_err("nowhere")
            .to_string();
        assert!(error.contains(expected), "{location}: {error}");
        assert!(server.lines().len() <= 6, "{location}");
    }
}

#[tokio::test]
async fn a_redirect_without_a_place_is_an_answer() {
    let server = Server::start(|_| Reply::new(302)).await;
    let error = resolve(&server.host).await.expect_err("no place");
    assert!(
        matches!(error, RegistryError::Status { status: 302, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn the_signature_in_a_redirect_is_not_shown() {
    let server = Server::start(|seen| match seen.path.as_str() {
        path if path.contains("signed") => Reply::new(500),
        _ => Reply::redirect("/signed?X-Amz-Signature=s3cret"),
    })
    .await;
    let error = resolve(&server.host).await.expect_err("broken");
    assert!(
        !format!("{error} {error:?}").contains("s3cret"),
        "{error:?}"
    );
}

#[tokio::test]
async fn one_failure_does_not_spoil_the_others() {
    let shelf = Shelf::with_an_index();
    let good = Server::start(move |seen| shelf.answer(seen)).await;
    let bad = Server::start(|_| Reply::new(404)).await;
    let requests = [&good, &bad, &good].map(|server| request(&server.host, "linux/arm64"));
    let found = Registry::new(settings(), None).resolve_all(&requests).await;
    let good: Vec<bool> = found.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, true]);
}
