//! Archives in a store behind the network: a real S3 server.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use larder_docker::ImageStore;

use crate::application::Work;
use crate::engines::Version;
use crate::kit::{Said, Site};
use crate::s3::{self, KEY, PORT, SECRET, STORE};

/// What the layers of two images hold, in bytes.
const NOISE: u64 = 30 << 20;
const TWICE: &str = "FROM base:1 AS noise\nRUN dd if=/dev/urandom of=/noise bs=1M count=30\n\
    FROM base:1\nCOPY --from=noise /noise /noise\n";

/// The server, in the room of the machine's network; it ends with its owner.
struct Server(Child);

impl Server {
    fn start(work: &Work) -> Self {
        let log = work.machine.path("moto.log");
        let start = move || s3::start(Command::new(s3::program()), &log);
        let server = Self(work.machine.host.run(start));
        let started = Instant::now();
        let made = || Command::new("sh").args(["-c", s3::MAKE_BUCKET]).output();
        while !work
            .machine
            .host
            .run(made)
            .is_ok_and(|it| it.status.success())
        {
            let waited = started.elapsed();
            assert!(waited < Duration::from_secs(60), "the S3 server is silent");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `larder build` with the store on the server.
fn build(site: &Site<'_>) -> Said {
    let mut command = site.build_command(true, &["--always"], &[]);
    s3::with_credentials(&mut command, PORT).env("LARDER_STORE", STORE);
    site.run_in_network(command).done()
}

#[test]
fn archives_rest_in_s3_and_what_layers_share_is_fetched_once() {
    let work = Work::new();
    fs::write(work.context.join("Dockerfile"), TWICE).expect("written");
    let server = Server::start(&work);
    let site = |name| work.site(name, Version::Current, ImageStore::Overlay2);
    let (first, second, third) = (site("a"), site("b"), site("c"));
    let saved = build(&first);
    saved.says("saved ");
    let restored = build(&second);
    assert_eq!(restored.cached(), 2, "{restored:?}");
    let of = |name: &str| {
        restored.report["restored"][name]
            .as_u64()
            .expect("a number")
    };
    assert!(of("bytes") > 2 * NOISE, "{restored:?}");
    assert!(of("fetched_bytes") < NOISE * 11 / 10, "{restored:?}");

    drop(server);
    let alone = build(&third);
    assert_eq!(alone.cached(), 0, "{alone:?}");
    alone.says("nothing restored:").says("nothing saved:");
    for said in [saved, restored, alone] {
        let seen = format!("{said:?}");
        assert!(!seen.contains(SECRET) && !seen.contains(KEY), "{seen}");
    }
}
