//! How fast layers are split and cut: `cargo bench -p larder-model --bench archive`.

use divan::counter::BytesCount;
use larder_model::archive::chunk::Chunker;
use larder_model::archive::runs::Runs;
use larder_model::archive::split::{Splitter, Stream};
use larder_model::digest::ChunkId;

fn main() {
    divan::main();
}

/// Files of these sizes come in turn, as package managers bring them.
const FILE_BYTES: [usize; 8] = [300, 1200, 45_000, 700, 9000, 2500, 120, 28_000];
const LAYER_BYTES: usize = 32 << 20;

fn layer() -> Vec<u8> {
    let mut noise = vec![0; 1 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let mut tar = Vec::with_capacity(LAYER_BYTES + (64 << 10));
    for size in FILE_BYTES.into_iter().cycle() {
        if tar.len() >= LAYER_BYTES {
            break;
        }
        let mut header = [0; 512];
        header[..4].copy_from_slice(b"file");
        header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        header[156] = b'0';
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{:06o}\0 ", sum + 8 * 32).as_bytes());
        tar.extend_from_slice(&header);
        let start = tar.len() % (noise.len() - size);
        tar.extend_from_slice(&noise[start..start + size]);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar
}

/// Calls `take` with the bytes of each stream.
fn split(layer: &[u8], mut take: impl FnMut(Stream, &[u8])) {
    let mut splitter = Splitter::default();
    for piece in layer.chunks(64 << 10) {
        splitter.feed(piece, &mut take);
    }
    splitter.finish(&mut take);
}

#[divan::bench]
fn split_into_runs(bencher: divan::Bencher) {
    let layer = layer();
    let bench = bencher.counter(BytesCount::new(layer.len()));
    bench.bench(|| {
        let mut runs = Runs::default();
        split(&layer, |stream, bytes| runs.push(stream, bytes.len()));
        runs.count()
    });
}

#[divan::bench]
fn find_ends_of_chunks(bencher: divan::Bencher) {
    let layer = layer();
    let bench = bencher.counter(BytesCount::new(layer.len()));
    bench.bench(|| ends(&layer, |_| ()));
}

#[divan::bench]
fn find_and_hash_chunks(bencher: divan::Bencher) {
    let layer = layer();
    let bench = bencher.counter(BytesCount::new(layer.len()));
    bench.bench(|| {
        ends(&layer, |chunk| {
            divan::black_box(ChunkId::of(chunk));
        })
    });
}

fn ends(mut bytes: &[u8], mut take: impl FnMut(&[u8])) -> usize {
    let (mut chunker, mut count) = (Chunker::default(), 0);
    while let Some(end) = chunker.find_end(bytes) {
        let (chunk, later) = bytes.split_at(end);
        take(chunk);
        (bytes, count) = (later, count + 1);
    }
    count
}
