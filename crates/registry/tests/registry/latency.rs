//! How many exchanges ten images cost, one after the other: what a registry far away makes long.

use std::sync::Arc;

use larder_registry::{ImageRequest, Memory, Registry};
use tokio::sync::Barrier;

use crate::server::Server;
use crate::shelf::{Shelf, settings, target};

const IMAGES: usize = 10;

async fn resolve_all(registry: &Registry, host: &str) {
    let platform: larder_model::dockerfile::Platform = "linux/amd64".parse().expect("a platform");
    let requests: Vec<ImageRequest> = (0..IMAGES)
        .map(|n| ImageRequest {
            target: target(host, &format!("app{n}"), &format!("v{n}")),
            platform: platform.clone(),
        })
        .collect();
    for found in registry.resolve_all(&requests).await {
        found.expect("resolves");
    }
}

/// The server answers nobody before all ten have asked: one that is asked a fourth time for an image,
/// or for one image after another, waits in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_images_cost_three_exchanges_and_one_when_remembered() {
    let mut shelf = Shelf::default();
    for n in 0..IMAGES {
        let entries = [
            shelf.image("linux/arm64", "arm"),
            shelf.image("linux/amd64", &n.to_string()),
        ];
        let index = shelf.index(&entries);
        shelf.tag(&format!("v{n}"), &index);
    }
    let all = Arc::new(Barrier::new(IMAGES));
    let server = Server::start(move |seen| shelf.answer(seen).gate(&all)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let again = || {
        let memory = Memory::open(folder.path()).expect("opens");
        Registry::new(settings(), Some(memory))
    };
    resolve_all(&again(), &server.host).await;
    let asked = server.lines();
    assert_eq!(asked.len(), 3 * IMAGES, "index, manifest, configuration");
    let cold = server.connections();
    let registry = again();
    for _ in 0..2 {
        resolve_all(&registry, &server.host).await;
        assert_eq!(server.lines().len(), IMAGES, "a HEAD each");
    }
    // Ten and ten, but for one that is not yet free when the next request comes.
    let warm = server.connections() - cold;
    assert!(cold < 2 * IMAGES, "{cold} connections, then {warm}");
    assert!(warm < 2 * IMAGES, "{cold} connections, then {warm}");
}
