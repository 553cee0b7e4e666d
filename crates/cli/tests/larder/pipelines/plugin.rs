//! The Buildkite plugin, as the agent calls its hooks: sourced by bash, with what they export kept for the next.

use super::player::Player;
use super::systems::BUILDKITE;
use crate::kit::Store;

/// What the agent runs a hook with: its environment afterwards is the next one's.
const HOOK: &str = "set -a; . \"$HOOK\"; env -0 > \"$AFTER\"";

impl Player {
    fn hook(&mut self, name: &str) -> String {
        let hook = format!("integrations/larder-buildkite-plugin/hooks/{name}");
        let (hook, after) = (self.of_larder(&hook), self.file("after"));
        for (variable, path) in [("HOOK", &hook), ("AFTER", &after)] {
            let path = path.display().to_string();
            self.environment.insert(variable.to_owned(), path);
        }
        let said = self.run(&["bash", "-c"], HOOK, true);
        let text = std::fs::read_to_string(after).unwrap_or_default();
        let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
        self.environment
            .extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        said
    }
}

/// A step with the plugin finds what other jobs of its line saved, and saves after it failed.
pub(crate) fn plays(store: &Store) {
    let mut player = Player::new(BUILDKITE, store);
    let checkout = player.checkout.display().to_string();
    for (name, value) in [
        ("BUILDKITE_PLUGIN_LARDER_STORE", &store.url()),
        (
            "BUILDKITE_PLUGIN_LARDER_OPTIONS_0",
            &"--size=64GiB".to_owned(),
        ),
        ("BUILDKITE_PLUGIN_LARDER_OPTIONS_1", &"--strict".to_owned()),
        ("BUILDKITE_BUILD_CHECKOUT_PATH", &checkout),
    ] {
        player.environment.insert(name.to_owned(), value.clone());
    }
    player.hook("pre-command");
    let build = player.run(&["bash", "-ec"], "docker build . ; exit 1", false);
    assert_eq!(super::cached(&build), 3, "{build}");
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
