//! Taking the machine's engine's place and giving it back. There is no service manager in a test,
//! so `systemctl` is a script here; the engine that it starts and stops is a real one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use larder_docker::ImageStore;
use larder_engine::system::{SystemEngine, choose, observe};
use larder_engine::takeover::Taken;
use larder_engine::{Asked, Shape};

use crate::machine::{Docker, Machine, context, freeze, run};
use crate::own::start;

/// Understands what the crate asks of systemctl. The service's main process is a real dockerd; the
/// socket unit is a word in a file.
const SYSTEMCTL: &str = r#"#!/bin/sh
D=@DIR@; L=$D/systemctl.log
echo "$*" >> $L
# One that has ended and that nobody has reaped yet has no program.
runs() { readlink /proc/$1/exe >/dev/null; }
running() { [ -s $D/service.pid ] && runs "$(cat $D/service.pid)"; }
show() { printf 'Id=docker.%s\nLoadState=loaded\nActiveState=%s\n' $1 $2; }
start_service() {
  running && return 0
  setsid dockerd --data-root=$D/data --exec-root=$D/exec --pidfile=$D/dockerd.pid \
    --host=unix://$D/docker.sock --config-file=/dev/null >$D/service.log 2>&1 &
  echo $! > $D/service.pid
  n=0; until DOCKER_HOST=unix://$D/docker.sock docker version >/dev/null 2>&1; do
    n=$((n+1)); [ $n -lt 6000 ] && running || return 1; sleep 0.05; done
}
stop_service() { running || return 0; P=$(cat $D/service.pid); kill $P; while runs $P; do sleep 0.02; done; }
verb=$1; shift
case $verb in
  show) if [ -e $D/socket ]; then show socket active; else show socket inactive; fi; echo
        if running; then show service active; else show service inactive; fi ;;
  stop) for u; do case $u in docker.socket) rm -f $D/socket ;; docker.service) stop_service ;; esac; done ;;
  start) for u; do case $u in docker.socket) touch $D/socket ;; docker.service) start_service ;; esac; done ;;
  reset-failed) ;;
  *) exit 1 ;;
esac
"#;

/// A machine whose engine is a service.
struct Served {
    machine: Machine,
    socket: PathBuf,
}

impl Served {
    fn new() -> Self {
        let machine = Machine::new();
        let fake = machine.path("fake");
        fs::create_dir(&fake).expect("made");
        let script = SYSTEMCTL.replace("@DIR@", &machine.directory.path().display().to_string());
        fs::write(fake.join("systemctl"), script).expect("written");
        fs::set_permissions(fake.join("systemctl"), fs::Permissions::from_mode(0o755))
            .expect("set");
        machine.host.run(move || {
            // Where programs are looked for first.
            let path = std::env::var_os("PATH").expect("a path");
            let first = std::env::split_paths(&path).next().expect("a folder");
            let first = first.to_str().expect("UTF-8");
            let layers = format!("lowerdir={}:{first}", fake.display());
            let mounted = run("mount", &["-t", "overlay", "fake", "-o", &layers, first]);
            assert!(mounted.status.success(), "{mounted:?}");
        });
        let socket = machine.path("docker.sock");
        let served = Self { machine, socket };
        served.systemctl(&["start", "docker.socket", "docker.service"]);
        served
    }

    fn systemctl(&self, arguments: &'static [&'static str]) {
        let output = self.machine.host.run(move || run("systemctl", arguments));
        assert!(output.status.success(), "{output:?}");
    }

    fn docker(&self) -> Docker {
        self.machine.docker(&self.socket)
    }

    fn observe(&self) -> SystemEngine {
        let socket = self.socket.clone();
        self.machine.host.run(move || looked_at(&socket))
    }
}

fn looked_at(socket: &Path) -> SystemEngine {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    let looked = runtime.block_on(observe(socket));
    looked.expect("it can be looked at")
}

impl Drop for Served {
    fn drop(&mut self) {
        let stop = || run("systemctl", &["stop", "docker.socket", "docker.service"]);
        let output = self.machine.host.run(stop);
        assert!(output.status.success() || thread::panicking(), "{output:?}");
    }
}

