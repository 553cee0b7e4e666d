//! The base images of a session's builds: what they are today, and whether the restored engine
//! holds something else.
//!
//! Registries are asked while the volume and the engine come up, so that asking costs the job
//! nothing unless a registry is slower than the engine; then it is waited for until a deadline.
//! Nothing here fails a session.

use std::time::Duration;

use larder_engine::Engine;
use larder_model::identity::BaseIdentity;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::facts::{Moved, now_ms};
use crate::plan::images::{self, Answers, Asking};
use crate::plan::record::{Known, NamedPlan, Record};
use crate::settings::{Fresh, Registries, Settings};

/// The most time that registries are given, from when they are asked.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// The most time that the engine is given for one image.
const ENGINE_LIMIT: Duration = Duration::from_secs(5);

/// The plans of a session's builds.
pub struct Planning {
    /// What the snapshot that is restored knew.
    before: Vec<Known>,
    state: State,
}

enum State {
    /// Registries are being asked, until then at most.
    Asked(JoinHandle<(Vec<NamedPlan>, Answers)>, Instant),
    /// What the snapshot will keep.
    Done(Option<Record>),
}

/// What was found out before the session is up.
#[derive(Default)]
pub struct Compared {
    /// The images that are not what they were; the engine no longer holds what they were.
    pub moved: Vec<Moved>,
    /// What did not work.
    pub warnings: Vec<String>,
}

impl Planning {
    /// Begins to ask. `before` is what the snapshot that is restored knew.
    pub fn begin(settings: &Settings, before: Vec<Known>) -> Self {
        let mut plans = settings.plans.clone();
        if plans.is_empty() {
            let state = State::Done(None);
            return Self { before, state };
        }
        let (fresh, registries) = (settings.fresh, settings.registries.clone());
        let former = before.clone();
        let asked = tokio::spawn(async move {
            let asking = asking(fresh, &registries);
            let answers = images::resolve(&mut plans, &asking, &former).await;
            (plans, answers)
        });
        let state = State::Asked(asked, Instant::now() + ASK_LIMIT);
        Self { before, state }
    }

    /// Waits for the answers and lets the engine forget what moved.
    pub async fn compare(&mut self, engine: &Engine) -> Compared {
        let mut compared = Compared::default();
        self.settle(&mut compared.warnings).await;
        if let State::Done(Some(record)) = &self.state {
            compare(engine, &self.before, record, &mut compared).await;
        }
        compared
    }

    /// What the snapshot keeps.
    pub async fn record(&mut self, warnings: &mut Vec<String>) -> Option<serde_json::Value> {
        self.settle(warnings).await;
        let State::Done(Some(record)) = &self.state else {
            return None;
        };
        match record.to_value() {
            Ok(value) => Some(value),
            Err(why) => {
                warnings.push(why);
                None
            }
        }
    }

    async fn settle(&mut self, warnings: &mut Vec<String>) {
        let State::Asked(asked, until) = &mut self.state else {
            return;
        };
        let Ok(answered) = timeout_at(*until, &mut *asked).await else {
            asked.abort();
            warnings.push(format!(
                "registries did not say within {} s what the base images are; the engine's own \
                 copies serve",
                ASK_LIMIT.as_secs()
            ));
            self.state = State::Done(None);
            return;
        };
        let (plans, answers) = answered.expect("asking registries does not panic");
        warnings.extend(answers.warnings);
        if let Some(first) = answers.unknown.first() {
            let all = answers.unknown.len() + answers.known.len();
            warnings.push(format!(
                "{} of {all} base images could not be asked for, the engine's own copies serve: {}: {}",
                answers.unknown.len(),
                first.reference.familiar(),
                first.why
            ));
        }
        self.state = State::Done(Some(Record::new(plans, answers.known)));
    }
}

fn asking(fresh: Fresh, registries: &Registries) -> Asking<'_> {
    Asking {
        registries,
        max_age: match fresh {
            Fresh::Always => None,
            Fresh::Within(period) => Some(period),
            Fresh::Never => Some(Duration::MAX),
        },
        offline: fresh == Fresh::Never,
        deadline: ASK_LIMIT,
        now_ms: now_ms(),
    }
}

/// Compares each image of the plans with what the engine holds under its tag and, as builders keep
/// what they pull without a tag, with what the last job knew.
async fn compare(engine: &Engine, before: &[Known], record: &Record, compared: &mut Compared) {
    let images = record.plans.iter().flat_map(|named| &named.plan.images);
    let mut seen = Vec::new();
    for image in images.filter(|image| image.reached && image.reference.digest().is_none()) {
        let known = record.images.iter().find(|known| known.is_about(image));
        // Under one tag the engine holds one platform's image: the first that is planned.
        let tag = image.reference.familiar();
        let Some(known) = known.filter(|_| !seen.contains(&tag)) else {
            continue;
        };
        match forget(engine, &tag, known).await {
            Ok(Some(moved)) => compared.moved.push(moved),
            Ok(None) => {
                let former = before.iter().find(|former| former.is_about(image));
                let former = former.filter(|former| former.identity != known.identity);
                let moved = former
                    .map(|former| moved(&tag, former.identity, former.created.clone(), known));
                compared.moved.extend(moved);
            }
            Err(why) => compared
                .warnings
                .push(format!("{tag} is not compared with its registry: {why}")),
        }
        seen.push(tag);
    }
}

fn moved(tag: &str, old: BaseIdentity, old_created: Option<String>, new: &Known) -> Moved {
    Moved {
        tag: tag.to_owned(),
        old: old.short(),
        old_created,
        new: new.identity.short(),
        new_created: new.created.clone(),
    }
}

/// Drops the tag if the engine holds another image under it than the registry.
async fn forget(engine: &Engine, tag: &str, known: &Known) -> Result<Option<Moved>, String> {
    let held = engine.held(tag, ENGINE_LIMIT).await;
    let Some(held) = held.map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let today = [&known.digests.index, &known.digests.manifest];
    let same_digest = |digest: &String| today.into_iter().flatten().any(|known| known == digest);
    // An image that was only built or loaded here is not the registry's to replace.
    if held.digests.is_empty() || held.digests.iter().any(same_digest) {
        return Ok(None);
    }
    // Another digest may be the same image: an index also moves when another platform does.
    let identity = larder_registry::identity_of(held.config.to_string().as_bytes(), tag);
    let old = identity.map_err(|error| error.to_string())?;
    if old == known.identity {
        return Ok(None);
    }
    let forgotten = engine.forget_tag(tag, ENGINE_LIMIT).await;
    forgotten.map_err(|error| error.to_string())?;
    Ok(Some(moved(tag, old, held.created, known)))
}
