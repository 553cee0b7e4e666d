//! Deaths at bad moments: the job's own result is passed on, the next job works, nothing stays behind,
//! and nothing that was published is lost.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::kit::{SMALL, Store, build, context, text, wait_for};
use crate::machine::{self, Job, Machine};

/// A machine whose project has a published snapshot.
struct Shop {
    store: Store,
    machine: Machine,
    context: PathBuf,
    first: Job,
}

impl Shop {
    fn new() -> Self {
        let (store, machine) = (Store::new(), Machine::new());
        let context = context(machine.folder.path(), SMALL);
        let first = machine
            .job(&store.url(), &[], &build(&context, "app"))
            .saved();
        Self {
            store,
            machine,
            context,
            first,
        }
    }

    /// Starts a job in the background of the test.
    fn start(&self, line: &str) -> Child {
        let mut run = self.machine.larder_on("run", &self.store.url(), "private");
        run.arg("--json")
            .arg(self.report())
            .args(["--", "sh", "-c", line]);
        let child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        child.expect("larder starts")
    }

    fn report(&self) -> PathBuf {
        self.machine.path("interrupted.json")
    }

    fn end(&self, child: Child) -> Job {
        Job::of(child.wait_with_output().expect("it ends"), &self.report())
    }

    /// A build whose last step hangs.
    fn hanging_build(&self) -> (Child, i32) {
        let file = self.context.join("Hanging");
        let text = format!("{SMALL}RUN [\"/bin/sleep\", \"777\"]\n");
        std::fs::write(&file, text).expect("written");
        let line = format!("{} -f {}", build(&self.context, "app"), file.display());
        let child = self.start(&line);
        let step = wait_for("the hanging step", || self.machine.find("/bin/sleep 777"));
        (child, step)
    }

    /// A job that has made much to save and now ends, and its background process.
    fn noise(&self) -> (Child, i32) {
        let [made, go] = ["made", "go"].map(|name| self.machine.path(name));
        let line = format!(
            "head -c 400M /dev/urandom > $HOME/noise && tar -C $HOME -c noise | docker import - noise; \
             touch {}; until [ -e {} ]; do sleep 0.01; done",
            made.display(),
            go.display()
        );
        let child = self.start(&line);
        wait_for("the command", || made.exists().then_some(()));
        // Known beforehand: the end goes on while it is looked for.
        let background = self.machine.background();
        std::fs::write(go, "").expect("written");
        (child, background)
    }

    /// The next job restores the first one's snapshot, hits every step, and leaves nothing.
    fn next_job_works(&self) {
        let job = self
            .machine
            .job(&self.store.url(), &[], &build(&self.context, "app"));
        let job = job.saved().restored(&self.first);
        assert_eq!(job.cached(), 3, "{}", job.said);
        self.machine.assert_untouched();
        let mut ls = self.machine.larder("ls");
        ls.args(["--json", "--project", "shop", "--store", &self.store.url()]);
        let listed = ls.output().expect("larder starts").stdout;
        let listed = String::from_utf8_lossy(&listed);
        for of in [&self.first, &job] {
            let id = of.report["saved"]["snapshot"].as_str().expect("an id");
            assert!(listed.contains(id), "{listed}");
        }
    }
}

#[test]
fn the_background_process_is_killed_in_a_build() {
    let shop = Shop::new();
    let (child, _) = shop.hanging_build();
    shop.machine.kill(shop.machine.background());
    let job = shop.end(child);
    assert!(job.code == 1 && job.said.contains("ERROR"), "{}", job.said);
    assert!(
        job.said
            .contains("nothing saved: the background process died"),
        "{}",
        job.said
    );
    shop.next_job_works();
}

#[test]
fn down_clears_what_a_killed_session_left() {
    let shop = Shop::new();
    let (child, _) = shop.hanging_build();
    shop.machine.kill(shop.machine.background());
    shop.end(child);
    let down = shop.machine.larder("down").output().expect("larder starts");
    assert!(down.status.success());
    shop.machine.assert_untouched();
    shop.next_job_works();
}

