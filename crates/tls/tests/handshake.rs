//! Handshakes with `openssl s_server`, whose certificates Go's `crypto/tls` takes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_tls::{Authorities, Identity};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// Runs `openssl` in a folder.
fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .expect("openssl runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
}

const NAMES: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";

/// As docker's documentation makes a certificate for a registry: it says that it is an authority's.
fn self_signed(folder: &Path, name: &str, curve: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:{curve} -nodes -days 2 -subj /CN={name} \
             -addext {NAMES} -keyout {name}.key -out {name}.crt"
        ),
    );
}

/// A certificate by the authority `ca`.
fn signed(folder: &Path, name: &str, key: &str, hash: &str) {
    fs::write(folder.join("ext"), NAMES).expect("written");
    openssl(
        folder,
        &format!("req -newkey {key} -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"),
    );
    openssl(
        folder,
        &format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -{hash} \
             -extfile ext -out {name}.crt"
        ),
    );
}

struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(folder: &Path, name: &str, more: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let process = Command::new("openssl")
            .args(["s_server", "-www", "-accept", &format!("127.0.0.1:{port}")])
            .args([
                "-cert",
                &format!("{name}.crt"),
                "-key",
                &format!("{name}.key"),
            ])
            .args(more.split_whitespace())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl runs");
        Self { process, port }
    }

    /// Whether it answers somebody with this configuration who wants that name.
    fn answers(&self, config: ClientConfig, name: &str) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(10);
        let stream = loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > until => panic!("{error}"),
                Err(_) => std::thread::yield_now(),
            }
        };
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut stream = StreamOwned::new(client, stream);
        let mut answer = Vec::new();
        let told = stream
            .write_all(b"GET / HTTP/1.0\r\n\r\n")
            .and_then(|()| stream.read_to_end(&mut answer));
        match told {
            Ok(_) => Ok(()),
            // This server closes without saying so.
            Err(_) if answer.starts_with(b"HTTP/1.0 200") => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn trusting(folder: &Path, names: &[&str]) -> Authorities {
    let mut authorities = Authorities::default();
    for name in names {
        let pem = fs::read(folder.join(format!("{name}.crt"))).expect("read");
        assert_eq!(authorities.add_pem(&pem), 1);
    }
    authorities
}

/// By whoever trusts another authority of the same name.
fn assert_refused(server: &Server, folder: &Path, curve: &str) {
    fs::create_dir(folder).expect("a folder");
    self_signed(folder, "ca", curve);
    let refused = server.answers(config(&trusting(folder, &["ca"])), "localhost");
    refused.expect_err("another key");
}

fn config(authorities: &Authorities) -> ClientConfig {
    larder_tls::client(authorities.clone(), Vec::new()).expect("a configuration")
}

#[test]
fn a_certificate_that_is_trusted_itself_will_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    self_signed(folder, "own", "prime256v1");
    self_signed(folder, "other", "prime256v1");
    let server = Server::start(folder, "own", "");
    let own = trusting(folder, &["other", "own"]);
    for name in ["localhost", "127.0.0.1"] {
        server.answers(config(&own), name).expect("trusted");
    }
    let refusal = server.answers(config(&own), "elsewhere.example");
    assert!(
        refusal
            .expect_err("another name")
            .contains("not valid for name")
    );
    let refusal = server.answers(config(&trusting(folder, &["other"])), "localhost");
    refusal.expect_err("somebody else is trusted");
    let any = larder_tls::client_of_any_server(Vec::new());
    server
        .answers(any, "elsewhere.example")
        .expect("any will do");
}

#[test]
fn a_server_that_is_trusted_itself_vouches_for_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    for (constraint, expected) in [("FALSE", false), ("TRUE", true)] {
        openssl(
            folder,
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca \
                 -addext {NAMES} -addext basicConstraints=critical,CA:{constraint} -keyout ca.key -out ca.crt"
            ),
        );
        signed(folder, "server", "rsa:2048", "sha256");
        let trusted = trusting(folder, &["ca"]);
        let server = Server::start(folder, "server", "");
        let answer = server.answers(config(&trusted), "localhost");
        assert_eq!(answer.is_ok(), expected, "{answer:?}");
        let itself = Server::start(folder, "ca", "");
        let answer = itself.answers(config(&trusted), "localhost");
        answer.expect("it is trusted itself");
    }
}

#[test]
fn signatures_of_p521_are_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    self_signed(folder, "ca", "secp521r1");
    let p521 = "ec -pkeyopt ec_paramgen_curve:secp521r1";
    for (name, key, hash, version) in [
        ("a", p521, "sha512", "-tls1_3"),
        ("b", "rsa:2048", "sha384", "-tls1_2"),
        ("c", "rsa:2048", "sha256", "-tls1_3"),
    ] {
        signed(folder, name, key, hash);
        let server = Server::start(folder, name, version);
        let trusted = config(&trusting(folder, &["ca"]));
        server.answers(trusted, "localhost").expect(name);
        assert_refused(&server, &folder.join(name), "secp521r1");
    }
}