#[tokio::test]
async fn an_idle_engine_is_replaced_and_given_back() {
    let served = Served::new();
    assert_eq!(served.observe(), SystemEngine::Idle);
    let choice = choose(Asked::Auto, &SystemEngine::Idle).expect("chosen");
    assert_eq!(choice.shape, Shape::Takeover);
    let own_id = served.docker().run(&["info", "--format", "{{.ID}}"]);

    let taken = served
        .machine
        .host
        .run(Taken::observe)
        .expect("it can be looked at");
    let record = serde_json::to_string(&taken).expect("it has a JSON form");
    served
        .machine
        .host
        .run(move || taken.stop())
        .expect("it stops");
    assert_eq!(served.observe(), SystemEngine::Stopped);

    let mut config =
        served
            .machine
            .engine_config(&served.machine.host, "own", ImageStore::Overlay2);
    config.usual_socket = Some(served.socket.clone());
    let engine = start(&served.machine.host, &config).await;
    assert_ne!(
        served.docker().run(&["info", "--format", "{{.ID}}"]),
        own_id,
        "clients reach ours"
    );
    // Killed, so that its socket file is left.
    drop(engine);
    assert!(served.socket.exists());

    let taken: Taken = serde_json::from_str(&record).expect("it reads back");
    let socket = served.socket.clone();
    served
        .machine
        .host
        .run(move || taken.give_back(&socket))
        .expect("it starts");
    assert_eq!(served.observe(), SystemEngine::Idle);
    assert_eq!(
        served.docker().run(&["info", "--format", "{{.ID}}"]),
        own_id
    );
    assert!(
        served.machine.path("socket").exists(),
        "the socket unit was active before"
    );
}

#[tokio::test]
async fn a_busy_engine_is_left_alone() {
    let served = Served::new();
    let context = context(
        served.machine.directory.path(),
        "FROM scratch\nCOPY busybox /busybox\nCMD [\"/busybox\", \"sleep\", \"600\"]\n",
    );
    served.docker().build(&context, false, "sleeper", &[]);
    let container = served
        .docker()
        .run(&["run", "-d", "--network=none", "sleeper"]);
    let busy = served.observe();
    assert_eq!(busy, SystemEngine::Busy { containers: 1 });
    assert_eq!(
        choose(Asked::Auto, &busy).expect("chosen").shape,
        Shape::Private
    );
    let refused = choose(Asked::Takeover, &busy)
        .expect_err("it would end the container")
        .to_string();
    assert!(refused.contains("1 container runs"), "{refused}");
    served.docker().run(&["rm", "-f", container.trim()]);
    assert_eq!(served.observe(), SystemEngine::Idle);
}

#[tokio::test]
async fn a_stopped_engine_stays_stopped() {
    let served = Served::new();
    served.systemctl(&["stop", "docker.socket", "docker.service"]);
    let taken = served
        .machine
        .host
        .run(Taken::observe)
        .expect("it can be looked at");
    let socket = served.socket.clone();
    served
        .machine
        .host
        .run(move || taken.stop().and_then(|()| taken.give_back(&socket)))
        .expect("nothing to do");
    assert_eq!(served.observe(), SystemEngine::Stopped);
    let log = fs::read_to_string(served.machine.path("systemctl.log")).expect("kept");
    assert_eq!(
        log.lines().filter(|line| line.starts_with("start")).count(),
        1,
        "{log}"
    );
}

/// An engine that no service manager knows, one that hangs, and none at all.
#[tokio::test]
async fn engines_without_a_service_are_told_apart() {
    let machine = Machine::new();
    let nowhere = machine.path("no.sock");
    let look = || {
        let nowhere = nowhere.clone();
        machine.host.run(move || looked_at(&nowhere))
    };
    assert_eq!(look(), SystemEngine::Absent);
    let system = machine.system_engine();
    // From a container on this network, which does not see its socket.
    assert_eq!(look(), SystemEngine::Unseen);
    let unmanaged = observe(&system.socket).await.expect("looked at");
    assert_eq!(unmanaged, SystemEngine::Unmanaged { containers: 0 });
    assert!(choose(Asked::Takeover, &unmanaged).is_err());
    let pid = fs::read_to_string(machine.path("system.pid")).expect("it runs");
    freeze(pid.trim().parse().expect("a pid"));
    let hung = observe(&system.socket).await;
    assert!(run("kill", &["-CONT", pid.trim()]).status.success());
    assert_eq!(hung.expect("looked at"), SystemEngine::Hung);
    drop(system);
    assert_eq!(
        look(),
        SystemEngine::Traces,
        "its bridge and its rules stay"
    );
}
