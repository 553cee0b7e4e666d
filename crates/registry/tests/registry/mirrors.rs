//! Mirrors, proxies, and registries that are reached without TLS.

use std::time::Duration;

use larder_registry::{Proxies, Registry, Settings};

use crate::server::{Manner, Reply, Server};
use crate::shelf::{Shelf, request, seed_of, settings};

/// A name that no resolver knows (RFC 6761), so only a mirror or a proxy can answer for it.
const NOWHERE: &str = "registry.invalid";

async fn good(seed: &str) -> Server {
    let mut shelf = Shelf::default();
    let image = shelf.image("linux/amd64", seed);
    shelf.tag("latest", &image);
    Server::start(move |seen| shelf.answer(seen)).await
}

/// Who answers for `registry` when these are its mirrors.
async fn answered(registry: &str, mirrors: &[&str]) -> Result<String, String> {
    answered_within(registry, mirrors, settings()).await
}

async fn answered_within(
    registry: &str,
    mirrors: &[&str],
    limits: Settings,
) -> Result<String, String> {
    let mirrors = mirrors.iter().map(|&mirror| mirror.to_owned()).collect();
    let settings = Settings {
        mirrors: [(registry.to_owned(), mirrors)].into(),
        ..limits
    };
    let found = Registry::new(settings, None)
        .resolve(&request(registry, "linux/amd64"))
        .await;
    found
        .map(|found| seed_of(&found).to_owned())
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_told_for_whom() {
    let mirror = good("mirror").await;
    assert_eq!(
        answered(NOWHERE, &[&mirror.host]).await.expect("answers"),
        "mirror"
    );
    let lines = mirror.lines();
    assert_eq!(lines.len(), 2, "manifest, configuration");
    assert!(
        lines
            .iter()
            .all(|line| line.ends_with("?ns=registry.invalid")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_mirror_that_fails_in_any_way_is_passed_over() {
    let origin = good("origin").await;
    let corrupt = {
        let mut shelf = Shelf::with_one_image();
        shelf
            .contents
            .values_mut()
            .for_each(|(_, content)| content.push(b' '));
        Server::start(move |seen| shelf.answer(seen)).await
    };
    for status in [400, 401, 403, 404, 429, 500, 503] {
        let mirror = Server::start(move |_| Reply::new(status)).await;
        let found = answered(&origin.host, &[&mirror.host]).await;
        assert_eq!(found.expect("the origin answers"), "origin", "{status}");
        assert_eq!(
            mirror.lines().len(),
            2,
            "asked once for each content: {status}"
        );
    }
    let found = answered(&origin.host, &[&corrupt.host, "127.0.0.1:1"]).await;
    assert_eq!(found.expect("the origin answers"), "origin");
}

#[tokio::test]
async fn a_mirror_that_hangs_is_passed_over_once_for_all() {
    let origin = good("origin").await;
    let mirror = Server::start(|_| Reply::new(200).manner(Manner::Silence)).await;
    let limits = Settings {
        try_limit: Duration::from_secs(1),
        ..settings()
    };
    let found = answered_within(&origin.host, &[&mirror.host], limits).await;
    assert_eq!(found.expect("answers"), "origin");
    assert_eq!(mirror.lines().len(), 1, "one try for both contents");
}

#[tokio::test]
async fn a_mirror_address_that_makes_no_sense_is_named() {
    let error = answered(NOWHERE, &["http://m.example/path"])
        .await
        .expect_err("a path");
    assert!(error.contains("http://m.example/path"), "{error}");
}

#[tokio::test]
async fn an_insecure_registry_is_reached_through_the_proxy_when_tls_fails() {
    let mut shelf = Shelf::default();
    let image = shelf.image("linux/amd64", "proxied");
    shelf.tag("latest", &image);
    let proxy = Server::start(move |seen| shelf.answer(seen)).await;
    let settings = Settings {
        insecure: [NOWHERE.to_owned()].into(),
        proxies: Proxies {
            http: Some(format!("http://{}", proxy.host)),
            ..Proxies::default()
        },
        ..settings()
    };
    let registry = Registry::new(settings, None);
    let found = registry
        .resolve(&request(NOWHERE, "linux/amd64"))
        .await
        .expect("resolves");
    assert_eq!(seed_of(&found), "proxied");
    let lines = proxy.lines();
    assert_eq!(
        lines[0],
        format!("GET http://{NOWHERE}/v2/app/manifests/latest"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn loopback_and_excepted_hosts_are_reached_without_the_proxy() {
    let origin = good("origin").await;
    // Nobody listens there.
    let proxy = "http://ann:s3cret@127.0.0.1:1".to_owned();
    let proxies = Proxies {
        http: Some(proxy.clone()),
        https: Some(proxy),
        none: Some("other.example".to_owned()),
    };
    let settings = Settings {
        proxies,
        ..settings()
    };
    assert!(!format!("{settings:?}").contains("s3cret"));
    let registry = Registry::new(settings, None);
    let found = registry
        .resolve(&request(&origin.host, "linux/amd64"))
        .await
        .expect("direct");
    assert_eq!(seed_of(&found), "origin");
}

#[tokio::test]
async fn a_proxy_that_makes_no_sense_is_told_without_its_password() {
    let proxies = Proxies {
        https: Some("http://ann:s3cret@[::".to_owned()),
        ..Proxies::default()
    };
    let settings = Settings {
        proxies,
        ..settings()
    };
    let registry = Registry::new(settings, None);
    let error = registry
        .resolve(&request(NOWHERE, "linux/amd64"))
        .await
        .expect_err("no proxy");
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("HTTPS proxy") && !text.contains("s3cret"),
        "{text}"
    );
}