#[test]
fn a_hash_may_be_longer_than_the_curve() {
    for curve in ["prime256v1", "secp384r1"] {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        self_signed(folder, "ca", curve);
        let key = format!("ec -pkeyopt ec_paramgen_curve:{curve}");
        for version in ["-tls1_3", "-tls1_2"] {
            signed(folder, "own", &key, "sha512");
            let server = Server::start(folder, "own", version);
            let trusted = config(&trusting(folder, &["ca"]));
            server.answers(trusted, "localhost").expect(curve);
            assert_refused(&server, &folder.join(version), curve);
        }
    }
}

#[test]
fn a_server_may_say_that_it_is_an_authority() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    self_signed(folder, "ca", "secp384r1");
    signed(folder, "own", "rsa:2048", "sha256");
    let sign = |more: &str, days: i32| {
        let text = format!("{NAMES}\nbasicConstraints=critical,CA:TRUE\n{more}\n");
        fs::write(folder.join("ext"), text).expect("written");
        let certificate = format!(
            "x509 -req -in own.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days {days} -extfile ext -out own.crt"
        );
        openssl(folder, &certificate);
    };
    let answers = |authority: &Path, name: &str| {
        let server = Server::start(folder, "own", "");
        server.answers(config(&trusting(authority, &["ca"])), name)
    };
    for more in [
        "",
        "keyUsage=critical,keyCertSign,cRLSign",
        "extendedKeyUsage=clientAuth,serverAuth",
        "extendedKeyUsage=2.5.29.37.0",
    ] {
        sign(more, 2);
        answers(folder, "localhost").expect("the authority signed it");
    }
    answers(folder, "elsewhere.example").expect_err("another name");
    // Another authority of the same name.
    let other = folder.join("other");
    fs::create_dir(&other).expect("a folder");
    self_signed(&other, "ca", "secp384r1");
    answers(&other, "localhost").expect_err("another key");
    sign("extendedKeyUsage=clientAuth", 2);
    answers(folder, "localhost").expect_err("not for servers");
    let server = Server::start(folder, "own", "");
    let itself = config(&trusting(folder, &["own"]));
    server
        .answers(itself, "localhost")
        .expect_err("though it is trusted itself");
    sign("extendedKeyUsage=2.5.29.37.0\nbasicConstraints=CA:FALSE", 2);
    answers(folder, "localhost").expect("any purpose is one");
    sign("", -1);
    answers(folder, "localhost").expect_err("too old");
}

#[test]
fn a_wildcard_may_be_of_a_top_level_domain() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    self_signed(folder, "ca", "prime256v1");
    signed(folder, "own", "rsa:2048", "sha256");
    fs::write(folder.join("ext"), "subjectAltName=DNS:*.Local").expect("written");
    openssl(
        folder,
        "x509 -req -in own.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out own.crt",
    );
    let server = Server::start(folder, "own", "");
    // By its authority, and by itself.
    for trusted in ["ca", "own"] {
        let trusted = trusting(folder, &[trusted]);
        let answers = |name: &str| server.answers(config(&trusted), name);
        answers("registry.local").expect("one label for the star");
        for name in ["local", "a.registry.local", "registry.locale", "127.0.0.1"] {
            answers(name).expect_err(name);
        }
    }
    self_signed(folder, "other", "prime256v1");
    let other = config(&trusting(folder, &["other"]));
    server
        .answers(other, "registry.local")
        .expect_err("somebody else is trusted");
}

#[test]
fn a_server_is_shown_the_certificate_that_it_can_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    self_signed(folder, "own", "prime256v1");
    self_signed(folder, "clients", "prime256v1");
    self_signed(folder, "others", "prime256v1");
    let identity = |name: &str, key: &str, authority: &str| {
        fs::write(folder.join("ext"), "extendedKeyUsage=clientAuth").expect("written");
        openssl(
            folder,
            &format!(
                "req -newkey {key} -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
            ),
        );
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial \
                 -days 2 -extfile ext -out {name}.crt"
            ),
        );
        let read = |end: &str| fs::read(folder.join(format!("{name}.{end}"))).expect("read");
        Identity::from_pem(&read("crt"), &read("key")).expect("an identity")
    };
    let good = identity("good", "rsa:2048", "clients");
    let other = identity("other", "rsa:2048", "others");
    let p521 = identity("p521", "ec -pkeyopt ec_paramgen_curve:secp521r1", "clients");
    let server = Server::start(
        folder,
        "own",
        "-Verify 1 -verify_return_error -CAfile clients.crt",
    );
    let own = trusting(folder, &["own"]);
    let with = |identities: Vec<Identity>| {
        let config = larder_tls::client(own.clone(), identities).expect("a configuration");
        server.answers(config, "localhost")
    };
    with(vec![other.clone(), good]).expect("the second is of an authority that it knows");
    with(vec![p521]).expect("a key of P-521");
    with(vec![other]).expect_err("nobody that it knows");
    with(Vec::new()).expect_err("nobody");
    // A key of another certificate is told at once.
    let read = |name: &str| fs::read(folder.join(name)).expect("read");
    Identity::from_pem(&read("good.crt"), &read("other.key")).expect_err("another's key");
    Identity::from_pem(&read("good.crt"), &read("p521.key")).expect_err("another's key");
    openssl(folder, "ec -in p521.key -out sec1.key");
    Identity::from_pem(&read("p521.crt"), &read("sec1.key")).expect("its older form");
    Identity::from_pem(b"", &read("good.key")).expect_err("no certificate");
    Identity::from_pem(&read("good.crt"), b"").expect_err("no key");
}
