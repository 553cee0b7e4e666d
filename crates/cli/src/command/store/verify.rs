//! `larder verify`: what is damaged, and what that touches.

use std::process::ExitCode;

use indicatif::HumanBytes;
use larder_local::people::Voice as _;
use larder_settings::Settings;
use larder_settings::args::Verify;
use larder_settings::exit::Done;
use larder_upkeep::verify::{Checked, repair, verify};

use super::gc::amount;
use crate::command::block_on;
use crate::report::Report;

/// Objects that are told one by one.
const TOLD_MAX: usize = 50;

/// Verifies the store; exit code 1 if something is damaged.
pub(crate) fn run(verb: &Verify, report: &Report) -> Done {
    let settings = Settings::decide(&verb.which, None, report)?;
    let objects = settings.project().store.open_listed()?;
    let checked = block_on(async {
        let mut checked = verify(&objects, verb.data, report).await?;
        if verb.repair {
            repair(&objects, &mut checked).await?;
        }
        Ok::<_, larder_store::StoreError>(checked)
    })??;
    if verb.json {
        report.json(&checked);
    } else {
        report.answer(&text(&checked, verb.data));
    }
    if !checked.is_sound() && !verb.repair {
        report.note("`larder verify --repair` removes what cannot be used");
    }
    Ok(ExitCode::from(u8::from(!checked.is_sound())))
}

fn text(checked: &Checked, data: bool) -> String {
    let damaged = checked.damaged.values().take(TOLD_MAX);
    let mut lines: Vec<String> = damaged.cloned().collect();
    if checked.damaged.len() > TOLD_MAX {
        lines.push(format!(
            "and {} objects more",
            checked.damaged.len() - TOLD_MAX
        ));
    }
    let verb = if checked.repaired {
        "lost and removed"
    } else {
        "lost"
    };
    let lost = checked.lost.iter();
    lines.extend(lost.map(|lost| format!("{verb}: {}: {}", lost.document.name(), lost.why)));
    let slower = checked.slower.iter();
    lines.extend(slower.map(|one| format!("starts slower: {}", one.name())));
    let unknown = checked.unknown.iter();
    lines.extend(
        unknown.map(|one| format!("not looked at, a newer Larder wrote it: {}", one.name())),
    );
    let compared = HumanBytes(checked.compared_bytes);
    let read = if data {
        format!("{compared} compared with their digests")
    } else {
        "sizes compared".to_owned()
    };
    let sound = if checked.is_sound() {
        "sound"
    } else {
        "damaged"
    };
    lines.push(format!(
        "{sound}: {} documents, {}, {read}",
        checked.documents,
        amount(&checked.named)
    ));
    lines.join("\n")
}
