//! Somebody's first five commands, on a machine that has Docker's packages and nothing of Larder's.

use std::fs;

use super::cached;
use super::player::Player;
use super::systems::{SHELL as SCRIPT, System};
use crate::kit::Store;

const SHELL: [&str; 2] = ["sh", "-ec"];

#[test]
fn five_commands_lead_to_a_page_about_the_second_job() {
    let store = Store::new();
    let own = System {
        variables: "",
        user: None,
        ..SCRIPT
    };
    let mut player = Player::new(own, &store);
    player.fetches_from_a_server();
    let run = |command: &str| player.run(&SHELL, command, true);
    let installed = run("wget -qO- $LARDER_URL/install.sh | sh");
    assert!(
        installed.contains(" installed in /usr/local/bin"),
        "{installed}"
    );
    run("larder init shell --print --store $STORE > larder.sh");
    let first = run("sh larder.sh");
    assert_eq!(cached(&first), 0, "{first}");
    let second = run("sh larder.sh");
    assert_eq!(cached(&second), 3, "{second}");
    run("larder report --html report.html");
    let page = fs::read_to_string(player.checkout.join("report.html")).expect("a page");
    for part in [
        "RUN [",
        "step from the cache",
        "Bytes over time",
        "Hit rate of each job",
        "bytes in the store",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    // Both jobs are in the line's history, which terminals show too.
    let history = run("larder history --store $STORE");
    assert_eq!(history.lines().count(), 3, "{history}");
    player.ends_clean();
}
