//! Secrets in what is about to be saved: in the steps of images, and in build arguments.

use std::collections::BTreeSet;

use larder_docker::Remote;
use larder_local::people::Voice;
use larder_secrets::{self as secrets, Finding};
use serde::Serialize;

use crate::save::What;
use crate::{ArchiveError, Result};

/// Something that looks like a secret. The secret itself is not in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Leak {
    /// Where: "step 3 of app", or the build's arguments.
    pub place: String,
    /// What was found, as a sentence with its cure.
    pub what: String,
}

/// Looks through the steps of the images that are saved.
pub async fn of_images(engine: &Remote, what: &What) -> Result<Vec<Leak>> {
    let mut leaks = BTreeSet::new();
    for image in &what.sources.images {
        let steps = engine.history(image).await?;
        for (number, step) in steps.iter().rev().enumerate() {
            for finding in secrets::scan_step(&step.created_by) {
                leaks.insert(Leak {
                    place: format!("step {} of {image}", number + 1),
                    what: sentence(&finding),
                });
            }
        }
    }
    Ok(leaks.into_iter().collect())
}

/// Looks at the values of build arguments.
pub fn of_arguments<'a>(arguments: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Leak> {
    let found = secrets::scan_build_args(arguments);
    let leaks = found.iter().map(|finding| Leak {
        place: "the build's arguments".to_owned(),
        what: sentence(finding),
    });
    leaks.collect()
}

fn sentence(finding: &Finding) -> String {
    format!("{finding}; {}", finding.cure())
}

/// Warns of what was found. With `deny` that is an error.
pub fn tell(leaks: &[Leak], deny: bool, voice: &dyn Voice) -> Result<()> {
    for leak in leaks {
        voice.warning(&format!("{}: {}", leak.place, leak.what));
    }
    if deny && !leaks.is_empty() {
        return Err(ArchiveError::Secrets(leaks.len()));
    }
    Ok(())
}
