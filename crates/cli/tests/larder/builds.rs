//! What a second machine gets of the first one's work, by every way that images are made.

use std::fs;
use std::path::Path;

use crate::kit::{SMALL, Store, build, context, wait_for};
use crate::machine::{ADDRESS, Machine};

/// Builds on two machines, and answers what the second one's build said.
fn on_two_machines(dockerfile: &str, options: &[&str], line: impl Fn(&Path) -> String) -> String {
    let store = Store::new();
    let folder = tempfile::tempdir().expect("a folder");
    let context = context(folder.path(), dockerfile);
    let first = Machine::new();
    let before = first.job(&store.url(), options, &line(&context)).saved();
    assert!(before.report["restored"].is_null(), "{}", before.said);
    first.assert_untouched();
    let second = Machine::new();
    let after = second.job(&store.url(), options, &line(&context));
    let after = after.saved().restored(&before);
    second.assert_untouched();
    after.said
}

fn cached(said: &str) -> usize {
    let cached = |line: &&str| line.ends_with(" CACHED") || line.contains("Using cache");
    said.lines().filter(cached).count()
}

#[test]
fn every_step_of_a_build_is_remembered_on_overlay2() {
    let said = on_two_machines(SMALL, &["--image-store", "overlay2"], |context| {
        build(context, "app") + " && docker run --rm app /bin/cat /one"
    });
    assert_eq!(cached(&said), 3, "{said}");
    assert!(
        said.contains("\none\n") || said.starts_with("one\n"),
        "{said}"
    );
}

#[test]
fn every_step_of_a_build_is_remembered_on_the_containerd_store() {
    let said = on_two_machines(SMALL, &["--image-store", "containerd"], |context| {
        build(context, "app") + " && docker run --rm app /bin/cat /one"
    });
    assert_eq!(cached(&said), 3, "{said}");
}

#[test]
fn the_classic_builder_finds_its_images() {
    for store in ["overlay2", "containerd"] {
        let said = on_two_machines(SMALL, &["--image-store", store], |context| {
            format!(
                "DOCKER_BUILDKIT=0 docker build -t app {}",
                context.display()
            )
        });
        assert_eq!(cached(&said), 3, "{store}: {said}");
    }
}

#[test]
fn a_cache_mount_keeps_its_content() {
    const MOUNTED: &str = "FROM scratch
COPY busybox /bin/busybox
ARG step
RUN --mount=type=cache,target=/cache [\"/bin/busybox\", \"sh\", \"-c\", \
    \"echo step-$step; /bin/busybox ls /cache; echo x > /cache/file-$step\"]
";
    let store = Store::new();
    let folder = tempfile::tempdir().expect("a folder");
    let context = context(folder.path(), MOUNTED);
    let line = |step: &str| build(&context, "app") + " --build-arg step=" + step;
    let first = Machine::new().job(&store.url(), &[], &line("a")).saved();
    assert!(!first.said.contains(" file-"), "{}", first.said);
    let second = Machine::new().job(&store.url(), &[], &line("b"));
    let second = second.saved().restored(&first);
    assert!(second.said.contains(" file-a\n"), "{}", second.said);
}

#[test]
fn two_images_on_one_base_are_remembered() {
    let said = on_two_machines(SMALL, &[], |context| {
        let web = context.join("web");
        fs::create_dir_all(&web).expect("made");
        fs::write(web.join("index"), "hello").expect("written");
        fs::write(
            web.join("Dockerfile"),
            "FROM base\nCOPY index /index\nRUN cat /index\n",
        )
        .expect("written");
        let job = context.join("job");
        fs::create_dir_all(&job).expect("made");
        fs::write(job.join("Dockerfile"), "FROM base\nRUN echo work\n").expect("written");
        [
            build(context, "base"),
            build(&web, "web"),
            build(&job, "job"),
        ]
        .join(" && ")
    });
    assert_eq!(cached(&said), 6, "{said}");
}

/// The tree of an image as tar prints it: modes, owners, sizes, devices, links and names.
const LIST: &str = "docker create --name it odd x >/dev/null && docker export it | tar --numeric-owner --xattrs -tvvf - \
    | grep -v -e ' dev/' -e ' etc/' -e ' proc/' -e ' sys/' -e .dockerenv | sort; docker rm it >/dev/null";

#[test]
fn odd_files_are_the_same_on_the_next_machine() {
    let store = Store::new();
    let first = Machine::new();
    let tree = first.path("tree");
    let make = format!(
        "mkdir -p {0}/d && cd {0} && touch 'a b' \"$(printf 'new\\nline')\" ünï && ln -s nowhere dangling \
         && ln 'a b' d/hard && mknod device c 1 3 && mkfifo pipe && truncate -s 50M sparse \
         && head -c 3000000 /dev/urandom > noise && chmod 4755 noise && setfattr -n user.x -v y noise; \
         chown 1234:5678 d; tar --xattrs -C {0} -c . | docker import - odd >/dev/null",
        tree.display()
    );
    let sums = "docker create --name sums odd x >/dev/null; docker export sums | tar -xO noise sparse | sha256sum; \
        docker rm sums >/dev/null";
    let line = format!("{make} && {LIST}; {sums}");
    let before = first.job(&store.url(), &["-q"], &line).saved();
    let after = Machine::new().job(&store.url(), &["-q"], &format!("{LIST}; {sums}"));
    let after = after.saved().restored(&before);
    let content = |said: &str| -> Vec<String> {
        let lines = said.lines().filter(|line| !line.starts_with("larder: "));
        lines.map(str::to_owned).collect()
    };
    assert!(content(&before.said).len() > 10, "{}", before.said);
    assert_eq!(content(&before.said), content(&after.said));
}

/// Starts Debian's registry on the machine's address.
pub(crate) fn serve_registry(machine: &Machine, root: &Path) {
    let config = machine.path("registry.yml");
    let text = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {ADDRESS}:5000\n",
        root.display()
    );
    fs::write(&config, text).expect("written");
    let line = format!(
        "docker-registry serve {} >/dev/null 2>&1 &",
        config.display()
    );
    machine.run("sh", &["-c", &line]);
    let reached = || {
        fs::read(
            machine
                .proc(machine.find("docker-registry")?)
                .join("net/tcp"),
        )
        .ok()
    };
    // Port 5000 in state LISTEN.
    wait_for("the registry", || {
        reached().filter(|table| {
            String::from_utf8_lossy(table)
                .lines()
                .any(|line| line.contains(":1388 ") && line.contains(" 0A "))
        })
    });
}

#[test]
fn a_pulled_image_need_not_be_pulled_again() {
    let store = Store::new();
    let registry = tempfile::tempdir().expect("a folder");
    let folder = tempfile::tempdir().expect("a folder");
    let context = context(folder.path(), SMALL);
    let name = format!("{ADDRESS}:5000/base:1");
    let first = Machine::new();
    serve_registry(&first, registry.path());
    let push = format!(
        "{} && docker push {name} && docker rmi {name} && docker builder prune -af && docker pull {name}",
        build(&context, &name)
    );
    let before = first.job(&store.url(), &[], &push).saved();
    // No registry runs on this machine.
    let use_it = format!("docker run --rm {name} /bin/cat /one");
    let second = Machine::new().job(&store.url(), &[], &use_it);
    let second = second.saved().restored(&before);
    assert!(second.said.contains("one\n"), "{}", second.said);
}
