//! What changed between two plans, and which stages are rebuilt because of it.

mod change;

pub use change::{Change, Diff, How, Rebuilt};

use std::collections::{BTreeMap, BTreeSet};

use crate::dockerfile::{Origin, Stage, Step};
use crate::fingerprint::Fingerprint;
use crate::plan::{Plan, PlannedImage};

/// Compares two plans of one build.
pub fn diff(old: &Plan, new: &Plan) -> Diff {
    let mut comparison = Comparison {
        old,
        new,
        changes: Vec::new(),
        dirty: vec![None; new.stages.len()],
    };
    comparison.compare_platform();
    comparison.compare_bases();
    comparison.compare_arguments();
    comparison.compare_contexts();
    comparison.compare_options();
    comparison.compare_extras();
    comparison.compare_stages();
    comparison.propagate();
    let stages = comparison.dirty.iter().zip(&new.stages);
    let rebuilt = stages.filter_map(|(from, stage)| {
        let from_line = (*from)?;
        Some(Rebuilt {
            stage: stage.label.clone(),
            from_line,
        })
    });
    Diff {
        rebuilt: rebuilt.collect(),
        changes: comparison.changes,
    }
}

struct Comparison<'a> {
    old: &'a Plan,
    new: &'a Plan,
    changes: Vec<Change>,
    /// For each stage, the first line that is run again.
    dirty: Vec<Option<u32>>,
}

