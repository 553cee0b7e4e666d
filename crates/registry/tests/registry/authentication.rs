//! Challenges, tokens, and credentials that stay where they belong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use larder_registry::{
    Credential, Credentials, DockerConfig, Registry, RegistryError, Secret, Settings,
};
use serde_json::json;

use crate::server::{Reply, Seen, Server};
use crate::shelf::{Shelf, request, resolve, seed_of, settings, target};

/// base64 of `ann:s3cret`.
const ANN: &str = "Basic YW5uOnMzY3JldA==";

fn ann() -> Credential {
    Credential::Password {
        user: "ann".to_owned(),
        password: Secret::new("s3cret"),
    }
}

fn settings_with(host: &str, credential: Credential) -> Settings {
    let given = [(host.to_owned(), credential)].into();
    Settings {
        credentials: Credentials {
            given,
            ..Credentials::default()
        },
        ..settings()
    }
}

fn unauthorized(challenge: &str) -> Reply {
    Reply::json(
        401,
        &json!({"errors": [{"code": "UNAUTHORIZED", "message": "who are you"}]}),
    )
    .header("www-authenticate", challenge)
}

/// A registry with its token server: `token` decides about token requests; what it gives out is
/// what the registry then wants.
async fn bearer_server(token: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Server {
    let shelf = Shelf::with_an_index();
    Server::start(move |seen| {
        let host = &seen.headers["host"];
        let repository = seen.path.split('/').nth(2).unwrap_or_default().to_owned();
        if seen.path.starts_with("/token") {
            return token(seen);
        }
        if seen.authorization() == Some(&format!("Bearer token-{repository}")) {
            return shelf.answer(seen);
        }
        unauthorized(&format!(
            r#"Bearer realm="http://{host}/token?x=1",service="my, service",scope="repository:{repository}:pull""#
        ))
    })
    .await
}

/// A token for the repository in the request's scope.
fn token_for(seen: &Seen) -> Reply {
    let text = format!("{}{}", seen.path, seen.body);
    let scope = text.split("repository%3A").nth(1).unwrap_or_default();
    let repository = scope.split("%3A").next().unwrap_or_default();
    Reply::json(
        200,
        &json!({"token": format!("token-{repository}"), "expires_in": 300}),
    )
}

#[tokio::test]
async fn an_anonymous_token_is_fetched_once_for_each_repository() {
    let server = bearer_server(token_for).await;
    let registry = Registry::new(settings(), None);
    let platform: larder_model::dockerfile::Platform = "linux/amd64".parse().expect("a platform");
    let requests: Vec<_> = ["a", "b", "a"]
        .iter()
        .zip(["1", "1", "2"])
        .map(|(repository, _)| larder_registry::ImageRequest {
            target: target(&server.host, repository, "latest"),
            platform: platform.clone(),
        })
        .collect();
    for found in registry.resolve_all(&requests).await {
        assert_eq!(seed_of(&found.expect("resolves")), "amd");
    }
    registry
        .resolve(&requests[0])
        .await
        .expect("resolves again");
    let lines = server.lines();
    let tokens: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("/token"))
        .collect();
    assert_eq!(tokens.len(), 2, "{lines:?}");
    assert!(
        tokens[0].contains("x=1&service=my%2C+service&scope=repository%3A"),
        "{tokens:?}"
    );
}

#[tokio::test]
async fn a_password_goes_to_the_token_server_and_the_token_to_the_registry() {
    let server = bearer_server(|seen| match seen.authorization() {
        Some(ANN) => token_for(seen),
        _ => unauthorized("Basic"),
    })
    .await;
    let registry = Registry::new(settings_with(&server.host, ann()), None);
    registry
        .resolve(&request(&server.host, "linux/amd64"))
        .await
        .expect("resolves");
    for seen in server.seen() {
        let to_registry = seen
            .authorization()
            .is_none_or(|text| text == "Bearer token-app");
        assert!(seen.path.starts_with("/token") || to_registry, "{seen:?}");
    }
    let error = resolve(&server.host).await.expect_err("anonymous");
    assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
    assert!(error.to_string().contains("docker login"), "{error}");
}

