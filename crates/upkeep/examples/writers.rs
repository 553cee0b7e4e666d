//! One machine of `cargo xtask campaign writers`, to be killed at any moment:
//!
//! - `writers write STORE SEED CLOCK_MS WORKS_MS`: a job that starts from the head, works, and saves;
//! - `writers collect STORE GRACE_MS KEEP`: collections that compact, one after the other;
//! - `writers check STORE GRACE_MS KEEP`: verifies all, prints the documents, what is damaged, and how many documents were
//!   laid out anew;
//! - `writers settle STORE GRACE_MS KEEP`: collects until nothing is left to collect; prints what is left over.
#![allow(clippy::print_stdout)]

#[path = "../tests/upkeep/kit.rs"]
mod kit;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use kit::{Machine, Random, keeping, open};
use larder_local::people::Nobody;
use larder_model::snapshot::Snapshot;
use larder_store::catalog;
use larder_upkeep::gc;
use larder_upkeep::verify::verify;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let typed: Vec<String> = std::env::args().skip(1).collect();
    let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
    match typed[..] {
        ["write", store, seed, clock_ms, works_ms] => {
            let mut machine = Machine::new(Path::new(store), "main");
            machine.clock_ms = clock_ms.parse()?;
            let works = Duration::from_millis(works_ms.parse()?);
            machine.job(&mut Random::new(seed.parse()?), works).await?;
        }
        [verb, store, grace_ms, keep] => {
            let mut plan = keeping(keep.parse()?, Duration::from_millis(grace_ms.parse()?));
            plan.compact_bytes = u64::MAX;
            look_after(verb, Path::new(store), &plan).await?;
        }
        _ => return Err("usage: write STORE SEED CLOCK_MS WORKS_MS, or collect|check|settle STORE GRACE_MS KEEP".into()),
    }
    Ok(())
}

async fn look_after(verb: &str, store: &Path, plan: &gc::Plan) -> Result<(), Box<dyn Error>> {
    let objects = open(store);
    match verb {
        "collect" => loop {
            gc::collect(&objects, plan, &Nobody).await?;
        },
        "check" => {
            let checked = verify(&objects, true, &Nobody).await?;
            let (found, _) = catalog::list::<Snapshot>(&objects).await?;
            let anew = found.iter().filter(|one| one.document.original.is_some());
            println!(
                "{} {} {}",
                checked.documents,
                checked.lost.len() + checked.damaged.len(),
                anew.count()
            );
        }
        "settle" => {
            for _ in 0..4 {
                gc::collect(&objects, plan, &Nobody).await?;
                tokio::time::sleep(plan.grace).await;
            }
            // It counts what is named before it stores anything anew.
            let last = gc::Plan {
                compact_bytes: 0,
                ..plan.clone()
            };
            let last = gc::collect(&objects, &last, &Nobody).await?;
            let sweeps = objects.entries("v1/sweeps").await?.len();
            let all = objects.entries("v1").await?.len();
            println!(
                "{}",
                all - sweeps - last.documents - usize::try_from(last.kept.objects)?
            );
        }
        _ => return Err("collect, check or settle".into()),
    }
    Ok(())
}
