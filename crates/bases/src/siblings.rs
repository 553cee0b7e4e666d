//! Which of several siblings a job starts from, by the rule of [`larder_model::siblings`].

use larder_builds::NamedPlan;
use larder_model::document::Document;
use larder_model::ladder::Rung;
use larder_model::siblings::{COMPARED_MAX, beside, nearest};
use larder_store::catalog::{self, Found};
use larder_store::{Objects, StoreError};

use crate::record::Record;

/// The sibling of a document, the newest of its line that can be used, from which a job with these plans starts instead;
/// nothing if that is the document itself. Asks the store nothing if there are no siblings.
pub async fn nearer<D: Document>(
    objects: &Objects,
    newest: &Found<D>,
    now_ms: u64,
    plans: impl Future<Output = Option<Vec<NamedPlan>>>,
) -> Option<D::Id> {
    if !newest.document.is_sibling() {
        return None;
    }
    let plans = plans.await.filter(|plans| !plans.is_empty())?;
    let others = match older(objects, newest, now_ms).await {
        Ok(others) => others,
        Err(error) => {
            tracing::info!(%error, "siblings are not compared");
            return None;
        }
    };
    let all: Vec<&Found<D>> = std::iter::once(newest).chain(&others).collect();
    let count = beside(all.iter().map(|one| one.document.is_sibling()));
    let run_again = all[..count].iter().map(|one| {
        let record = Record::from_value(one.document.plan()?)?;
        Some(record.run_again(&plans))
    });
    let at = nearest(&run_again.collect::<Vec<_>>());
    (at > 0).then(|| all[at].id)
}

/// The documents of the line that were saved before, the newest first, down to the first that is no sibling. What cannot be
/// read ends them.
async fn older<D: Document>(
    objects: &Objects,
    newest: &Found<D>,
    now_ms: u64,
) -> Result<Vec<Found<D>>, StoreError> {
    let rung = Rung::Lineage(newest.document.lineage().clone());
    let candidates = catalog::candidates::<D>(objects, &rung, now_ms).await?;
    let older = candidates.iter().skip_while(|one| one.id != newest.id);
    let mut found: Vec<Found<D>> = Vec::new();
    for candidate in older.skip(1).take(COMPARED_MAX - 1) {
        let one = catalog::read(objects, candidate).await?;
        let is_last = !one.document.is_sibling();
        found.push(one);
        if is_last {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use larder_model::digest::MapId;
    use larder_model::dockerfile::{BuildOptions, parse};
    use larder_model::lineage::Lineage;
    use larder_model::plan::Plan;
    use larder_model::snapshot::{EngineRecord, Snapshot};
    use larder_store::Location;

    use super::*;

    fn plans(file: &str) -> Vec<NamedPlan> {
        let (parsed, options) = (parse(file.as_bytes()), BuildOptions::default());
        let bases = parsed.expect("a Dockerfile").bases(&options);
        vec![NamedPlan {
            name: None,
            file: "Dockerfile".into(),
            plan: Plan::new(&bases.expect("it can be built"), &options),
        }]
    }

    async fn publish(objects: &Objects, created_ms: u64, sibling: bool, file: &str) -> Found {
        let record = Record::new(plans(file), Vec::new());
        let document = Snapshot {
            sibling,
            plan: Some(record.to_value().expect("it is short")),
            ..Snapshot::first(
                Lineage {
                    project: "shop".into(),
                    compatibility: "c".into(),
                    scope: "branch/main".into(),
                    job: "build".into(),
                },
                created_ms,
                MapId::of(b"map"),
                1 << 30,
                EngineRecord::docker("26.1.5", "overlay2"),
            )
        };
        let id = catalog::publish(objects, &document).await.expect("stored");
        Found { id, document }
    }

    #[tokio::test]
    async fn a_job_starts_from_the_sibling_that_built_what_it_builds() {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Location::folder(folder.path()).open(&[]).expect("a store");
        let web = "FROM ruby:3\nRUN bundle\nRUN rake\n";
        let worker = "FROM ruby:3\nRUN bundle\nRUN worker\n";
        // One that is nearest of all, and is no sibling of these.
        publish(&objects, 1, false, "FROM go:1\nRUN go build\n").await;
        let first = publish(&objects, 2, false, web).await;
        publish(&objects, 3, true, "FROM node:20\nRUN npm ci\n").await;
        let other = publish(&objects, 4, true, worker).await;
        let newest = publish(&objects, 5, true, "FROM scratch\nCOPY a /\n").await;
        for (job, expected) in [
            (web, Some(first.id)),
            (
                "FROM ruby:3\nRUN bundle\nRUN worker --new\n",
                Some(other.id),
            ),
            ("FROM scratch\nCOPY a /\n", None),
            ("FROM go:1\nRUN go build\n", None),
        ] {
            let plans = ready(Some(plans(job)));
            let nearer = nearer(&objects, &newest, 10, plans).await;
            assert_eq!(nearer, expected, "{job}");
        }
        assert_eq!(nearer(&objects, &newest, 10, ready(None)).await, None);
        // Where nothing stands beside it, nobody is asked what is built.
        let never = std::future::pending();
        assert_eq!(nearer(&objects, &first, 10, never).await, None);
    }
}
