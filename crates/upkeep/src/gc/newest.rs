//! Stores that a CI system saves and restores as a whole.

use std::time::Duration;

use larder_local::people::Nobody;
use larder_local::people::Voice;
use larder_model::retention::Rules;
use larder_store::Objects;

use super::{Plan, collect};

/// After a save into a store that is to hold just what the newest document of each lineage needs: all else goes,
/// before a CI system saves it. What goes wrong is a warning, and the next save does it.
pub async fn leave_newest(objects: &Objects, voice: &dyn Voice) {
    if !objects.is_single() {
        return;
    }
    let usual = Plan::usual();
    let plan = Plan {
        rules: Rules {
            keep_last: Some(1),
            ..usual.rules
        },
        grace: Duration::ZERO,
        // Each save does it.
        compact_bytes: 0,
        ..usual
    };
    let twice = async {
        // What is retired holds back what it names until the next collection.
        collect(objects, &plan, &Nobody).await?;
        collect(objects, &plan, &Nobody).await
    };
    let held_back = match objects.alone(twice).await {
        Some(Ok(collected)) => collected.held_back,
        Some(Err(error)) => Some(error.to_string()),
        None => Some("another job uses it".to_owned()),
    };
    if let Some(why) = held_back {
        voice.warning(&format!(
            "what the store needs no more stays in it this time: {why}"
        ));
    }
}
