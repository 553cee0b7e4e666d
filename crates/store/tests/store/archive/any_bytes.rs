//! Any bytes, in any pieces, read back; a second save of edited bytes stores little.

use larder_store::{ArchiveReader, ArchiveWriter};
use std::sync::Arc;

use futures_util::StreamExt as _;
use proptest::prelude::*;

use super::kit::{facts, noise, pieces, store};

/// A stretch of a blob: what a layer may be made of.
#[derive(Debug, Clone)]
enum Stretch {
    Noise { seed: u64, len: usize },
    Zeros(usize),
    File { name: String, seed: u64, len: usize },
    Raw(Vec<u8>),
}

fn header(name: &str, size: usize) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = b'0';
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{:06o}\0 ", sum + 8 * 32).as_bytes());
    block
}

fn bytes(stretches: &[Stretch]) -> Vec<u8> {
    let mut out = Vec::new();
    for stretch in stretches {
        match stretch {
            Stretch::Noise { seed, len } => out.extend(noise(*seed, *len)),
            Stretch::Zeros(len) => out.resize(out.len() + len, 0),
            Stretch::File { name, seed, len } => {
                out.extend(header(name, *len));
                out.extend(noise(*seed, *len));
                out.resize(out.len().next_multiple_of(512), 0);
            }
            Stretch::Raw(bytes) => out.extend_from_slice(bytes),
        }
    }
    out
}

fn stretch() -> impl Strategy<Value = Stretch> {
    // Few seeds, so that there is something to share.
    prop_oneof![
        (0_u64..4, 0_usize..400_000).prop_map(|(seed, len)| Stretch::Noise { seed, len }),
        (0_usize..700_000).prop_map(Stretch::Zeros),
        ("[a-z/]{1,90}", 0_u64..4, 0_usize..100_000).prop_map(|(name, seed, len)| Stretch::File {
            name,
            seed,
            len
        }),
        prop::collection::vec(any::<u8>(), 0..2000).prop_map(Stretch::Raw),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_blobs_read_back(
        blobs in prop::collection::vec(prop::collection::vec(stretch(), 0..8), 1..4),
        piece in 1_usize..300_000,
    ) {
        let (_folder, objects) = store();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let mut parent = None;
            // The second round has all of it already.
            for round in 0..2 {
                let mut writer = ArchiveWriter::new(objects.clone(), parent.clone());
                for (at, blob) in blobs.iter().enumerate() {
                    let bytes = bytes(blob);
                    let len = bytes.len() as u64;
                    let pieces = pieces(&bytes, piece.max(bytes.len() / 2000));
                    let stored = writer.blob(&format!("blob-{at}"), len, pieces).await;
                    stored.expect("stored");
                }
                let saved = writer.finish(facts(1_000 + round)).await.expect("published");
                if round == 1 {
                    prop_assert_eq!(saved.document.statistics.new_chunks, 0);
                }
                let reader = ArchiveReader::new(objects.clone(), Arc::new(saved.document.clone()));
                for (at, blob) in blobs.iter().enumerate() {
                    let mut read = Vec::new();
                    let mut stream = reader.blob(&format!("blob-{at}")).expect("a blob");
                    while let Some(piece) = stream.next().await {
                        read.extend_from_slice(&piece.expect("verified"));
                    }
                    prop_assert!(read == bytes(blob));
                }
                parent = Some(saved);
            }
            Ok(())
        })?;
    }
}
