//! `larder init`: a configuration for the CI system that a repository is built by.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use larder_ci::init::{self, Proposal, System};
use larder_local::checkout::Checkout;
use larder_local::files;
use larder_local::people::Voice as _;
use larder_settings::Settings;
use larder_settings::args::{Init, Where};
use larder_settings::exit::{Done, Failure};

use crate::report::Report;

pub(crate) fn run(verb: &Init, report: &Report) -> Done {
    let which = Where {
        store: verb.store.clone(),
        ..Where::default()
    };
    let settings = Settings::decide(&which, None, report)?;
    let project = settings.project();
    let store = project.store_is_chosen.then(|| project.store.to_string());
    let checkout = Checkout::around(&settings.around.folder);
    let proposal = init::propose(checkout.root(), verb.system, store.as_deref());
    if verb.json {
        report.json(&proposal);
        return Ok(ExitCode::SUCCESS);
    }
    if proposal.exists && !verb.force {
        report.answer(&additions(&proposal));
    } else if verb.print {
        report.answer(proposal.text.trim_end());
    } else {
        write(&proposal, &checkout.root().join(&proposal.file))?;
        report.note(&format!("wrote {}", proposal.file.display()));
    }
    for line in &proposal.chosen {
        report.note(line);
    }
    Ok(ExitCode::SUCCESS)
}

fn additions(proposal: &Proposal) -> String {
    let file = proposal.file.display();
    let first = format!("{file} is there and stays as it is (--force replaces it). Add:\n");
    let each = proposal.additions.iter();
    let each = each.map(|addition| format!("{}\n\n{}", addition.place, addition.lines));
    let parts: Vec<String> = [first].into_iter().chain(each).collect();
    parts.join("\n")
}

fn write(proposal: &Proposal, file: &Path) -> Done<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(folder)
        .and_then(|()| files::write_public(file, proposal.text.as_bytes()))
        .and_then(|()| match proposal.system {
            System::Shell => fs::set_permissions(file, Permissions::from_mode(0o755)),
            _ => Ok(()),
        });
    written.map_err(|error| {
        let file = file.display();
        Failure::input(format!("{file} cannot be written: {error}"))
    })
}
