//! Ways to an engine: TCP with and without TLS, ssh, contexts; and both docker commands with both
//! engines.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use larder_docker::{
    Address, ApiError, Chains, Endpoint, Environment, ImageStore, Remote, Result, Store,
};

use crate::engines::{Plain, Version, both, must};
use crate::machine::{DEADLINE, Machine, context, run};
use crate::shelf::{restore, save};

const SMALL: &str = "FROM scratch\nCOPY busybox /bin/busybox\nLABEL a=b\n";

/// Ports inside the engine's own network: nobody else is there.
const PLAIN: &str = "tcp://127.0.0.1:2375";
const WITH_TLS: &str = "tcp://127.0.0.1:2376";

/// Runs on the engine's side of the network, where its ports are.
fn beside<T: Send + 'static>(engine: &Plain, work: impl Future<Output = T> + Send + 'static) -> T {
    engine.room.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(work)
    })
}

async fn connect(environment: Environment) -> Result<Remote> {
    Remote::connect(Endpoint::find(&environment)?, DEADLINE).await
}

fn environment(host: &str) -> Environment {
    Environment {
        host: Some(host.to_owned()),
        ..Environment::default()
    }
}

/// An authority with a server's and a client's certificate, as docker's documentation makes them
/// ("Protect the Docker daemon socket").
fn certificates(folder: &Path) {
    fs::create_dir_all(folder).expect("made");
    let script = "cd \"$1\" && \
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca-key.pem -out ca.pem && \
        for name in server client; do \
          openssl req -newkey rsa:2048 -nodes -subj /CN=$name -keyout $name-key.pem -out $name.csr; \
        done && \
        printf 'subjectAltName=IP:127.0.0.1\\nextendedKeyUsage=serverAuth\\n' > server.ext && \
        printf 'extendedKeyUsage=clientAuth\\n' > client.ext && \
        for name in server client; do \
          openssl x509 -req -days 2 -in $name.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial \
            -extfile $name.ext -out $name.pem; \
        done && cp client.pem cert.pem && cp client-key.pem key.pem";
    let folder = folder.display().to_string();
    let made = run("sh", &["-ec", script, "sh", &folder]);
    assert!(made.status.success(), "{}", both(&made));
}

#[tokio::test]
async fn tcp_with_and_without_tls() {
    let machine = Machine::new();
    let (own, other) = (machine.path("own"), machine.path("other"));
    certificates(&own);
    certificates(&other);
    let at = |name: &str| own.join(name).display().to_string();
    let (ca, cert, key) = (at("ca.pem"), at("server.pem"), at("server-key.pem"));
    let options = ["--tlsverify", "--tlscacert", &ca, "--tlscert", &cert];
    let options: Vec<&str> = options
        .into_iter()
        .chain(["--tlskey", &key, "--host", WITH_TLS])
        .collect();
    for version in [Version::Older, Version::Current] {
        let name = format!("{version:?}");
        let engine = Plain::start(&machine, &name, version, ImageStore::Overlay2, &options);
        let with = |folder: &Path| Environment {
            tls_verify: true,
            cert_path: Some(folder.to_owned()),
            ..environment(WITH_TLS)
        };
        let trusted = with(&own);
        let stranger = with(&other);
        let careless = Environment {
            tls: true,
            tls_verify: false,
            ..with(&own)
        };
        let plain = environment("tcp://127.0.0.1:2376");
        let image = context(machine.directory.path(), SMALL);
        must(engine.docker(&["build", "-q", "-t", "small"]).arg(image));
        let answers = beside(&engine, async move {
            let api = connect(trusted).await.expect("it is trusted");
            let saved = save(&api, &[], Chains::Tops, None).await;
            api.remove("small").await.expect("removed");
            restore(&api, &saved).await;
            assert!(api.inspect("small").await.expect("it answers").is_some());
            assert!(connect(careless).await.is_ok());
            (connect(stranger).await.err(), connect(plain).await.err())
        });
        let (stranger, plain) = (answers.0.expect("refused"), answers.1.expect("refused"));
        assert!(
            matches!(stranger, ApiError::Unreachable { .. })
                && stranger.to_string().contains("DOCKER_CERT_PATH"),
            "{stranger}"
        );
        assert!(plain.to_string().contains("HTTPS"), "{plain}");
    }
}

#[tokio::test]
async fn plain_tcp_and_what_an_engine_is() {
    let machine = Machine::new();
    for (name, version, store, api, buildkit) in [
        ("a", Version::Older, ImageStore::Overlay2, "1.41", false),
        ("b", Version::Current, ImageStore::Overlay2, "1.45", true),
        ("c", Version::Current, ImageStore::Containerd, "1.45", true),
    ] {
        let engine = Plain::start(&machine, name, version, store, &["--host", PLAIN]);
        let about = beside(&engine, async {
            let remote = connect(environment(PLAIN)).await.expect("it answers");
            remote.about().clone()
        });
        assert_eq!(about.image_store, Store::Known(store));
        assert_eq!(about.api.to_string(), api);
        assert_eq!(about.prefers_buildkit, buildkit);
        assert_eq!(about.trusts_loaded_parents(), version == Version::Older);
        let limited = Environment {
            api_version: Some("1.30".to_owned()),
            ..environment(PLAIN)
        };
        let refused = beside(&engine, async { connect(limited).await.err() });
        let refused = refused.expect("too old").to_string();
        assert!(refused.contains("20.10"), "{refused}");
    }
}

