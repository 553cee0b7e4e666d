//! The commands that look after a store.

pub(crate) mod collect;
pub(crate) mod cp;
pub(crate) mod gc;
pub(crate) mod ls;
pub(crate) mod past;
pub(crate) mod policy;
pub(crate) mod promote;
pub(crate) mod rekey;
pub(crate) mod rm;
pub(crate) mod verify;

use larder_upkeep::{Selection, scopes_meant_by};

use larder_settings::Settings;
use larder_settings::args::Where;

/// Which documents are meant: by their ids, or by what was typed. Variables and files say which job this is, not
/// which documents.
fn selection(which: &Where, settings: &Settings, ids: &[String], all: bool) -> Selection {
    let project = &settings.project().descent.project;
    Selection {
        ids: ids.to_vec(),
        project: (!all).then(|| project.clone()),
        scopes: which.scope.as_deref().map(scopes_meant_by),
        job: which.job.clone(),
    }
}

/// The line of this job, or what was typed of another.
fn own_line(which: &Where, settings: &Settings) -> Selection {
    let typed = selection(which, settings, &[], false);
    let descent = &settings.project().descent;
    Selection {
        scopes: typed
            .scopes
            .or_else(|| Some(vec![descent.scope.to_string()])),
        job: Some(descent.job.clone()),
        ..typed
    }
}