impl Comparison<'_> {
    fn mark(&mut self, stage: usize, line: u32) {
        let first = self.dirty[stage].map_or(line, |known| known.min(line));
        self.dirty[stage] = Some(first);
    }

    /// Marks the stages that have a line for `line_of`, and gives their names.
    fn mark_where(&mut self, line_of: impl Fn(&Stage) -> Option<u32>) -> Vec<String> {
        let mut labels = Vec::new();
        for (index, stage) in self.new.stages.iter().enumerate() {
            if let Some(line) = line_of(stage) {
                self.mark(index, line);
                labels.push(stage.label.clone());
            }
        }
        labels
    }

    fn compare_platform(&mut self) {
        if self.old.platform != self.new.platform {
            self.mark_where(|stage| Some(stage.line));
            self.changes.push(Change::Platform {
                old: self.old.platform.clone(),
                new: self.new.platform.clone(),
            });
        }
    }

    fn compare_bases(&mut self) {
        for image in self.new.images.iter().filter(|image| image.reached) {
            let former = self.old.image(&image.reference, &image.platform);
            let Some(former) = former.filter(|former| former.reached) else {
                continue;
            };
            // Whoever asked may have been offline; not knowing is no move.
            let (Some(old), Some(now)) = (&former.identity, &image.identity) else {
                continue;
            };
            if old != now {
                let stages = self.mark_where(|stage| first_use(stage, image));
                self.changes.push(Change::Base {
                    reference: image.reference.to_string(),
                    platform: image.platform.clone(),
                    old: *old,
                    new: *now,
                    stages,
                });
            }
        }
    }

    fn compare_arguments(&mut self) {
        for (name, how) in differences(&all_arguments(self.old), &all_arguments(self.new)) {
            let stages = self.mark_where(|stage| {
                let mut steps = stage.steps.iter();
                let declaration = steps.find(|step| declares(step, &name));
                declaration.map(|step| step.line)
            });
            self.changes.push(Change::Argument { name, how, stages });
        }
    }

    fn compare_contexts(&mut self) {
        for (name, how) in differences(&self.old.contexts, &self.new.contexts) {
            self.changes.push(Change::Context { name, how });
        }
    }

    fn compare_options(&mut self) {
        let (old, new) = (self.old.sandbox.options(), self.new.sandbox.options());
        for (name, how) in differences(&old, &new) {
            let stages = self.mark_where(|stage| {
                let mut steps = stage.steps.iter();
                let runs = steps.find(|step| ["RUN", "FILE"].contains(&step.keyword.as_str()));
                runs.map(|step| step.line)
            });
            self.changes.push(Change::Option { name, how, stages });
        }
    }

    fn compare_extras(&mut self) {
        for (path, how) in differences(&self.old.extras, &self.new.extras) {
            let stages = self.mark_where(|stage| {
                let mut steps = stage.steps.iter();
                let reader = steps.find(|step| {
                    let mut sources = step.context_paths.iter();
                    sources.any(|source| may_hold(source, &path))
                });
                reader.map(|step| step.line)
            });
            self.changes.push(Change::Extra { path, how, stages });
        }
    }

    fn compare_stages(&mut self) {
        let (old, new) = (self.old, self.new);
        for stage in &old.stages {
            if stage_named(new, &stage.label).is_none() {
                self.changes.push(Change::Stage {
                    stage: stage.label.clone(),
                    line: stage.line,
                    how: How::Removed,
                });
            }
        }
        for (index, stage) in new.stages.iter().enumerate() {
            if let Some(former) = stage_named(old, &stage.label) {
                self.compare_stage(index, former, stage);
                continue;
            }
            self.mark(index, stage.line);
            self.changes.push(Change::Stage {
                stage: stage.label.clone(),
                line: stage.line,
                how: How::Added,
            });
        }
    }

    fn compare_stage(&mut self, index: usize, former: &Stage, stage: &Stage) {
        let before = shared_name(self.old, &former.base);
        let now = shared_name(self.new, &stage.base);
        if before != now {
            self.mark(index, stage.line);
            self.changes.push(Change::From {
                stage: stage.label.clone(),
                line: stage.line,
                old: before,
                new: now,
            });
        }
        self.compare_steps(index, former, stage);
    }

    /// Compares the instructions between what both begin and end with.
    fn compare_steps(&mut self, index: usize, former: &Stage, stage: &Stage) {
        // Who was offline does not know what a base image's triggers are; not knowing is no change.
        let all = triggers_known(self.old, former) == triggers_known(self.new, stage);
        let (old_steps, new_steps) = (own_steps(former, all), own_steps(stage, all));
        let (head, old, new) = self.middle(&old_steps, &new_steps);
        let first = new_steps.get(head).map_or(stage.line, |step| step.line);
        if !old.is_empty() || !new.is_empty() {
            self.mark(index, first);
        }
        let same_length = old.len() == new.len();
        let (gone, come) = if same_length {
            (&[][..], How::Changed)
        } else {
            (old, How::Added)
        };
        let gone = gone.iter().map(|step| (step, How::Removed));
        for (step, how) in gone.chain(new.iter().map(|step| (step, come))) {
            self.changes.push(Change::Instruction {
                stage: stage.label.clone(),
                line: step.line,
                keyword: step.keyword.clone(),
                how,
            });
        }
    }

    /// How many steps both begin with, and what each has between the beginning and the end that
    /// both share.
    fn middle<'s, 't>(
        &self,
        old: &'s [&'t Step],
        new: &'s [&'t Step],
    ) -> (usize, &'s [&'t Step], &'s [&'t Step]) {
        let pairs = old.iter().zip(new);
        let head = pairs
            .take_while(|(old, new)| self.is_same(old, new))
            .count();
        let (old, new) = (&old[head..], &new[head..]);
        let pairs = old.iter().rev().zip(new.iter().rev());
        let tail = pairs
            .take_while(|(old, new)| self.is_same(old, new))
            .count();
        (head, &old[..old.len() - tail], &new[..new.len() - tail])
    }

    fn is_same(&self, old: &Step, new: &Step) -> bool {
        let old_sources = old
            .sources
            .iter()
            .map(|source| shared_name(self.old, source));
        let new_sources = new
            .sources
            .iter()
            .map(|source| shared_name(self.new, source));
        old.text == new.text && old_sources.eq(new_sources)
    }

    /// A stage is rebuilt from where it uses a stage that is rebuilt. Stages use earlier ones only,
    /// so that one pass is enough.
    fn propagate(&mut self) {
        for (index, stage) in self.new.stages.iter().enumerate() {
            let line = first_line(
                stage,
                |origin| matches!(origin, Origin::Stage(at) if self.dirty[*at].is_some()),
            );
            if let Some(line) = line {
                self.mark(index, line);
            }
        }
    }
}

