//! Saves a file, or a synthetic layer of any size, as an archive, reads it back, and says what that
//! took: `cargo run --release -p larder-store --example archive -- STORE FILE` or `… STORE 10GiB`;
//! `… STORE -` only reads the last one.
//!
//! The archive before in the same store is the parent. What is read back is compared by its digest.

#![expect(clippy::print_stdout, reason = "it is a program for people")]

use std::error::Error;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use larder_model::archive::{Archive, Measured};
use larder_model::lineage::Lineage;
use larder_model::snapshot::EngineRecord;
use larder_store::{ArchiveFacts, ArchiveReader, ArchiveWriter, Found, Location, Objects, catalog};
use tokio::sync::mpsc;

type Done<T> = Result<T, Box<dyn Error>>;

fn main() -> Done<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(store), Some(what), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: archive STORE FILE|SIZEGiB".into());
    };
    let objects = Location::folder(store.as_ref()).open(&[])?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(&objects, &what))
}

async fn measure(objects: &Objects, what: &str) -> Done<()> {
    let parent = newest(objects).await?;
    if what == "-" {
        let parent = parent.ok_or("the store has no archive")?;
        return read(objects, parent.document).await.map(drop);
    }
    let (bytes, source) = open(what)?;
    println!(
        "parent        {}",
        parent
            .as_ref()
            .map_or("none".to_owned(), |it| format!("{:.12}", it.id))
    );
    let begun = Instant::now();
    let mut writer = ArchiveWriter::new(objects.clone(), parent);
    let mut digest = blake3::Hasher::new();
    let content = stream(source).inspect(|piece| {
        if let Ok(piece) = piece {
            digest.update(piece);
        }
    });
    writer.blob("layer", bytes, content).await?;
    let saved = writer.finish(facts()?).await?;
    say("save", begun.elapsed(), bytes);
    println!("peak memory   {} kB resident", peak_kb()?);
    let statistics = saved.document.statistics;
    println!(
        "new           {} chunks, {} bytes; {} bytes stored, {:.2} % of the layer",
        statistics.new_chunks,
        statistics.new_bytes,
        statistics.stored_bytes,
        percent(statistics.stored_bytes, bytes)
    );

    if digest.finalize() != read(objects, saved.document).await? {
        return Err("what was read back differs".into());
    }
    Ok(())
}

async fn read(objects: &Objects, archive: Archive) -> Done<blake3::Hash> {
    let begun = Instant::now();
    let bytes = archive.statistics.blob_bytes;
    let reader = ArchiveReader::new(objects.clone(), Arc::new(archive));
    let mut layer = reader
        .blob("layer")
        .ok_or("the layer is not in the archive")?;
    let mut digest = blake3::Hasher::new();
    while let Some(piece) = layer.next().await {
        digest.update(&piece?);
    }
    say("read", begun.elapsed(), bytes);
    let traffic = reader.traffic();
    println!(
        "fetched       {} bytes in {} requests",
        traffic.bytes, traffic.requests
    );
    println!("peak memory   {} kB resident", peak_kb()?);
    Ok(digest.finalize())
}

#[expect(clippy::cast_precision_loss, reason = "it is rounded anyway")]
fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

#[expect(clippy::cast_precision_loss, reason = "it is rounded anyway")]
fn say(what: &str, time: Duration, bytes: u64) {
    let rate = bytes as f64 / 1e6 / time.as_secs_f64();
    println!("{what:<13} {:.2} s, {rate:.0} MB/s", time.as_secs_f64());
}

fn lineage() -> Lineage {
    Lineage {
        project: "measurement".into(),
        compatibility: "none".into(),
        scope: "main".into(),
        job: "archive".into(),
    }
}

fn facts() -> Done<ArchiveFacts> {
    Ok(ArchiveFacts {
        lineage: lineage(),
        created_ms: now_ms()?,
        engine: EngineRecord {
            family: "none".into(),
            version: "0".into(),
            image_store: "none".into(),
        },
        larder: env!("CARGO_PKG_VERSION").into(),
        contents: serde_json::Value::Null,
        measured: Measured::default(),
        plan: None,
    })
}

fn now_ms() -> Done<u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(u64::try_from(now.as_millis())?)
}

async fn newest(objects: &Objects) -> Done<Option<Found<Archive>>> {
    match catalog::head(objects, &lineage(), now_ms()?).await? {
        Some(newest) => Ok(Some(catalog::read(objects, &newest).await?)),
        None => Ok(None),
    }
}

fn peak_kb() -> Done<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.ok_or("/proc/self/status has no VmHWM")?;
    Ok(kb.trim().trim_end_matches(" kB").parse()?)
}

fn open(what: &str) -> Done<(u64, Box<dyn Read + Send>)> {
    if let Some(size) = what.strip_suffix("GiB") {
        let bytes = size.parse::<u64>()? << 30;
        return Ok((bytes, Box::new(Synthetic::default().take(bytes))));
    }
    let file = std::fs::File::open(what)?;
    Ok((file.metadata()?.len(), Box::new(file)))
}

/// A reader as a stream, as one from an engine would come: in pieces of 64 KiB.
fn stream(
    mut from: Box<dyn Read + Send>,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; 64 * 1024];
        loop {
            let read = match from.read(&mut piece) {
                Ok(0) => return,
                Ok(len) => Ok(Bytes::copy_from_slice(&piece[..len])),
                Err(error) => Err(error),
            };
            if sender.blocking_send(read).is_err() {
                return;
            }
        }
    });
    futures_util::stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?, receiver))
    })
}

/// An endless tar of files of 1 to 127 KiB whose contents zstd can halve, none of them twice.
struct Synthetic {
    file: Vec<u8>,
    at: usize,
    made: u64,
    seed: u64,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self {
            file: Vec::new(),
            at: 0,
            made: 0,
            seed: 0x9e37_79b9_7f4a_7c15,
        }
    }
}

impl Synthetic {
    fn next(&mut self) -> u64 {
        // xorshift64*.
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn make(&mut self) {
        let size = 1024 * (1 + self.next() as usize % 127);
        self.file.clear();
        self.file.resize(512, 0);
        self.at = 0;
        self.made += 1;
        let name = format!("layer/folder-{}/file-{}", self.made / 100, self.made);
        self.file[..name.len()].copy_from_slice(name.as_bytes());
        self.file[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        self.file[156] = b'0';
        self.file[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = self.file.iter().map(|byte| u32::from(*byte)).sum();
        let sum = format!("{:06o}\0 ", sum + 8 * 32);
        self.file[148..156].copy_from_slice(sum.as_bytes());
        while self.file.len() < 512 + size {
            let word = self.next() & 0x0f0f_0f0f_3f3f_3f3f;
            self.file.extend_from_slice(&word.to_le_bytes());
        }
    }
}

impl Read for Synthetic {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.file.len() {
            self.make();
        }
        let len = buffer.len().min(self.file.len() - self.at);
        buffer[..len].copy_from_slice(&self.file[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}
