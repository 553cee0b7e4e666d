//! The application that engines build in tests, and its base image.

use std::fs;
use std::path::{Path, PathBuf};

use larder_docker::ImageStore;

use crate::engines::{Plain, Version, must};
use crate::machine::{Machine, context};

/// Its base image.
pub(crate) const BASE: &str = "FROM scratch\n\
    COPY busybox /bin/busybox\n\
    RUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox --install -s /bin\"]\n\
    ENV PATH=/bin\n";

/// Three stages; metadata in the middle; steps that both builders count.
pub(crate) const DOCKERFILE: &str = "FROM base:1 AS build\n\
    WORKDIR /app\n\
    ENV A=1\n\
    COPY package.json /app/\n\
    RUN mkdir modules && for i in $(seq 300); do echo $i > modules/$i; done\n\
    COPY src /app/src\n\
    RUN cat src/* > out\n\
    FROM base:1 AS assets\n\
    RUN echo css > /css\n\
    LABEL kind=assets\n\
    FROM base:1\n\
    LABEL x=y\n\
    RUN echo runtime > /runtime\n\
    COPY --from=assets /css /css\n\
    COPY --from=build /app/out /out\n\
    RUN cat /out > /final\n\
    CMD [\"cat\", \"/final\"]\n";

/// What is built, and the base image as a registry would give it: the same bytes on each machine.
pub(crate) struct Work {
    pub machine: Machine,
    pub context: PathBuf,
    base: PathBuf,
}

impl Work {
    pub(crate) fn new() -> Self {
        let machine = Machine::new();
        let base = machine.path("base.tar");
        save_base(&machine, &base);
        let context = machine.path("application");
        fs::create_dir_all(context.join("src")).expect("made");
        fs::write(context.join("Dockerfile"), DOCKERFILE).expect("written");
        fs::write(context.join("package.json"), "{}").expect("written");
        fs::write(context.join("src/a"), "first").expect("written");
        Self {
            machine,
            context,
            base,
        }
    }

    /// The engine of a fresh machine that has pulled the base image.
    pub(crate) fn engine(&self, name: &str, version: Version, store: ImageStore) -> Plain {
        let engine = Plain::start(&self.machine, name, version, store, &[]);
        must(engine.docker(&["load", "-qi"]).arg(&self.base));
        engine
    }

    pub(crate) fn change_source(&self, content: &str) {
        fs::write(self.context.join("src/a"), content).expect("written");
    }
}

/// The base image as a tar: the same bytes for each machine, and for all tests that share it, each in a process
/// of its own.
fn save_base(machine: &Machine, tar: &Path) {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("base-{}.tar", blake3::hash(BASE.as_bytes())));
    let lock = fs::File::create(made.with_extension("lock")).expect("a lock");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("locked");
    if !made.exists() {
        let part = made.with_extension("part");
        build_base(machine, BASE, "base:1", &part);
        fs::rename(part, &made).expect("renamed");
    }
    fs::copy(made, tar).expect("copied");
}

/// Builds an image on an engine of its own, and saves it as a tar.
pub(crate) fn build_base(machine: &Machine, dockerfile: &str, name: &str, tar: &Path) {
    let short = name.replace(['/', ':', '.'], "-");
    let base_context = context(&machine.path(&short), dockerfile);
    let maker = Plain::start(
        machine,
        &format!("m{short}"),
        Version::Current,
        ImageStore::Overlay2,
        &[],
    );
    let mut build = maker.docker(&["build", "-q", "--network=none", "-t", name]);
    must(build.env("DOCKER_BUILDKIT", "0").arg(base_context));
    must(maker.docker(&["save", "-o"]).arg(tar).arg(name));
}