#[test]
fn the_engine_is_killed_in_a_build() {
    for program in ["dockerd", "containerd"] {
        let shop = Shop::new();
        let (child, _) = shop.hanging_build();
        let daemon = shop.machine.find(&format!("/{program} "));
        shop.machine.kill(daemon.expect("it runs"));
        let job = shop.end(child);
        assert_ne!(job.code, 0, "{}", job.said);
        let why = format!("the engine's {program} was ended by signal 9");
        // At once, at the end, and in the table.
        assert_eq!(job.said.matches(&why).count(), 3, "{}", job.said);
        shop.machine.assert_untouched();
        shop.next_job_works();
    }
}

#[test]
fn the_session_of_a_killed_run_ends_by_itself_and_is_saved() {
    let shop = Shop::new();
    let made = shop.machine.path("made");
    let line = format!(
        "tar -C {} -c Dockerfile | docker import - extra && touch {}; exec sleep 888",
        shop.context.display(),
        made.display()
    );
    let child = shop.start(&line);
    wait_for("the command", || made.exists().then_some(()));
    machine::signal(&child, rustix::process::Signal::KILL);
    wait_for("the session's end", || {
        shop.machine.find(" __serve").is_none().then_some(())
    });
    let command = shop.machine.find("sleep 888");
    shop.machine
        .kill(command.expect("the command is not the session's to end"));
    shop.end(child);
    shop.machine.assert_untouched();
    assert_eq!(shop.store.objects("snapshots").len(), 2);
    let job = shop
        .machine
        .job(&shop.store.url(), &[], "docker image inspect extra");
    assert_eq!(job.code, 0, "{}", job.said);
}

#[test]
fn the_background_process_is_killed_while_it_saves() {
    let shop = Shop::new();
    let packs = shop.store.objects("packs").len();
    let (child, background) = shop.noise();
    wait_for("the first pack", || {
        (shop.store.objects("packs").len() > packs).then_some(())
    });
    shop.machine.kill(background);
    let job = shop.end(child);
    assert_eq!(job.code, 0, "the command succeeded: {}", job.said);
    assert!(
        job.report.is_null() && job.said.contains("warning"),
        "{}",
        job.said
    );
    assert_eq!(shop.store.objects("snapshots").len(), 1);
    shop.next_job_works();
}

#[test]
fn a_signal_ends_a_save() {
    let shop = Shop::new();
    let packs = shop.store.objects("packs").len();
    let (child, _) = shop.noise();
    wait_for("the first pack", || {
        (shop.store.objects("packs").len() > packs).then_some(())
    });
    machine::signal(&child, rustix::process::Signal::TERM);
    let job = shop.end(child);
    assert_eq!(job.code, 0, "the command succeeded: {}", job.said);
    assert!(
        job.said.contains("nothing saved: a signal ended the save"),
        "{}",
        job.said
    );
    assert_eq!(shop.store.objects("snapshots").len(), 1);
    shop.next_job_works();
}

/// GitHub's runner sends these, with some seconds between; other systems the last two. The step hangs in a build.
#[test]
fn a_cancelled_job_leaves_a_whole_snapshot_or_none() {
    use rustix::process::Signal;
    let shop = Shop::new();
    let (child, _) = shop.hanging_build();
    // A shell that waits for a command heeds the second one first.
    machine::signal(&child, Signal::INT);
    machine::signal(&child, Signal::TERM);
    wait_for("the end of the build", || {
        shop.machine.find("/bin/sleep 777").is_none().then_some(())
    });
    machine::signal(&child, Signal::KILL);
    shop.end(child);
    wait_for("the session's end", || {
        shop.machine.find(" __serve").is_none().then_some(())
    });
    let saved = shop.store.objects("snapshots").len();
    assert!((1..=2).contains(&saved), "{saved}");
    let mut verify = shop.machine.larder("verify");
    verify.args(["--data", "--store", &shop.store.url()]);
    let verified = verify.output().expect("larder starts");
    assert!(verified.status.success(), "{}", text(&verified));
    let job = shop
        .machine
        .job(&shop.store.url(), &[], &build(&shop.context, "app"))
        .saved();
    assert_eq!(job.cached(), 3, "{}", job.said);
    shop.machine.assert_untouched();
}

