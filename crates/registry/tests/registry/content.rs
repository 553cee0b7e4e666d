//! What registries say about images: right, or refused.

use larder_model::identity::{BaseIdentity, InheritedConfig, environment};
use larder_model::oci::Digest;
use larder_registry::{ImageRequest, Registry, RegistryError, sha256};
use serde_json::{Value, json};

use crate::server::{Manner, Reply, Seen, Server};
use crate::shelf::{self, INDEX, MANIFEST, Shelf, named, request, resolve, seed_of, settings};

async fn serve(shelf: Shelf) -> Server {
    Server::start(move |seen| shelf.answer(seen)).await
}

/// The error of `app:latest` on a server that answers as `script` says.
async fn error(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> RegistryError {
    let server = Server::start(script).await;
    resolve(&server.host).await.expect_err("must be refused")
}

#[tokio::test]
async fn an_image_is_resolved_with_everything_that_is_known_of_it() {
    let shelf = Shelf::with_an_index();
    let index = shelf.tags["latest"].clone();
    let server = serve(shelf).await;
    let found = resolve(&server.host).await.expect("resolves");
    assert_eq!(found.reference, format!("{}/app:latest", server.host));
    let named = found.index.map(|digest| digest.to_string());
    assert_eq!(named.as_ref(), Some(&index));
    assert_eq!(found.digest().to_string(), index);
    assert_eq!(
        (found.layers, found.platform.to_string().as_str()),
        (2, "linux/amd64")
    );
    assert_eq!(found.created.as_deref(), Some("2026-01-02T03:04:05Z"));
    let platforms: Vec<String> = found.platforms.iter().map(ToString::to_string).collect();
    assert_eq!(
        platforms,
        ["linux/arm64", "linux/amd64"],
        "the attestation is no platform"
    );

    let [a, b] = shelf::layers("amd");
    let chain = sha256(format!("{a} {b}").as_bytes());
    assert_eq!(found.chain.as_ref(), Some(&chain));
    let config = InheritedConfig {
        cmd: vec!["amd".to_owned()],
        env: environment(["PATH=/bin"]),
        ..InheritedConfig::default()
    };
    assert_eq!(
        found.identity,
        BaseIdentity::of(&chain.to_string(), &config)
    );
    assert_eq!(server.lines().len(), 3, "index, manifest, configuration");
}

#[tokio::test]
async fn a_digest_is_a_reference_too() {
    let shelf = Shelf::with_an_index();
    let digest: Digest = shelf.tags["latest"].parse().expect("a digest");
    let server = serve(shelf).await;
    let target = named(&format!("{}/app@{digest}", server.host));
    let request = ImageRequest {
        target,
        platform: "linux/arm64".parse().expect("a platform"),
    };
    let found = Registry::new(settings(), None)
        .resolve(&request)
        .await
        .expect("resolves");
    assert_eq!((seed_of(&found), found.digest()), ("arm", &digest));
}

#[tokio::test]
async fn a_single_image_is_taken_for_any_platform() {
    let server = serve(Shelf::with_one_image()).await;
    let registry = Registry::new(settings(), None);
    let found = registry
        .resolve(&request(&server.host, "linux/s390x"))
        .await
        .expect("resolves");
    assert_eq!(found.platform.to_string(), "linux/amd64");
    assert_eq!(found.index, None);
}

#[tokio::test]
async fn a_missing_platform_is_named_with_those_there_are() {
    let server = serve(Shelf::with_an_index()).await;
    let registry = Registry::new(settings(), None);
    let error = registry
        .resolve(&request(&server.host, "linux/s390x"))
        .await
        .expect_err("absent");
    assert!(matches!(error, RegistryError::NoPlatform { .. }));
    let text = error.to_string();
    assert!(
        text.contains("linux/s390x") && text.contains("linux/arm64, linux/amd64"),
        "{text}"
    );
}

#[tokio::test]
async fn an_entry_without_a_platform_is_judged_by_its_configuration() {
    let mut shelf = Shelf::default();
    let mut entry = shelf.image("linux/arm64", "bare");
    entry.as_object_mut().expect("an object").remove("platform");
    let index = shelf.index(&[entry]);
    shelf.tag("latest", &index);
    let server = serve(shelf).await;
    let registry = Registry::new(settings(), None);
    let found = registry
        .resolve(&request(&server.host, "linux/arm64"))
        .await
        .expect("resolves");
    assert_eq!(seed_of(&found), "bare");
    let error = registry
        .resolve(&request(&server.host, "linux/386"))
        .await
        .expect_err("absent");
    assert!(matches!(error, RegistryError::NoPlatform { .. }), "{error}");
}

#[tokio::test]
async fn an_index_inside_an_index_is_entered_and_its_depth_is_bounded() {
    for (depth, good) in [(2, true), (4, true), (5, false)] {
        let mut shelf = Shelf::default();
        let mut entry = shelf.image("linux/amd64", "deep");
        for _ in 0..depth {
            entry = shelf.index(&[entry]);
        }
        shelf.tag("latest", &entry);
        let top = shelf.tags["latest"].clone();
        let server = serve(shelf).await;
        match resolve(&server.host).await {
            Ok(found) => {
                assert!(good, "{depth} levels");
                assert_eq!(
                    (seed_of(&found), &*found.digest().to_string()),
                    ("deep", top.as_str())
                );
            }
            Err(error) => assert!(!good && error.to_string().contains("levels"), "{error}"),
        }
    }
}

#[tokio::test]
async fn schema_one_is_refused_with_the_cure() {
    let prettyjws = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let old = json!({"schemaVersion": 1, "name": "app", "fsLayers": [{"blobSum": "x"}]});
    for media_type in [prettyjws, "application/json"] {
        let body = old.to_string();
        let reply = Reply::new(200)
            .header("content-type", media_type)
            .body(body);
        let error = error(move |_| reply.clone()).await;
        assert!(matches!(error, RegistryError::SchemaOne { .. }), "{error}");
        assert!(
            error.to_string().contains("push the image again"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn dockers_own_media_types_are_understood() {
    let docker = |rest: &str| format!("application/vnd.docker.distribution.manifest.{rest}+json");
    let mut shelf = Shelf::default();
    let config = shelf::config("linux/amd64", "docker", &shelf::layers("docker"));
    let config = shelf.put(
        "application/vnd.docker.container.image.v1+json",
        config.to_string(),
    );
    let layer = json!({"digest": sha256(b""), "size": 7});
    let manifest = json!({"schemaVersion": 2, "mediaType": docker("v2"), "config": config,
        "layers": [layer, layer]});
    let mut entry = shelf.put(&docker("v2"), manifest.to_string());
    entry["platform"] = json!({"os": "linux", "architecture": "amd64", "os.version": "5.10"});
    let list = json!({"schemaVersion": 2, "mediaType": docker("list.v2"), "manifests": [entry]});
    let list = shelf.put(&docker("list.v2"), list.to_string());
    shelf.tag("latest", &list);
    let found = resolve(&serve(shelf).await.host).await.expect("resolves");
    let size = 14 + config["size"].as_u64().expect("a size");
    assert_eq!((seed_of(&found), found.size), ("docker", size));
}

/// The error of an image whose top document is this.
async fn error_of_top(media_type: &'static str, top: String) -> RegistryError {
    error(move |_| {
        Reply::new(200)
            .header("content-type", media_type)
            .body(top.clone())
    })
    .await
}

#[tokio::test]
async fn documents_that_are_not_what_they_seem_are_refused() {
    let digest = sha256(b"x");
    let descriptor = json!({"mediaType": MANIFEST, "digest": digest, "size": 1});
    let both = json!({"manifests": [descriptor], "config": descriptor, "layers": []});
    let negative = json!({"config": {"digest": digest, "size": -1}, "layers": []});
    let huge = json!({"digest": digest, "size": u64::MAX});
    let cases: [(&str, Value, &str); 8] = [
        (INDEX, both, "as well as"),
        (
            INDEX,
            json!({"config": descriptor, "layers": []}),
            "media type",
        ),
        (
            MANIFEST,
            json!({"mediaType": INDEX, "config": descriptor}),
            "media type",
        ),
        ("text/html", json!({"hello": "portal"}), "neither"),
        (MANIFEST, json!({"layers": []}), "no configuration"),
        (MANIFEST, negative, "-1"),
        (
            MANIFEST,
            json!({"config": descriptor, "layers": [huge, huge]}),
            "larger",
        ),
        (
            INDEX,
            json!({"manifests": [{"digest": "md5:1", "size": 1}]}),
            "md5:1",
        ),
    ];
    for (media_type, document, expected) in cases {
        let error = error_of_top(media_type, document.to_string()).await;
        assert!(matches!(error, RegistryError::Malformed { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = error_of_top(
        "text/html",
        "<html>log in to the guest network</html>".into(),
    )
    .await;
    assert!(matches!(error, RegistryError::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn configurations_that_do_not_fit_are_refused() {
    let one_layer = shelf::config("linux/amd64", "x", &shelf::layers("x")[..1]);
    let mut none = one_layer.clone();
    none.as_object_mut().expect("an object").remove("rootfs");
    let mut odd = shelf::config("linux/amd64", "x", &shelf::layers("x"));
    odd["rootfs"]["diff_ids"][1] = json!("sha256:short");
    for (config, expected) in [
        (one_layer, "lists 1"),
        (none, "not a container image"),
        (odd, "sha256:short"),
    ] {
        let mut shelf = Shelf::default();
        let image = shelf.image_of("linux/amd64", "x", &config);
        shelf.tag("latest", &image);
        let error = error(move |seen| shelf.answer(seen)).await;
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// Changes the answer about one shelf of the distribution protocol.
fn changed(part: &'static str, change: fn(Reply) -> Reply) -> impl Fn(&Seen) -> Reply {
    let shelf = Shelf::with_an_index();
    move |seen| {
        let reply = shelf.answer(seen);
        if seen.path.contains(part) {
            change(reply)
        } else {
            reply
        }
    }
}

#[tokio::test]
async fn a_content_that_is_not_what_its_digest_says_is_refused() {
    let flip = |mut reply: Reply| {
        let last = reply.body.len() - 1;
        reply.body[last] ^= 1;
        reply
    };
    // The tag's own body disagrees with its header; the others with the document that names them.
    for part in ["manifests/latest", "manifests/sha256", "blobs/"] {
        let error = error(changed(part, flip)).await;
        assert!(
            matches!(error, RegistryError::WrongDigest { .. }),
            "{part}: {error}"
        );
    }
    let lie = |reply: Reply| {
        reply
            .without("docker-content-digest")
            .header("docker-content-digest", &sha256(b"").to_string())
    };
    let error = error(changed("manifests/latest", lie)).await;
    assert!(
        matches!(error, RegistryError::WrongDigest { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_digest_header_is_not_needed() {
    let bare = |reply: Reply| reply.without("docker-content-digest");
    let server = Server::start(changed("", bare)).await;
    assert_eq!(
        seed_of(&resolve(&server.host).await.expect("resolves")),
        "amd"
    );
    let odd = |reply: Reply| {
        reply
            .without("docker-content-digest")
            .header("docker-content-digest", "sha256:odd")
    };
    let server = Server::start(changed("", odd)).await;
    assert_eq!(
        seed_of(&resolve(&server.host).await.expect("resolves")),
        "amd"
    );
}

#[tokio::test]
async fn a_size_that_is_not_the_descriptors_is_refused() {
    let mut shelf = Shelf::default();
    let mut entry = shelf.image("linux/amd64", "x");
    entry["size"] = json!(1);
    let index = shelf.index(&[entry]);
    shelf.tag("latest", &index);
    let error = error(move |seen| shelf.answer(seen)).await;
    assert!(error.to_string().contains("is said to have 1"), "{error}");
}

#[tokio::test]
async fn a_content_without_end_is_refused_whatever_its_length_says() {
    let announced = |reply: Reply| reply.header("content-length", &(u64::MAX / 2).to_string());
    let endless = |reply: Reply| reply.manner(Manner::Endless);
    for part in ["manifests/latest", "manifests/sha256", "blobs/"] {
        let refused = error(changed(part, announced)).await;
        assert!(
            matches!(refused, RegistryError::TooLarge { .. }),
            "{part}: {refused}"
        );
        let refused = error(changed(part, endless)).await;
        assert!(
            matches!(refused, RegistryError::TooLarge { .. }),
            "{part}: {refused}"
        );
    }
}