/// ssh is played by a shell that runs what sshd would, in its way: the words after the host, joined,
/// given to the user's shell.
fn pretend_ssh(folder: &Path, docker: &Path) {
    fs::create_dir_all(folder).expect("made");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {folder}/asked\n\
         while [ \"$1\" != -- ]; do shift; done\nshift\n\
         [ \"$1\" = nobody.invalid ] && {{ echo 'ssh: Could not resolve hostname' >&2; exit 255; }}\n\
         shift\nexport PATH={docker}:$PATH\nexec sh -c \"$*\"\n",
        folder = folder.display(),
        docker = docker.display(),
    );
    let program = folder.join("ssh");
    fs::write(&program, script).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("changed");
}

#[tokio::test]
async fn through_ssh() {
    let machine = Machine::new();
    let engine = Plain::start(&machine, "a", Version::Current, ImageStore::Overlay2, &[]);
    let programs = machine.path("programs");
    pretend_ssh(&programs, Path::new("/usr/bin"));
    let host = |host: &str| Environment {
        search: vec![programs.clone()],
        ..environment(&format!("ssh://{host}{}", engine.socket.display()))
    };
    let image = context(machine.directory.path(), SMALL);
    must(engine.docker(&["build", "-q", "-t", "small"]).arg(image));
    let api = connect(host("ci@far.example:2222")).await;
    let api = api.expect("it answers");
    for _ in 0..10 {
        assert_eq!(api.images(false).await.expect("listed").len(), 1);
    }
    let saved = save(&api, &[], Chains::Tops, None).await;
    api.remove("small").await.expect("removed");
    restore(&api, &saved).await;
    assert!(api.inspect("small").await.expect("it answers").is_some());
    let asked = fs::read_to_string(programs.join("asked")).expect("it was asked");
    let socket = engine.socket.display();
    assert_eq!(
        asked.lines().next().expect("a line"),
        format!(
            "-o ConnectTimeout=30 -T -l ci -p 2222 -- far.example docker --host=unix://'{socket}' system dial-stdio"
        )
    );
    assert!(asked.lines().count() < 10, "connections are kept:\n{asked}");

    let failed = connect(host("nobody.invalid")).await.expect_err("nobody");
    assert!(
        failed.to_string().contains("Could not resolve hostname"),
        "{failed}"
    );
}

/// A folder with contexts that the docker command itself made.
fn contexts(engine: &Plain, certificates: &Path) -> PathBuf {
    let at = |name: &str| certificates.join(name).display().to_string();
    let local = format!("host=unix://{}", engine.socket.display());
    let far = format!(
        "host=tcp://10.1.2.3:1234,ca={},cert={},key={}",
        at("ca.pem"),
        at("cert.pem"),
        at("key.pem")
    );
    for (name, docker) in [("local", &local), ("far", &far)] {
        must(&mut engine.docker(&["context", "create", name, "--docker", docker]));
    }
    must(
        engine
            .docker(&["context", "use", "local"])
            .env_remove("DOCKER_HOST"),
    );
    engine.config.clone()
}

#[tokio::test]
async fn contexts_of_both_docker_commands_are_found() {
    let machine = Machine::new();
    let own = machine.path("own");
    certificates(&own);
    for version in [Version::Older, Version::Current] {
        let name = format!("{version:?}");
        let engine = Plain::start(&machine, &name, version, ImageStore::Overlay2, &[]);
        let current = Environment {
            config: Some(contexts(&engine, &own)),
            ..Environment::default()
        };
        let endpoint = Endpoint::find(&current).expect("found");
        assert_eq!(endpoint.address, Address::Unix(engine.socket.clone()));
        assert_eq!(endpoint.source, "context \"local\"");
        connect(current.clone()).await.expect("it answers");
        let far = Environment {
            context: Some("far".to_owned()),
            ..current.clone()
        };
        let Address::Tcp { host, port, tls } = Endpoint::find(&far).expect("found").address else {
            panic!("it is on TCP");
        };
        assert_eq!((host.as_str(), port), ("10.1.2.3", 1234));
        let tls = tls.expect("with TLS");
        let copied = fs::read(tls.authority.expect("an authority")).expect("readable");
        assert_eq!(copied, fs::read(own.join("ca.pem")).expect("readable"));
        assert!(tls.identity.is_some() && !tls.any_server);
        let missing = Environment {
            context: Some("gone".to_owned()),
            ..current.clone()
        };
        let missing = Endpoint::find(&missing).expect_err("it is not there");
        assert!(
            missing.to_string().contains("docker context ls"),
            "{missing}"
        );
        // DOCKER_HOST wins over both.
        let host = Environment {
            host: Some("unix:///elsewhere".to_owned()),
            ..far
        };
        let host = Endpoint::find(&host).expect("found");
        assert_eq!(host.to_string(), "unix:///elsewhere (DOCKER_HOST)");
    }
}

/// Either docker command works with either engine and either builder; the older one's `BuildKit`
/// needs no plugin.
#[tokio::test]
async fn docker_commands_and_engines_of_both_versions() {
    let machine = Machine::new();
    let image = context(machine.directory.path(), SMALL);
    for engine_version in [Version::Older, Version::Current] {
        let name = format!("{engine_version:?}");
        let store = ImageStore::Overlay2;
        let engine = Plain::start(&machine, &name, engine_version, store, &[]);
        for command in [Version::Older, Version::Current] {
            for buildkit in ["0", "1"] {
                let tag = format!("from-{buildkit}");
                let mut build = engine.docker_of(command, &["build", "-t", &tag]);
                must(build.env("DOCKER_BUILDKIT", buildkit).arg(&image));
                let tar = machine.path("saved.tar").display().to_string();
                must(&mut engine.docker_of(command, &["save", "-o", &tar, &tag]));
                must(&mut engine.docker_of(command, &["rmi", "-f", &tag]));
                must(&mut engine.docker_of(command, &["load", "-i", &tar]));
                must(&mut engine.docker_of(command, &["image", "inspect", &tag]));
            }
        }
    }
}
