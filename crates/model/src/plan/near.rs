//! How near what an earlier build left is to a plan.

use crate::dockerfile::Stage;
use crate::plan::Plan;
use crate::plan::diff::diff;

/// How many instructions a build of `plan` runs again after one of `before`; after none, all.
pub fn run_again(before: Option<&Plan>, plan: &Plan) -> usize {
    let rebuilt = before.map(|before| diff(before, plan).rebuilt);
    let stages = plan.stages.iter().map(|stage| match &rebuilt {
        None => from(stage, 0),
        Some(rebuilt) => {
            let mut of_stage = rebuilt.iter().filter(|one| one.stage == stage.label);
            of_stage.next().map_or(0, |one| from(stage, one.from_line))
        }
    });
    stages.sum()
}

fn from(stage: &Stage, line: u32) -> usize {
    stage.steps.iter().filter(|step| step.line >= line).count()
}
