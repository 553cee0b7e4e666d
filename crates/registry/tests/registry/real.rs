//! Debian's `docker-registry`: the distribution project's own registry, with and without TLS and
//! passwords.

use std::fs;
use std::path::Path;
use std::process::Command;

use larder_registry::{Credential, Credentials, Memory, Registry, RegistryError, Secret, Settings};
use larder_tls::LazyAuthorities;
use serde_json::{Value, json};

use crate::distribution::Distribution;
use crate::shelf::{MANIFEST, Shelf, any_client, request, seed_of, settings};

/// `ann:s3cret` in the form of `htpasswd -B` (bcrypt).
const HTPASSWD: &str = "ann:$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

struct RealRegistry {
    host: String,
    process: Distribution,
}

#[derive(Clone, Copy, Default)]
struct Options {
    tls: bool,
    password: bool,
}

impl RealRegistry {
    fn start(options: Options) -> Self {
        let process = Distribution::start(|folder, config| configure(folder, config, options));
        Self {
            host: process.host.clone(),
            process,
        }
    }

    /// Puts everything on the shelf into `app`, as `docker push` would.
    async fn fill(&self, images: &Shelf, scheme: &str) {
        let client = any_client();
        let url = |rest: &str| format!("{scheme}://{}/v2/app/{rest}", self.host);
        let ann = |request: reqwest::RequestBuilder| request.basic_auth("ann", Some("s3cret"));
        let is_manifest = |media_type: &str| media_type == MANIFEST || media_type.contains("index");
        for (digest, (media_type, content)) in &images.contents {
            if !is_manifest(media_type) {
                let begun = ann(client.post(url("blobs/uploads/")))
                    .send()
                    .await
                    .expect("answers");
                let place = begun.headers()["location"]
                    .to_str()
                    .expect("a URL")
                    .to_owned();
                let put = client
                    .put(place)
                    .query(&[("digest", digest)])
                    .body(content.clone());
                let put = ann(put).send().await.expect("answers");
                assert_eq!(put.status(), 201);
            }
        }
        // Manifests before the indexes that name them.
        let mut manifests: Vec<_> = images
            .contents
            .iter()
            .filter(|(_, (media_type, _))| is_manifest(media_type))
            .collect();
        manifests.sort_by_key(|(_, (media_type, _))| media_type.contains("index"));
        for (digest, (media_type, content)) in manifests {
            let tags = images
                .tags
                .iter()
                .filter(|(_, to)| *to == digest)
                .map(|(tag, _)| tag);
            for name in tags.chain([digest]) {
                let put = client.put(url(&format!("manifests/{name}")));
                let put = put.header("content-type", media_type).body(content.clone());
                let put = ann(put).send().await.expect("answers");
                assert_eq!(
                    put.status(),
                    201,
                    "{}",
                    put.text().await.unwrap_or_default()
                );
            }
        }
    }
}

fn configure(folder: &Path, config: &mut Value, options: Options) {
    if options.tls {
        let address = config["http"]["addr"].as_str().expect("an address");
        certificates(folder, address.rsplit_once(':').expect("a port").0);
        config["http"]["tls"] = json!({
            "certificate": folder.join("server.crt"),
            "key": folder.join("server.key"),
        });
    }
    if options.password {
        let path = folder.join("htpasswd");
        fs::write(&path, HTPASSWD).expect("written");
        config["auth"] = json!({"htpasswd": {"realm": "test", "path": path}});
    }
}

/// An authority (`ca.crt`) and a certificate of its for an address.
fn certificates(folder: &Path, address: &str) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .output()
            .expect("openssl runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!(
        "req -x509 {key} -keyout ca.key -out ca.crt -subj /CN=authority"
    ));
    openssl(&format!(
        "req -x509 {key} -keyout server.key -out server.crt -subj /CN=registry -CA ca.crt -CAkey \
         ca.key -addext subjectAltName=IP:{address} -addext basicConstraints=critical,CA:FALSE"
    ));
}

