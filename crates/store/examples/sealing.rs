//! What encryption costs: saves and reads a volume in a plain and in a sealed store, in turns: `sealing FOLDER MIB ROUNDS`.
//! Prints the medians in milliseconds of wall and processor time.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use larder_model::digest::BlockId;
use larder_model::limits::BLOCK_BYTES;
use larder_store::packer::{self, Changed, Job};
use larder_store::{EncryptKey, Keys, Location, Objects, Source};

const VOLUME_BYTES: u64 = 4 << 30;
const WHAT: [&str; 4] = ["plain save", "plain read", "sealed save", "sealed read"];

/// Half of each block does not shrink, as in the layers of real images.
#[allow(clippy::unnecessary_wraps)] // as a volume's blocks are read
fn content(block: u64, buffer: &mut [u8]) -> std::io::Result<()> {
    for (at, piece) in buffer.chunks_mut(64).enumerate() {
        let name = [block.to_le_bytes(), at.to_le_bytes()].concat();
        piece.fill(at as u8);
        piece[..32].copy_from_slice(BlockId::of(&name).as_bytes());
    }
    Ok(())
}

fn open(folder: &Path, encrypt: Option<EncryptKey>) -> Result<Objects, Box<dyn Error>> {
    let keys = Keys {
        encrypt,
        ..Keys::default()
    };
    Ok(Location::folder(folder).open(&[])?.with_keys(keys))
}

/// Now, and the processor time that the process has used (`proc_pid_stat(5)`: fields 14 and 15, in hundredths of seconds).
fn now() -> (Instant, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).flat_map(str::parse::<u64>).sum();
    (Instant::now(), ticks * 10)
}

fn since((wall, cpu): (Instant, u64)) -> (u64, u64) {
    (wall.elapsed().as_millis() as u64, now().1 - cpu)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, mib, rounds] = &words[..] else {
        return Err("usage: sealing FOLDER MIB ROUNDS".into());
    };
    let blocks = mib.parse::<u64>()? << 20 >> BLOCK_BYTES.trailing_zeros();
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..rounds.parse()? {
        for (at, key) in [None, Some(EncryptKey::generate()?)]
            .into_iter()
            .enumerate()
        {
            let store = Path::new(folder).join("sealing-store");
            let objects = open(&store, key)?;
            let begun = now();
            let source = Arc::new(Source::empty(objects.clone(), VOLUME_BYTES)?);
            let changed = Changed {
                written: (0..blocks).collect(),
                ..Changed::default()
            };
            let job = Job {
                changed,
                ..Job::default()
            };
            let packed = packer::pack(&source, job, content, Arc::default()).await?;
            times[at * 2].push(since(begun));
            let begun = now();
            let source = Source::open(objects, packed.map, None).await?;
            for block in (0..blocks).step_by(8) {
                source.fetch(block).await?;
            }
            times[at * 2 + 1].push(since(begun));
            std::fs::remove_dir_all(&store)?;
        }
    }
    for (what, mut times) in WHAT.into_iter().zip(times) {
        let middle = times.len() / 2;
        times.sort_unstable();
        let wall = times[middle].0;
        times.sort_unstable_by_key(|(_, cpu)| *cpu);
        println!("{what}: {wall} ms, processor {} ms", times[middle].1);
    }
    Ok(())
}
