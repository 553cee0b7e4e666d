//! What the machine must have before a session is started, each with its cure.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::thread;

pub use larder_buildkit::BuilderProgram;
use larder_docker::USUAL_SOCKET;
use larder_engine::program::{self, EngineProgram};
use larder_engine::{MachineSettings, rights};
use larder_local::programs;
use larder_podman::{Person, PodmanProgram};
use larder_volume::Room;
use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::place::{MOUNT, RUN};
use crate::{JobRequest, Result, SessionError, Settings, Tenant};

/// The settings of the machine's engine.
const DAEMON_JSON: &str = "/etc/docker/daemon.json";

impl JobRequest {
    /// Checks what the machine must have ([`check`]), and looks at an engine's programs meanwhile: a fresh
    /// machine takes its time to read them.
    pub fn check(&mut self) -> Result<()> {
        let settings = &self.settings;
        let (checked, program) = thread::scope(|scope| {
            let is_engine = settings.tenant == Tenant::Engine;
            let looking = is_engine.then(|| scope.spawn(|| engine(&settings.path)));
            let checked = check(settings);
            let program = looking.map(|it| it.join().expect("looking does not panic"));
            (checked, program)
        });
        checked?;
        self.program = program.transpose()?;
        Ok(())
    }
}

/// Checks what can be checked at once: root, FUSE, loop devices, mkfs, and if an engine or a builder is asked for, what
/// it must be allowed to do, and whether one of ours may stand beside the machine's at all. What is not checked here is
/// [`engine`] and [`builder`].
pub fn check(settings: &Settings) -> Result<()> {
    let path = &settings.path;
    if !rustix::process::geteuid().is_root() {
        return Err(SessionError::NeedsRoot);
    }
    check_device("/dev/fuse", "fuse")?;
    check_device("/dev/loop-control", "loop")?;
    if programs::find("mkfs.ext4", path).is_none() {
        return Err(SessionError::NoMkfs);
    }
    match settings.tenant {
        Tenant::Engine | Tenant::Podman => rights::check(path)?,
        Tenant::UsersPodman(user) => {
            rights::check(path)?;
            Person::look(user)?;
        }
        Tenant::Builder => rights::check_groups()?,
        Tenant::Folders(_) => {}
    }
    drop(Room::new(false)?);
    larder_volume::probe()?;
    for folder in [settings.state.named(), Path::new(RUN), Path::new(MOUNT)] {
        check_writable(folder)?;
    }
    if matches!(settings.tenant, Tenant::Engine | Tenant::Builder) {
        larder_engine::check_settings(&machine_settings()?)?;
    }
    Ok(())
}

/// The programs of an engine, with all that their versions need.
pub fn engine(path: &[PathBuf]) -> Result<EngineProgram> {
    let program = program::probe(path)?;
    program.check_network_tools(path)?;
    Ok(program)
}

/// The programs of a builder.
pub fn builder(path: &[PathBuf]) -> Result<BuilderProgram> {
    Ok(larder_buildkit::probe(path)?)
}

/// Podman, with its version.
pub fn podman(path: &[PathBuf]) -> Result<PodmanProgram> {
    Ok(larder_podman::probe(path)?)
}

/// What the administrator has set for the machine's engine.
pub(crate) fn machine_settings() -> Result<MachineSettings> {
    Ok(MachineSettings::read(
        Path::new(DAEMON_JSON),
        Path::new(USUAL_SOCKET),
    )?)
}

fn check_device(device: &'static str, module: &'static str) -> Result<()> {
    let opened = OpenOptions::new().read(true).write(true).open(device);
    opened.map_err(|error| SessionError::Device(device, module, error))?;
    Ok(())
}

/// Whether the folder, or the one that it will be made in, is on a file system that can be written.
fn check_writable(folder: &Path) -> Result<()> {
    let above = folder.ancestors().find(|above| above.exists());
    match above.map(|above| access(above, Access::WRITE_OK)) {
        Some(Err(Errno::ROFS)) => Err(SessionError::ReadOnly(folder.to_owned())),
        _ => Ok(()),
    }
}
