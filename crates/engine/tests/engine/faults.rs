//! Engines that die, hang or outlive their owner.

use std::time::{Duration, Instant};

use larder_docker::ImageStore;
use larder_engine::clean_up::clean_up;
use larder_engine::holders::{end_holders, holders};
use larder_engine::{Engine, EngineConfig, EngineError, Exit};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::machine::{DEADLINE, Machine, context, freeze};
use crate::own::{start, taken_over};
use crate::room::Room;

const SLEEPER: &str =
    "FROM scratch\nCOPY busybox /busybox\nCMD [\"/busybox\", \"sleep\", \"600\"]\n";

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().expect("a pid")).expect("not zero");
    kill_process(pid, signal).expect("it runs");
}

fn runs(pid: u32) -> bool {
    test_kill_process(Pid::from_raw(pid.try_into().expect("a pid")).expect("not zero")).is_ok()
}

fn device(room: &Room, config: &EngineConfig) -> (u32, u32) {
    let volume = config.volume.clone();
    let device = room.run(move || rustix::fs::stat(&volume).expect("it is mounted").st_dev);
    (rustix::fs::major(device), rustix::fs::minor(device))
}

#[tokio::test]
async fn one_that_dies_at_start_is_quoted() {
    let machine = Machine::new();
    let room = Room::new(true);
    let mut config = machine.engine_config(&room, "own", ImageStore::Overlay2);
    config.taken_over = taken_over(&machine, &config, r#"{"bip":"not-an-address"}"#);
    let mut engine = room
        .run(move || Engine::spawn(&config))
        .expect("both start");
    // Not "no answer": its end was noticed.
    let error = engine.ready(DEADLINE).await.expect_err("dockerd refuses");
    let EngineError::Died {
        daemon: "dockerd",
        tail,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert!(tail.contains("not-an-address"), "{error}");
    let report = engine.stop(DEADLINE).await;
    assert!(
        !report.is_clean() && !report.killed && report.dockerd == Exit::Code(1),
        "{report:?}"
    );
}

#[tokio::test]
async fn one_that_hangs_at_start_is_named_and_killed() {
    let machine = Machine::new();
    let room = Room::new(true);
    let config = machine.engine_config(&room, "own", ImageStore::Overlay2);
    let mut engine = room
        .run(move || Engine::spawn(&config))
        .expect("both start");
    freeze(engine.dockerd_pid());
    let error = engine
        .ready(Duration::from_millis(300))
        .await
        .expect_err("it is stopped");
    assert!(
        matches!(
            error,
            EngineError::NoAnswer {
                daemon: "dockerd",
                ..
            }
        ),
        "{error}"
    );
    let report = engine.stop(Duration::from_millis(300)).await;
    assert!(
        report.killed && report.dockerd == Exit::Signal(9),
        "{report:?}"
    );
    assert_eq!(report.containerd, Exit::Code(0));
}

#[tokio::test]
async fn one_that_hangs_later_is_stopped_without_its_api() {
    let machine = Machine::new();
    let room = Room::new(true);
    let config = machine.engine_config(&room, "own", ImageStore::Containerd);
    let mut engine = start(&room, &config).await;
    assert_eq!(engine.dead(), None);
    freeze(engine.dockerd_pid());
    let warnings = engine
        .quiesce(
            larder_engine::quiesce::QuiesceOptions::default(),
            Duration::from_secs(1),
        )
        .await;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    send(engine.containerd_pid(), Signal::KILL);
    let report = engine.stop(Duration::from_millis(300)).await;
    assert_eq!(
        (report.dockerd, report.containerd, report.killed),
        (Exit::Signal(9), Exit::Signal(9), true)
    );
}

/// The thread that started an engine ends: so do both daemons, by the kernel's hand. What their
/// containers left is found by the run directory and by the volume's device.
#[tokio::test]
async fn an_engine_dies_with_its_room_and_leaves_nothing_that_cannot_be_found() {
    let machine = Machine::new();
    let keeper = Room::new(true);
    let config = machine.engine_config(&keeper, "own", ImageStore::Overlay2);
    let device = device(&keeper, &config);
    // A thread made by the keeper shares its namespaces, and takes the engine along when it ends.
    let spawned = config.clone();
    let (tell, told) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let room = keeper.run(move || {
        std::thread::spawn(move || {
            tell.send(Engine::spawn(&spawned)).expect("the test waits");
            ended.recv().expect("the test says when");
        })
    });
    let mut engine = told.recv().expect("it is told").expect("it starts");
    engine.ready(DEADLINE).await.expect("it answers");
    let docker = machine.docker(engine.socket());
    docker.build(
        &context(machine.directory.path(), SLEEPER),
        true,
        "sleeper",
        &[],
    );
    docker.run(&["run", "-d", "--network=host", "sleeper"]);

    end.send(()).expect("it waits");
    room.join().expect("it ends");
    let begin = Instant::now();
    while engine.dead().is_none() {
        assert!(begin.elapsed() < DEADLINE, "the engine outlived its room");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(engine.dead(), Some((_, Exit::Signal(9)))));
    // The shim and its container have nobody to end them.
    assert!(holders(device).len() >= 2, "{:?}", holders(device));
    let cleaned = clean_up(&config.run_dir, None, DEADLINE).expect("readable");
    assert!(
        cleaned.ended >= 2 && cleaned.stuck.is_empty(),
        "{cleaned:?}"
    );
    assert_eq!(end_holders(device, DEADLINE), []);
    assert_eq!(holders(device), []);
    assert_eq!(
        clean_up(&config.run_dir, None, Duration::ZERO)
            .expect("readable")
            .ended,
        0
    );
}

/// A crash without the parent-death signal, as where setpriv is missing: the daemons still run.
#[tokio::test]
async fn a_forgotten_engine_is_ended_and_a_stranger_is_not() {
    let machine = Machine::new();
    let room = Room::new(true);
    let config = machine.engine_config(&room, "own", ImageStore::Overlay2);
    let other = machine.engine_config(&room, "other", ImageStore::Overlay2);
    let mut engine = start(&room, &config).await;
    let mut stranger = {
        let other = other.clone();
        room.run(move || Engine::spawn(&other)).expect("it starts")
    };
    let cleaned = clean_up(&config.run_dir, None, DEADLINE).expect("readable");
    assert_eq!((cleaned.ended, cleaned.stuck.len()), (2, 0));
    assert_eq!(engine.dead(), Some(("dockerd", Exit::Signal(9))));
    assert!(runs(stranger.dockerd_pid()) && runs(stranger.containerd_pid()));
    assert_eq!(stranger.dead(), None);
}
