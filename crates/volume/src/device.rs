//! The loop device: the FUSE file as a block device.
//!
//! Direct I/O, so that the kernel does not keep every page twice, with sectors of 4096 bytes, which
//! direct I/O needs and which makes 4096 bytes the smallest write that reaches us. The device is
//! configured in one `LOOP_CONFIGURE` call (Linux 5.8) and cleared by the kernel when its last user
//! is gone (`LO_FLAGS_AUTOCLEAR`), so a crash leaves none behind.
//!
//! Numbers and structures: `include/uapi/linux/loop.h`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::path::{Path, PathBuf};

use larder_model::limits::PAGE_BYTES;
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;
use rustix::ioctl::{Getter, IntegerSetter, Ioctl, IoctlOutput, NoArg, Opcode, Setter, ioctl};

use crate::disk::FILE_NAME;
use crate::error::VolumeError;

const LOOP_CONFIGURE: Opcode = 0x4C0A;
const LOOP_CLR_FD: Opcode = 0x4C01;
const LOOP_GET_STATUS64: Opcode = 0x4C05;
const LOOP_CTL_GET_FREE: Opcode = 0x4C82;
/// `_IO(0x12, 98)` of `include/uapi/linux/fs.h`.
const BLKRASET: Opcode = 0x1262;
/// Read-ahead of the device, in sectors of 512 bytes: 1 MiB, the content of a frame and the largest
/// FUSE request. The kernel's default of 128 KiB makes eight requests of one.
const READ_AHEAD_SECTORS: usize = 2048;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;
const LOOP_MAJOR: u32 = 7;
/// Another process may take the free device between asking and configuring.
const ATTEMPTS: usize = 16;

/// `struct loop_info64`. Of its fields only `lo_flags` is used here.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct LoopInfo64 {
    /// `lo_device` to `lo_sizelimit`.
    places: [u64; 5],
    /// `lo_number`, `lo_encrypt_type`, `lo_encrypt_key_size`.
    numbers: [u32; 3],
    flags: u32,
    /// `lo_file_name`, `lo_crypt_name`, `lo_encrypt_key` and `lo_init`: 64, 64, 32 and 16 bytes.
    names: [u64; 22],
}

#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

/// `LOOP_CTL_GET_FREE`, whose answer is its return value.
struct GetFree;

// SAFETY: the call takes no argument and writes nothing; it returns a number.
#[allow(unsafe_code)]
unsafe impl Ioctl for GetFree {
    type Output = i32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_CTL_GET_FREE
    }

    fn as_ptr(&mut self) -> *mut rustix::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(
        out: IoctlOutput,
        _: *mut rustix::ffi::c_void,
    ) -> rustix::io::Result<i32> {
        Ok(out)
    }
}

/// The loop devices over the volume that is mounted at `fuse`, in whatever namespace: major and minor numbers.
pub fn devices_over(fuse: &Path) -> Vec<(u32, u32)> {
    let file = fuse.join(FILE_NAME);
    let blocks = std::fs::read_dir("/sys/block");
    let names = blocks.into_iter().flatten().flatten();
    let over = names.filter_map(|entry| {
        let number = entry.file_name().to_str()?.strip_prefix("loop")?.parse();
        let under = std::fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
        (Path::new(under.trim_end()) == file).then_some((LOOP_MAJOR, number.ok()?))
    });
    over.collect()
}

/// A configured loop device.
#[derive(Debug)]
pub(crate) struct LoopDevice {
    device: File,
    /// For example `/dev/loop0`.
    pub(crate) path: PathBuf,
    number: u32,
    /// Whether the kernel does direct I/O on the file.
    pub(crate) direct: bool,
}

impl LoopDevice {
    /// Puts a loop device over `file`, with direct I/O where the file allows it.
    pub(crate) fn attach(file: &Path) -> Result<Self, VolumeError> {
        let control = control()?;
        let backing = open(file)?;
        for _ in 0..ATTEMPTS {
            if let Some(device) = Self::configure(free(&control)?, &backing)? {
                return Ok(device);
            }
        }
        Err(none_free("others take them all"))
    }

