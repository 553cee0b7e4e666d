//! The Buildkite plugin, as the agent calls its hooks: sourced by bash, with what they export kept for the next.

use super::player::Player;
use crate::kit::Store;

const HOOKS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../integrations/larder-buildkite-plugin/hooks"
);
const BUILDKITE: &str = "CI=true BUILDKITE=true BUILDKITE_ORGANIZATION_SLUG=shop BUILDKITE_PIPELINE_SLUG=web \
    BUILDKITE_STEP_KEY=image BUILDKITE_BRANCH=main BUILDKITE_PULL_REQUEST=false \
    BUILDKITE_PLUGIN_LARDER_OPTIONS_0=--size=2GiB BUILDKITE_PLUGIN_LARDER_OPTIONS_1=--strict";

/// What the agent runs a hook with: its environment afterwards is the next one's.
const HOOK: &str = "set -a; . \"$HOOK\"; env -0 > \"$AFTER\"";

impl Player {
    fn hook(&mut self, name: &str) -> String {
        let after = self.checkout.with_file_name("after");
        for (variable, value) in [
            ("HOOK", format!("{HOOKS}/{name}")),
            ("AFTER", after.display().to_string()),
        ] {
            self.environment.insert(variable.to_owned(), value);
        }
        let said = self.run(&["bash", "-c"], HOOK, true);
        let text = std::fs::read_to_string(after).unwrap_or_default();
        let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
        self.environment
            .extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        said
    }
}

#[test]
fn a_plugin_gives_a_step_an_engine_and_saves_after_it_failed() {
    let store = Store::new();
    let mut player = Player::new(BUILDKITE, &store);
    let checkout = player.checkout.display().to_string();
    for (name, value) in [
        ("BUILDKITE_PLUGIN_LARDER_STORE", store.url()),
        ("BUILDKITE_BUILD_CHECKOUT_PATH", checkout),
    ] {
        player.environment.insert(name.to_owned(), value);
    }
    player.hook("pre-command");
    let build = player.run(&["bash", "-ec"], "docker build . ; exit 1", false);
    assert!(
        build.contains("writing image") || build.contains("naming to"),
        "{build}"
    );
    let said = player.hook("pre-exit");
    assert!(
        said.contains("saved ") && said.contains("/ image @ branch/main"),
        "{said}"
    );
    // Nothing was started for this one.
    player.environment.remove("LARDER_PLUGIN_IS_UP");
    assert_eq!(player.hook("pre-exit"), "");
    player.ends_clean();
}