/// One of its threads waits then for the disk that it serves itself, and cannot end: whoever waits for its
/// word must not wait for ever.
#[test]
fn the_background_process_is_killed_while_it_closes() {
    let shop = Shop::new();
    let (child, background) = shop.noise();
    wait_for("the engine's end", || {
        let engine = shop.machine.find("/dockerd ");
        engine.is_none().then_some(())
    });
    shop.machine.kill(background);
    let job = shop.end(child);
    assert_eq!(job.code, 0, "the command succeeded: {}", job.said);
    assert!(job.said.contains("nothing saved"), "{}", job.said);
    shop.next_job_works();
}

/// Has the files' readers wait while they open them, for a lease that is not given back: until standard input ends.
const HOLD: &str = "
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
files = [open(path, 'r+') for path in sys.argv[1:]]
for file in files:
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('held', flush=True)
sys.stdin.read()
";

/// The kernel reads the volume's superblock then, and the thread that mounts waits for the process's own answer:
/// dead, it has the state directory's lock and the loop device until somebody aborts its FUSE connection.
#[test]
fn the_background_process_is_killed_while_it_mounts() {
    let shop = Shop::new();
    let mut holding = std::process::Command::new("python3");
    holding.args(["-c", HOLD]).args(shop.store.objects("packs"));
    let mut holding = holding
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut held = [0; 5];
    let said = holding.stdout.as_mut().expect("it is piped");
    said.read_exact(&mut held).expect("held");
    let child = shop.start("true");
    let background = wait_for("the background process", || shop.machine.find(" __serve"));
    wait_for("the mount", || {
        shop.machine.waits_for_disk(background).then_some(())
    });
    shop.machine.kill(background);
    let job = shop.end(child);
    assert_eq!(job.code, 1, "{}", job.said);
    drop(holding.stdin.take());
    assert!(holding.wait().expect("it ends").success());
    shop.next_job_works();
}

#[test]
fn what_a_full_local_disk_held_is_not_saved() {
    let shop = Shop::new();
    let state = shop.machine.state().display().to_string();
    shop.machine.run(
        "mount",
        &["-t", "tmpfs", "-o", "size=64m,mode=700", "full", &state],
    );
    let line =
        "head -c 200M /dev/urandom > $HOME/noise && tar -C $HOME -c noise | docker import - noise";
    let job = shop.machine.job(&shop.store.url(), &[], line);
    // The command itself may have got by with memory, as it may on any full disk.
    let why = job.report["not_saved"]["because"]
        .as_str()
        .expect("a reason");
    assert!(why.contains("No space left on device"), "{why}");
    assert_eq!(shop.store.objects("snapshots").len(), 1);
    // The session says its last word before it closes its files.
    wait_for("the session to let go of the disk", || {
        let umount = shop.machine.command("umount").arg(&state).output();
        umount.expect("it starts").status.success().then_some(())
    });
    shop.next_job_works();
}

#[test]
fn two_jobs_save_the_same_lineage_at_once() {
    let store = Store::new();
    let machines = ["one", "two"].map(|name| {
        let machine = Machine::new();
        let mut up = machine.larder_on("up", &store.url(), "private");
        let up = up.arg("--no-context").output().expect("larder starts");
        assert!(up.status.success(), "{}", text(&up));
        let line = format!(
            "echo {name} > $HOME/{name}; tar -C $HOME -c {name} | \
             DOCKER_HOST=unix://$(ls /run/larder/*/docker.sock) docker import - {name}"
        );
        machine.run("sh", &["-c", &line]);
        machine
    });
    let downs = machines.each_ref().map(|machine| {
        let mut down = machine.larder("down");
        down.stdout(Stdio::piped()).stderr(Stdio::piped());
        down.spawn().expect("larder starts")
    });
    for (down, machine) in downs.into_iter().zip(&machines) {
        let down = down.wait_with_output().expect("it ends");
        assert!(down.status.success(), "{}", text(&down));
        machine.assert_untouched();
    }
    assert_eq!(store.objects("snapshots").len(), 2);
    let machine = Machine::new();
    let line = "docker image inspect one >/dev/null || docker image inspect two";
    let job = machine.job(&store.url(), &[], line).saved();
    let parent = &job.report["saved"]["parent"];
    let names = store.objects("snapshots");
    let id = parent.as_str().expect("a parent");
    assert!(names.iter().any(|path| path.to_string_lossy().contains(id)));
}
