//! Engines of ours on a test's machine.

use std::fs;

use larder_docker::ImageStore;
use larder_engine::program::{EngineProgram, probe};
use larder_engine::{Engine, EngineConfig, MachineSettings, Shape, TakenOver, child_environment};

use crate::machine::{DEADLINE, Machine, run};
use crate::room::Room;

impl Machine {
    /// A volume (a tmpfs) mounted in `room`, and a configuration for an engine on it.
    pub fn engine_config(&self, room: &Room, name: &str, image_store: ImageStore) -> EngineConfig {
        let config = EngineConfig {
            program: room.run(program),
            image_store,
            volume: self.path(&format!("{name}.volume")),
            run_dir: self.path(name),
            usual_socket: None,
            taken_over: TakenOver::default(),
            host_gateway: None,
            oom_score: None,
            environment: child_environment(std::env::vars_os()),
        };
        fs::create_dir_all(&config.run_dir).expect("made");
        fs::create_dir_all(&config.volume).expect("made");
        let volume = config.volume.clone();
        room.run(move || {
            let mounted = run(
                "mount",
                &["-t", "tmpfs", "larder-test", &volume.display().to_string()],
            );
            assert!(mounted.status.success(), "mount needs root");
        });
        config
    }
}

pub fn program() -> EngineProgram {
    probe(&[]).expect("run `cargo xtask engine`")
}

/// What is taken over from a machine whose `daemon.json` holds this.
pub fn taken_over(machine: &Machine, config: &EngineConfig, daemon_json: &str) -> TakenOver {
    let file = machine.path("daemon.json");
    fs::write(&file, daemon_json).expect("written");
    let settings = MachineSettings::read(&file, &machine.path("none.sock")).expect("read");
    TakenOver::new(&settings, Shape::Private, config.program.version).expect("nothing is refused")
}

/// Starts an engine in `room` and waits for its answer.
pub async fn start(room: &Room, config: &EngineConfig) -> Engine {
    let config = config.clone();
    let mut engine = room
        .run(move || Engine::spawn(&config))
        .expect("the engine starts");
    engine.ready(DEADLINE).await.expect("the engine answers");
    engine
}