#[tokio::test]
async fn images_of_a_real_registry_are_resolved_and_remembered() {
    let mut shelf = Shelf::with_an_index();
    let variants = [
        shelf.image("linux/arm/v6", "v6"),
        shelf.image("linux/arm/v7", "v7"),
        shelf.image("linux/amd64", "amd"),
    ];
    let index = shelf.index(&variants);
    shelf.tag("latest", &index);
    let registry = RealRegistry::start(Options::default());
    registry.fill(&shelf, "http").await;

    let state = tempfile::tempdir().expect("a folder");
    let again = || Registry::new(settings(), Some(Memory::open(state.path()).expect("opens")));
    for (platform, expected) in [
        ("linux/amd64", "amd"),
        ("linux/arm", "v7"),
        ("linux/arm64", "v7"),
        ("linux/arm/v6", "v6"),
    ] {
        let wanted = request(&registry.host, platform);
        let found = again().resolve(&wanted).await.expect("resolves");
        assert_eq!(seed_of(&found), expected, "{platform}");
        assert_eq!(found.digest().to_string(), index["digest"], "{platform}");
        assert_eq!(again().resolve(&wanted).await.expect("remembers"), found);
        assert_eq!(
            again().digest(&wanted.target).await.expect("there"),
            *found.digest()
        );
    }
    let mut absent = request(&registry.host, "linux/amd64");
    absent.target = crate::shelf::target(&registry.host, "app", "absent");
    let error = again().resolve(&absent).await.expect_err("absent");
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_real_registry_with_passwords() {
    let shelf = Shelf::with_an_index();
    let registry = RealRegistry::start(Options {
        password: true,
        tls: false,
    });
    registry.fill(&shelf, "http").await;
    let wanted = request(&registry.host, "linux/amd64");
    let with = |password: &str| {
        let password = Secret::new(password);
        let ann = Credential::Password {
            user: "ann".to_owned(),
            password,
        };
        let given = [(registry.host.clone(), ann)].into();
        let credentials = Credentials {
            given,
            ..Credentials::default()
        };
        Registry::new(
            Settings {
                credentials,
                ..settings()
            },
            None,
        )
    };
    assert_eq!(
        seed_of(&with("s3cret").resolve(&wanted).await.expect("resolves")),
        "amd"
    );
    for registry in [with("wrong"), Registry::new(settings(), None)] {
        let error = registry.resolve(&wanted).await.expect_err("denied");
        assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_real_registry_with_tls_is_trusted_only_by_its_authority() {
    let shelf = Shelf::with_an_index();
    let registry = RealRegistry::start(Options {
        tls: true,
        password: false,
    });
    registry.fill(&shelf, "https").await;
    let wanted = request(&registry.host, "linux/amd64");
    let authority = registry.process.folder().join("ca.crt");

    // Docker's layout: a folder named after the registry.
    let folder = tempfile::tempdir().expect("a folder");
    let own = folder.path().join(&registry.host);
    fs::create_dir(&own).expect("made");
    fs::copy(&authority, own.join("ca.crt")).expect("copied");
    let certificates_folder = Some(folder.path().to_owned());
    let by_folder = Settings {
        certificates_folder,
        ..settings()
    };
    let found = Registry::new(by_folder, None)
        .resolve(&wanted)
        .await
        .expect("trusted");
    assert_eq!(seed_of(&found), "amd");

    // As a mirror with a scheme, so that loopback does not mean plain HTTP.
    let mirrors = [(
        "registry.invalid".to_owned(),
        vec![format!("https://{}", registry.host)],
    )];
    let elsewhere = request("registry.invalid", "linux/amd64");
    let by_mirror = Settings {
        mirrors: mirrors.into(),
        ..settings()
    };
    let authorities = vec![fs::read(&authority).expect("read")];
    let trusting = Settings {
        authorities: LazyAuthorities::default().with(authorities),
        ..by_mirror.clone()
    };
    let found = Registry::new(trusting, None)
        .resolve(&elsewhere)
        .await
        .expect("trusted");
    assert_eq!(seed_of(&found), "amd");
    let insecure = [registry.host.clone()].into();
    let anybody = Settings {
        insecure,
        ..by_mirror.clone()
    };
    Registry::new(anybody, None)
        .resolve(&elsewhere)
        .await
        .expect("not asked for a certificate");
    Registry::new(by_mirror, None)
        .resolve(&elsewhere)
        .await
        .expect_err("an unknown authority");
}
