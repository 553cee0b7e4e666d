//! Reads every volume of a store, block by block, into files: `volumes STORE FOLDER`. What a store says is verified
//! on the way. Prints `whole FILE`, or `damaged SNAPSHOT: why`, for each different volume. The variables of the
//! store's cloud are taken from the environment.
#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use larder_model::limits::{BLOCK_BYTES, LEAF_BLOCKS};
use larder_model::snapshot::Snapshot;
use larder_store::{Location, Objects, Source, StoreError, catalog};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [store, folder] = &words[..] else {
        return Err("usage: volumes STORE FOLDER".into());
    };
    let settings: Vec<(String, String)> = std::env::vars().collect();
    let objects = Location::parse(store)?.open(&settings)?;
    let (found, faults) = catalog::list::<Snapshot>(&objects).await?;
    for fault in faults {
        println!("damaged {fault}");
    }
    let mut seen = BTreeSet::new();
    for one in found.iter().filter(|one| seen.insert(one.document.map)) {
        let file = PathBuf::from(folder).join(format!("{:.12}.img", one.id));
        match read(&objects, &one.document, &file).await {
            Ok(()) => println!("whole {}", file.display()),
            Err(error) => println!("damaged {}: {error}", one.id),
        }
    }
    Ok(())
}

async fn read(objects: &Objects, snapshot: &Snapshot, to: &Path) -> Result<(), Box<dyn Error>> {
    let source = Source::open(objects.clone(), snapshot.map, None).await?;
    let file = File::create(to)?;
    file.set_len(snapshot.volume_bytes)?;
    let leaves: Vec<u32> = source.root().leaves().map(|(index, _)| index).collect();
    for index in leaves {
        let Some(leaf) = source.leaf(index).await? else {
            continue;
        };
        let mut written = BTreeSet::new();
        for at in (0..LEAF_BLOCKS).filter(|at| leaf.get(*at).is_some()) {
            let block = u64::from(index) * LEAF_BLOCKS as u64 + at as u64;
            if written.contains(&block) {
                continue;
            }
            for fetched in source.fetch(block).await?.iter() {
                file.write_all_at(&fetched.content, fetched.block * BLOCK_BYTES as u64)?;
                written.insert(fetched.block);
            }
            if !written.contains(&block) {
                let path = format!("block {block}");
                return Err(StoreError::Missing { path }.into());
            }
        }
    }
    Ok(())
}
