//! What changed between two plans, and which stages are rebuilt because of it.

mod change;

pub use change::{Change, Diff, How, Rebuilt};

use std::collections::{BTreeMap, BTreeSet};

use crate::dockerfile::{Origin, Step, UseKind};
use crate::fingerprint::Fingerprint;
use crate::plan::{Plan, PlannedImage, PlannedStage};

/// Compares two plans of one build.
pub fn diff(old: &Plan, new: &Plan) -> Diff {
    let mut comparison = Comparison {
        old,
        new,
        changes: Vec::new(),
        dirty: vec![None; new.stages.len()],
    };
    comparison.platform();
    comparison.bases();
    comparison.arguments();
    comparison.contexts();
    comparison.extras();
    comparison.stages();
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
    fn mark_where(&mut self, line_of: impl Fn(&PlannedStage) -> Option<u32>) -> Vec<String> {
        let mut labels = Vec::new();
        for (index, stage) in self.new.stages.iter().enumerate() {
            if let Some(line) = line_of(stage) {
                self.mark(index, line);
                labels.push(stage.label.clone());
            }
        }
        labels
    }

    fn platform(&mut self) {
        if self.old.platform != self.new.platform {
            self.mark_where(|stage| Some(stage.line));
            self.changes.push(Change::Platform {
                old: self.old.platform.clone(),
                new: self.new.platform.clone(),
            });
        }
    }

    fn bases(&mut self) {
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

    fn arguments(&mut self) {
        let merged = |plan: &Plan| {
            let mut values: BTreeMap<String, Fingerprint> = plan.build_args.clone();
            for stage in &plan.stages {
                values.extend(stage.arguments.clone());
            }
            values
        };
        for (name, how) in differences(&merged(self.old), &merged(self.new)) {
            let stages = self.mark_where(|stage| {
                let declares = |step: &&Step| step.keyword == "ARG" && declares(&step.text, &name);
                stage.steps.iter().find(declares).map(|step| step.line)
            });
            self.changes.push(Change::Argument { name, how, stages });
        }
    }

    fn contexts(&mut self) {
        for (name, how) in differences(&self.old.contexts, &self.new.contexts) {
            self.changes.push(Change::Context { name, how });
        }
    }

    fn extras(&mut self) {
        for (path, how) in differences(&self.old.extras, &self.new.extras) {
            let stages = self.mark_where(|stage| {
                let reads = |step: &&Step| {
                    let mut paths = step.context_paths.iter();
                    paths.any(|source| may_hold(source, &path))
                };
                stage.steps.iter().find(reads).map(|step| step.line)
            });
            self.changes.push(Change::Extra { path, how, stages });
        }
    }

    fn stages(&mut self) {
        let (old, new) = (self.old, self.new);
        for stage in &old.stages {
            if find(new, &stage.label).is_none() {
                self.changes.push(Change::Stage {
                    stage: stage.label.clone(),
                    line: stage.line,
                    how: How::Removed,
                });
            }
        }
        for (index, stage) in new.stages.iter().enumerate() {
            if let Some(former) = find(old, &stage.label) {
                self.stage(index, former, stage);
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

    fn stage(&mut self, index: usize, former: &PlannedStage, stage: &PlannedStage) {
        let before = origin(self.old, &former.base);
        let now = origin(self.new, &stage.base);
        if before != now {
            self.mark(index, stage.line);
            self.changes.push(Change::From {
                stage: stage.label.clone(),
                line: stage.line,
                old: before,
                new: now,
            });
        }
        self.steps(index, former, stage);
    }

    /// Compares the instructions between what both begin and end with.
    fn steps(&mut self, index: usize, former: &PlannedStage, stage: &PlannedStage) {
        let (old_plan, new_plan) = (self.old, self.new);
        let same = |left: &Step, right: &Step| {
            let sources = |plan: &Plan, step: &Step| -> Vec<String> {
                step.sources
                    .iter()
                    .map(|source| origin(plan, source))
                    .collect()
            };
            left.text == right.text && sources(old_plan, left) == sources(new_plan, right)
        };
        // Who was offline does not know what a base image's triggers are; not knowing is no change.
        let all = triggers_known(old_plan, former) == triggers_known(new_plan, stage);
        let steps = |of: &'_ PlannedStage| -> Vec<Step> {
            let own = |step: &&Step| all || step.line != of.line;
            of.steps.iter().filter(own).cloned().collect()
        };
        let (old_steps, new_steps) = (steps(former), steps(stage));
        let (old, new) = (&old_steps[..], &new_steps[..]);
        let pairs = |(left, right): &(&Step, &Step)| same(left, right);
        let head = old.iter().zip(new).take_while(pairs).count();
        let (old, new) = (&old[head..], &new[head..]);
        let tail = old
            .iter()
            .rev()
            .zip(new.iter().rev())
            .take_while(pairs)
            .count();
        let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
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

    /// A stage is rebuilt from where it uses a stage that is rebuilt. Stages use earlier ones only,
    /// so that one pass is enough.
    fn propagate(&mut self) {
        for (index, stage) in self.new.stages.iter().enumerate() {
            let uses =
                |origin: &Origin| matches!(origin, Origin::Stage(at) if self.dirty[*at].is_some());
            let mut steps = stage.steps.iter();
            let line = if uses(&stage.base) {
                Some(stage.line)
            } else {
                let copying = steps.find(|step| step.sources.iter().any(uses));
                copying.map(|step| step.line)
            };
            if let Some(line) = line {
                self.mark(index, line);
            }
        }
    }
}

fn find<'p>(plan: &'p Plan, label: &str) -> Option<&'p PlannedStage> {
    plan.stages.iter().find(|stage| stage.label == label)
}

/// The first line at which a stage uses an image.
fn first_use(stage: &PlannedStage, image: &PlannedImage) -> Option<u32> {
    let uses = |origin: &Origin| {
        matches!(origin, Origin::Image { reference, platform }
            if *reference == image.reference && *platform == image.platform)
    };
    if uses(&stage.base) {
        return Some(stage.line);
    }
    let front_end = image.uses.iter().all(|site| site.kind == UseKind::Syntax);
    if front_end {
        return None;
    }
    let mut steps = stage.steps.iter();
    steps
        .find(|step| step.sources.iter().any(uses))
        .map(|step| step.line)
}

/// Whether the `ONBUILD` instructions of the image that a stage starts from are among its steps, if
/// there are any. They stand at the line of its `FROM`.
fn triggers_known(plan: &Plan, stage: &PlannedStage) -> bool {
    match &stage.base {
        Origin::Image {
            reference,
            platform,
        } => {
            let image = plan.image(reference, platform);
            image.is_some_and(|image| image.identity.is_some())
        }
        _ => true,
    }
}

/// An origin by the names that both plans share.
fn origin(plan: &Plan, origin: &Origin) -> String {
    match origin {
        Origin::Scratch => "scratch".to_owned(),
        Origin::Stage(index) => format!("stage {}", plan.stages[*index].label),
        Origin::Image {
            reference,
            platform,
        } if *platform == plan.platform => reference.to_string(),
        Origin::Image {
            reference,
            platform,
        } => format!("{reference} ({platform})"),
        Origin::Context(context) => format!("context {context:?}"),
    }
}

fn differences<T: PartialEq>(
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
) -> Vec<(String, How)> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let how = |name: &&String| match (old.get(*name), new.get(*name)) {
        (None, _) => Some(How::Added),
        (_, None) => Some(How::Removed),
        (Some(old), Some(new)) => (old != new).then_some(How::Changed),
    };
    names
        .iter()
        .filter_map(|name| how(name).map(|how| ((*name).clone(), how)))
        .collect()
}

/// Whether the canonical text of an `ARG` declares `name`.
fn declares(text: &str, name: &str) -> bool {
    text.contains(&format!("\"key\":{}", serde_json::Value::from(name)))
}

/// Whether copying `source` from the build context may copy the file at `path`. Patterns and
/// variables are not resolved: they may.
fn may_hold(source: &str, path: &str) -> bool {
    if source.contains(['*', '?', '[', '$']) {
        return true;
    }
    let parts = |text: &'_ str| -> Vec<String> {
        let parts = text.split('/').filter(|part| !matches!(*part, "" | "."));
        parts.map(str::to_owned).collect()
    };
    parts(path).starts_with(&parts(source))
}
