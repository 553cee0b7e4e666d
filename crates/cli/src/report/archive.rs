//! What is said about archives of images.

use indicatif::HumanBytes;
use larder_archive::restore::Restored;
use larder_archive::save::Saved;
use larder_local::people::{Progress, Voice as _};
use larder_model::lineage::Lineage;

use super::{Report, age, seconds_of};

impl Report {
    pub(crate) fn archive_restored(&self, restored: &Restored) {
        let took = seconds_of(restored.ms);
        let Some(archive) = restored.archive else {
            return self.note("no archive yet for this job; nothing restored");
        };
        if let Some(why) = &restored.skipped {
            return self.note(&format!(
                "archive {archive:.12} is not restored: restoring took {} and made the build {} shorter; \
                 --always restores anyway",
                seconds_of(why.restore_ms),
                seconds_of(why.saved_ms)
            ));
        }
        let lineage = restored.lineage.as_ref().map(ToString::to_string);
        self.note(&format!(
            "restored {} in {took}: {} images, {} sent, {} layers already there, {} fetched, {} old ({archive:.12})",
            lineage.unwrap_or_default(),
            restored.images,
            HumanBytes(restored.bytes),
            restored.layers_held,
            HumanBytes(restored.fetched_bytes),
            age(restored.age_ms)
        ));
        if let (true, Some(lineage)) = (restored.sibling, &restored.lineage) {
            self.legs(lineage);
        }
        for left in &restored.left_out {
            self.note(&format!(
                "image {} is left out: {}",
                left.image, left.reason
            ));
        }
    }

    pub(crate) fn archive_saved(&self, saved: &Saved, lineage: &Lineage) {
        self.progress(Progress::Over);
        let took = seconds_of(saved.ms);
        let Some(archive) = saved.archive else {
            return self.note(&format!("nothing changed, nothing saved ({took})"));
        };
        let statistics = &saved.statistics;
        let sibling = if saved.sibling {
            ", beside a newer head"
        } else {
            ""
        };
        self.note(&format!(
            "saved {lineage} in {took}: {} images of {}, {} read, {} new, {} stored ({archive:.12}{sibling})",
            saved.images,
            HumanBytes(statistics.blob_bytes),
            HumanBytes(statistics.read_bytes),
            HumanBytes(statistics.new_bytes),
            HumanBytes(statistics.stored_bytes)
        ));
        if saved.sibling {
            self.legs(lineage);
        }
    }
}