#[tokio::test]
async fn an_identity_token_is_changed_for_an_access_token_by_post() {
    let server = bearer_server(|seen| {
        let good = seen.method == "POST"
            && seen.body.contains("grant_type=refresh_token")
            && seen.body.contains("refresh_token=id-token");
        if good {
            // `access_token` alone is as good as `token`.
            let json = String::from_utf8(token_for(seen).body).expect("text");
            return Reply::new(200).body(json.replace("\"token\"", "\"access_token\""));
        }
        unauthorized("Basic")
    })
    .await;
    let config = format!(
        r#"{{"auths":{{"{}":{{"identitytoken":"id-token"}}}}}}"#,
        server.host
    );
    let docker = DockerConfig::from_variable(&config).expect("valid");
    let credentials = Credentials {
        docker,
        ..Credentials::default()
    };
    let registry = Registry::new(
        Settings {
            credentials,
            ..settings()
        },
        None,
    );
    registry
        .resolve(&request(&server.host, "linux/amd64"))
        .await
        .expect("resolves");
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_is() {
    let server = bearer_server(|_| Reply::new(500)).await;
    let token = Credential::RegistryToken(Secret::new("token-app"));
    let registry = Registry::new(settings_with(&server.host, token), None);
    registry
        .resolve(&request(&server.host, "linux/amd64"))
        .await
        .expect("resolves");
    assert!(server.lines().iter().all(|line| !line.contains("/token")));
}

#[tokio::test]
async fn basic_authentication() {
    let shelf = Shelf::with_an_index();
    let server = Server::start(move |seen| match seen.authorization() {
        Some(ANN) => shelf.answer(seen),
        _ => unauthorized(r#"Basic realm="x""#),
    })
    .await;
    let wanted = request(&server.host, "linux/amd64");
    Registry::new(settings_with(&server.host, ann()), None)
        .resolve(&wanted)
        .await
        .expect("good");
    assert_eq!(server.lines().len(), 4, "one challenge, then it is known");

    let wrong = Credential::Password {
        user: "ann".to_owned(),
        password: Secret::new("wr0ng"),
    };
    for settings in [settings_with(&server.host, wrong), settings()] {
        let shown = format!("{settings:?}");
        let error = Registry::new(settings, None)
            .resolve(&wanted)
            .await
            .expect_err("denied");
        assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
        let text = format!("{error} {error:?} {shown}");
        assert!(!text.contains("wr0ng"), "{text}");
    }
}

#[tokio::test]
async fn a_token_that_ran_out_is_renewed() {
    let shelf = Shelf::with_an_index();
    let given = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |seen| {
        let host = &seen.headers["host"];
        if seen.path.starts_with("/token") {
            let number = given.fetch_add(1, Ordering::Relaxed);
            return Reply::json(200, &json!({"token": format!("t{number}")}));
        }
        // The first token is good for the index only.
        let first = seen.path.contains("latest") && seen.authorization() == Some("Bearer t0");
        if first || seen.authorization() == Some("Bearer t1") {
            return shelf.answer(seen);
        }
        unauthorized(&format!(
            r#"Bearer realm="http://{host}/token",error="invalid_token""#
        ))
    })
    .await;
    assert_eq!(
        seed_of(&resolve(&server.host).await.expect("resolves")),
        "amd"
    );
}

#[tokio::test]
async fn a_challenge_that_cannot_be_met_ends_with_an_error() {
    for (challenge, expected) in [
        ("Bearer realm=\"file:///etc/passwd\"", "file"),
        ("Bearer realm=\"no url\"", "no URL"),
        (
            "Bearer realm=\"http://127.0.0.1:1/token\"",
            "cannot be reached",
        ),
        ("Negotiate", "who are you"),
        ("Basic", "denies access"),
    ] {
        let server = Server::start(move |_| unauthorized(challenge)).await;
        let error = resolve(&server.host)
            .await
            .expect_err("no way in")
            .to_string();
        assert!(error.contains(expected), "{challenge}: {error}");
        assert!(server.lines().len() <= 8, "{challenge}");
    }
}

#[tokio::test]
async fn a_token_server_that_misbehaves_ends_with_an_error() {
    for (reply, expected) in [
        (Reply::json(200, &json!({})), "sent no token"),
        (Reply::json(200, &json!({"token": ""})), "sent no token"),
        (Reply::new(200).body("<html>"), "sent no token"),
        (
            Reply::json(200, &json!({"token": "a\nb"})),
            "no header may hold",
        ),
        (
            Reply::json(200, &json!({"token": "never good"})),
            "denies access",
        ),
        (
            Reply::json(403, &json!({"details": "account locked"})),
            "account locked",
        ),
        (Reply::new(500), "answered 500"),
        (Reply::redirect("/token"), "redirects"),
        (
            Reply::new(200).manner(crate::server::Manner::Endless),
            "more than",
        ),
    ] {
        let server = bearer_server(move |_| reply.clone()).await;
        let error = resolve(&server.host)
            .await
            .expect_err("no token")
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// What another origin (here: another port) was sent along with a redirect to it.
async fn authorization_after_redirect(part: &'static str) -> Vec<Option<String>> {
    let shelf = Shelf::with_an_index();
    let other = {
        let shelf = shelf.clone();
        Server::start(move |seen| shelf.answer(seen)).await
    };
    let away = other.host.clone();
    let server = Server::start(move |seen| match seen.authorization() {
        Some(ANN) if seen.path.contains(part) => {
            Reply::redirect(&format!("http://{away}{}", seen.path))
        }
        Some(ANN) => shelf.answer(seen),
        _ => unauthorized("Basic"),
    })
    .await;
    let registry = Registry::new(settings_with(&server.host, ann()), None);
    registry
        .resolve(&request(&server.host, "linux/amd64"))
        .await
        .expect("resolves");
    other
        .seen()
        .iter()
        .map(|seen| seen.authorization().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn no_credential_follows_a_redirect_to_another_origin() {
    assert_eq!(authorization_after_redirect("blobs/").await, [None]);
    assert_eq!(
        authorization_after_redirect("manifests/latest").await,
        [None]
    );
}

#[tokio::test]
async fn an_origin_that_a_redirect_led_to_gets_no_credential_even_if_it_asks() {
    let asked = Arc::new(Mutex::new(0));
    let other = {
        let asked = asked.clone();
        Server::start(move |_| {
            *asked.lock().expect("not poisoned") += 1;
            unauthorized("Basic")
        })
        .await
    };
    let away = other.host.clone();
    let server = Server::start(move |seen| match seen.authorization() {
        Some(ANN) => Reply::redirect(&format!("http://{away}/x")),
        _ => unauthorized("Basic"),
    })
    .await;
    // Credentials for both: still none is used where only the redirect leads.
    let mut settings = settings_with(&server.host, ann());
    settings.credentials.given.insert(other.host.clone(), ann());
    let registry = Registry::new(settings, None);
    let error = registry
        .resolve(&request(&server.host, "linux/amd64"))
        .await
        .expect_err("denied");
    assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
    assert_eq!(*asked.lock().expect("not poisoned"), 1);
    assert!(
        other
            .seen()
            .iter()
            .all(|seen| seen.authorization().is_none())
    );
}

#[tokio::test]
async fn a_token_request_takes_no_password_along_a_redirect() {
    let away = Server::start(token_for).await;
    let to = away.host.clone();
    let server = bearer_server(move |seen| {
        let query = seen.path.split_once('?').map_or("", |(_, query)| query);
        Reply::redirect(&format!("http://{to}/token?{query}"))
    })
    .await;
    let registry = Registry::new(settings_with(&server.host, ann()), None);
    registry
        .resolve(&request(&server.host, "linux/amd64"))
        .await
        .expect("resolves");
    let seen = away.seen();
    assert!(!seen.is_empty() && seen.iter().all(|seen| seen.authorization().is_none()));
}