fn stage_named<'p>(plan: &'p Plan, label: &str) -> Option<&'p Stage> {
    plan.stages.iter().find(|stage| stage.label == label)
}

/// The first line at which a stage uses an image.
fn first_use(stage: &Stage, image: &PlannedImage) -> Option<u32> {
    first_line(stage, |origin| {
        matches!(origin, Origin::Image(wanted)
            if wanted.reference == image.reference && wanted.platform == image.platform)
    })
}

/// The first line at which a stage uses one of these.
fn first_line(stage: &Stage, is_meant: impl Fn(&Origin) -> bool) -> Option<u32> {
    if is_meant(&stage.base) {
        return Some(stage.line);
    }
    let mut steps = stage.steps.iter();
    let user = steps.find(|step| step.sources.iter().any(&is_meant));
    user.map(|step| step.line)
}

/// The steps of a stage; without `all`, those that its own text has.
fn own_steps(stage: &Stage, all: bool) -> Vec<&Step> {
    let steps = stage.steps.iter();
    steps
        .filter(|step| all || step.line != stage.line)
        .collect()
}

/// The values of all arguments, those of the stages before those of the build.
fn all_arguments(plan: &Plan) -> BTreeMap<&str, Fingerprint> {
    let given = plan.build_args.iter();
    let declared = plan.stages.iter().flat_map(|stage| &stage.arguments);
    given
        .chain(declared)
        .map(|(name, value)| (name.as_str(), *value))
        .collect()
}

/// Whether the `ONBUILD` instructions of the image that a stage starts from are among its steps, if
/// there are any. They stand at the line of its `FROM`.
fn triggers_known(plan: &Plan, stage: &Stage) -> bool {
    match &stage.base {
        Origin::Image(wanted) => {
            let image = plan.image(&wanted.reference, &wanted.platform);
            image.is_some_and(|image| image.identity.is_some())
        }
        _ => true,
    }
}

/// An origin by the names that both plans share.
fn shared_name(plan: &Plan, origin: &Origin) -> String {
    match origin {
        Origin::Scratch => "scratch".to_owned(),
        Origin::Stage(index) => format!("stage {}", plan.stages[*index].label),
        Origin::Image(image) if image.platform == plan.platform => image.reference.to_string(),
        Origin::Image(image) => format!("{} ({})", image.reference, image.platform),
        Origin::Context(context) => format!("context {context:?}"),
    }
}

fn differences<K: Ord + ToString, T: PartialEq>(
    old: &BTreeMap<K, T>,
    new: &BTreeMap<K, T>,
) -> Vec<(String, How)> {
    let names: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    let mut differences = Vec::new();
    for name in names {
        let how = match (old.get(name), new.get(name)) {
            (None, _) => How::Added,
            (_, None) => How::Removed,
            (Some(old), Some(new)) if old != new => How::Changed,
            _ => continue,
        };
        differences.push((name.to_string(), how));
    }
    differences
}

/// Whether a step, by its canonical text, is an `ARG` that declares `name`.
fn declares(step: &Step, name: &str) -> bool {
    let key = format!("\"key\":{}", serde_json::Value::from(name));
    step.keyword == "ARG" && step.text.contains(&key)
}

/// Whether copying `source` from the build context may copy the file at `path`. Patterns and
/// variables are not resolved: they may.
fn may_hold(source: &str, path: &str) -> bool {
    if source.contains(['*', '?', '[', '$']) {
        return true;
    }
    let mut parts = path_parts(path);
    path_parts(source).all(|part| parts.next() == Some(part))
}

fn path_parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !matches!(*part, "" | "."))
}