    /// `None` if somebody else was faster.
    fn configure(number: u32, backing: &File) -> Result<Option<Self>, VolumeError> {
        let (path, device) = open_free(number)?;
        for flags in [LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO, LO_FLAGS_AUTOCLEAR] {
            let config = LoopConfig {
                fd: u32::try_from(backing.as_raw_fd()).expect("descriptors are not negative"),
                block_size: PAGE_BYTES as u32,
                info: LoopInfo64 {
                    flags,
                    ..LoopInfo64::default()
                },
                reserved: [0; 8],
            };
            // SAFETY: LOOP_CONFIGURE reads a `struct loop_config`, which LoopConfig mirrors.
            #[allow(unsafe_code)]
            let configured =
                unsafe { ioctl(&device, Setter::<LOOP_CONFIGURE, LoopConfig>::new(config)) };
            match configured {
                Ok(()) => {
                    set_read_ahead(&device);
                    let direct = has_direct_io(&device).map_err(VolumeError::io("ask", &path))?;
                    return Ok(Some(Self {
                        device,
                        path,
                        number,
                        direct,
                    }));
                }
                Err(Errno::BUSY) => return Ok(None),
                Err(Errno::INVAL) if flags & LO_FLAGS_DIRECT_IO != 0 => {}
                Err(error) => return Err(VolumeError::io("configure", &path)(error)),
            }
        }
        unreachable!("the second attempt returns")
    }

    /// Major and minor number, as in `/proc/self/mountinfo`.
    pub(crate) fn numbers(&self) -> (u32, u32) {
        (LOOP_MAJOR, self.number)
    }

    /// Detaches the file. Where something still has the device open, the kernel does it when that
    /// is closed.
    pub(crate) fn detach(self) -> Result<(), VolumeError> {
        // SAFETY: LOOP_CLR_FD takes no argument.
        #[allow(unsafe_code)]
        let cleared = unsafe { ioctl(&self.device, NoArg::<LOOP_CLR_FD>::new()) };
        cleared.map_err(VolumeError::io("detach", &self.path))
    }
}

/// Opens a free loop device, as [`Volume::open`](crate::Volume::open) will, and does nothing with it.
pub fn probe() -> Result<(), VolumeError> {
    let number = free(&control()?)?;
    open_free(number).map(drop)
}

fn control() -> Result<File, VolumeError> {
    File::open("/dev/loop-control").map_err(|error| VolumeError::Missing {
        what: format!("/dev/loop-control cannot be opened ({error})"),
        cure: "load the loop module (modprobe loop), or start this container with --privileged",
    })
}

/// The number of a device that nobody uses.
fn free(control: &File) -> Result<u32, VolumeError> {
    // SAFETY: GetFree describes LOOP_CTL_GET_FREE correctly (see its implementation).
    #[allow(unsafe_code)]
    let number = unsafe { ioctl(control, GetFree) };
    let number = number.map_err(|error| none_free(&error.to_string()))?;
    Ok(number.cast_unsigned())
}

fn none_free(why: &str) -> VolumeError {
    VolumeError::Missing {
        what: format!("no loop device is free ({why})"),
        cure: "detach unused ones (losetup -a, losetup -d)",
    }
}

/// Where a container's rules forbid loop devices, the first to fail is this.
fn open_free(number: u32) -> Result<(PathBuf, File), VolumeError> {
    let path = PathBuf::from(format!("/dev/loop{number}"));
    let made = make_node(&path, number);
    let opened = made.and_then(|()| File::options().read(true).write(true).open(&path));
    let device = opened.map_err(|error| VolumeError::Missing {
        what: format!(
            "the loop device {} cannot be opened ({error})",
            path.display()
        ),
        cure: "start this container with --privileged",
    })?;
    Ok((path, device))
}

fn open(path: &Path) -> Result<File, VolumeError> {
    let opened = File::options().read(true).write(true).open(path);
    opened.map_err(VolumeError::io("open", path))
}

/// Without it reading in order is slower, and nothing else.
fn set_read_ahead(device: &File) {
    // SAFETY: BLKRASET takes a number and writes nothing.
    #[allow(unsafe_code)]
    let set = unsafe {
        ioctl(
            device,
            IntegerSetter::<BLKRASET>::new_usize(READ_AHEAD_SECTORS),
        )
    };
    if let Err(error) = set {
        tracing::debug!(%error, "the device keeps its read-ahead");
    }
}

fn has_direct_io(device: impl AsFd) -> io::Result<bool> {
    // SAFETY: LOOP_GET_STATUS64 writes a `struct loop_info64`, which LoopInfo64 mirrors; every bit
    // pattern is a valid one.
    #[allow(unsafe_code)]
    let info = unsafe { ioctl(device, Getter::<LOOP_GET_STATUS64, LoopInfo64>::new())? };
    Ok(info.flags & LO_FLAGS_DIRECT_IO != 0)
}

/// Containers often have a `/dev` without the nodes of devices that were made later.
fn make_node(path: &Path, number: u32) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let device = rustix::fs::makedev(LOOP_MAJOR, number);
    let mode = Mode::RUSR | Mode::WUSR;
    match rustix::fs::mknodat(rustix::fs::CWD, path, FileType::BlockDevice, mode, device) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
