//! The configurations of `larder init`, and what goes with them, carried out as their CI systems do: each job on a
//! machine of its own, all with one store.

use std::fs;

use serde_json::{Value, json};

use super::player::{Player, yaml};
use super::systems::{
    AZURE, BITBUCKET, BUILDKITE, CIRCLECI, GITHUB, GITLAB, JENKINS, SHELL, System,
};
use super::{cached, plugin};
use crate::kit::{SMALL, Store};

/// A job that builds, and one after a change of a file that no step copies, whose build ends in a step that fails:
/// all that is the same is found, and saved again.
fn two_jobs(system: System) -> Store {
    let store = Store::new();
    let mut player = Player::new(system, &store);
    player.rehearse();
    let job = player.init("$STORE");
    let said = player.play(&job, true);
    assert_eq!(cached(&said), 0, "{said}");
    assert!(has_saved(&said), "{said}");
    player.ends_clean();

    let mut player = Player::new(system, &store);
    let failing = format!("{SMALL}RUN [\"/bin/sh\", \"-c\", \"exit 3\"]\n");
    fs::write(player.checkout.join("Dockerfile"), failing).expect("written");
    fs::write(player.checkout.join("README.md"), "changed").expect("written");
    let job = player.init("$STORE");
    let said = player.play(&job, false);
    assert_eq!(cached(&said), 3, "{said}");
    // An engine's API tells nothing of the steps of a build that failed.
    if system.has_service {
        assert!(said.contains("nothing saved"), "{said}");
        reports(&player);
    } else {
        assert!(has_saved(&said), "{said}");
    }
    player.ends_clean();
    store
}

/// A job at an engine's API has a page, too: its phases, its steps, and the archives of its line.
fn reports(player: &Player) {
    let line = "larder report --store $STORE --html report.html";
    player.run(&["sh", "-ec"], line, true);
    let page = fs::read_to_string(player.checkout.join("report.html")).expect("a page");
    for part in [
        "<td>restore</td>",
        "<td>command</td>",
        "] RUN [&quot;/bin/sh&quot;",
        "step from the cache",
        "step that ran",
        "Bytes over time",
        "Seconds of each job",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
}

fn has_saved(said: &str) -> bool {
    said.lines()
        .any(|line| line.contains("saved ") && line.contains("@ branch/main"))
}

/// A job in other words finds what those of the proposed one have saved.
fn finds(system: System, store: &Store, words: impl Fn(&Player) -> Value) {
    let mut player = Player::new(system, store);
    let job = words(&player);
    let said = player.play(&job, true);
    assert_eq!(cached(&said), 3, "{said}");
    assert!(has_saved(&said), "{said}");
    player.ends_clean();
}

#[test]
fn github_runs_what_is_proposed() {
    two_jobs(GITHUB);
}

#[test]
fn gitlab_runs_what_is_proposed_and_the_component() {
    let store = two_jobs(GITLAB);
    finds(GITLAB, &store, |player| {
        let file = player.of_larder("integrations/gitlab/templates/larder.yml");
        let text = fs::read_to_string(&file).expect("read");
        let filled = text
            .replace("$[[ inputs.store ]]", &store.url())
            .replace("$[[ inputs.options ]]", "--strict")
            .replace("$[[ inputs.image ]]", "docker:29-dind");
        fs::write(&file, filled).expect("written");
        let mut job = yaml(&file)[".larder"].clone();
        // What a job adds that `extends` it.
        job["script"] = json!(["docker build -t image ."]);
        job
    });
}

#[test]
fn circleci_runs_what_is_proposed_and_the_orb() {
    let store = two_jobs(CIRCLECI);
    finds(CIRCLECI, &store, |player| {
        let orb = yaml(&player.of_larder("integrations/circleci/orb.yml"));
        of_the_orb(&orb, &store.url())
    });
}

/// The job of the orb's own example, with its commands' steps in the places of their names ("Orb author intro").
fn of_the_orb(orb: &Value, store: &str) -> Value {
    let used = &orb["examples"]["image"]["usage"]["jobs"]["image"]["steps"];
    let mut steps = Vec::new();
    for step in used.as_array().expect("steps") {
        let name = step
            .as_str()
            .or_else(|| Some(step.as_object()?.keys().next()?));
        match name.and_then(|name| name.strip_prefix("larder/")) {
            Some(command) => {
                let text = orb["commands"][command]["steps"].to_string();
                let text = text
                    .replace("<< parameters.store >>", store)
                    .replace("<< parameters.options >>", "--strict");
                let own: Vec<Value> = serde_json::from_str(&text).expect("steps");
                steps.extend(own);
            }
            None if step["run"].is_string() => {
                steps.push(json!({ "run": { "command": step["run"] } }));
            }
            None => steps.push(step.clone()),
        }
    }
    json!({ "steps": steps })
}

#[test]
fn buildkite_runs_what_is_proposed_and_the_plugin() {
    let store = two_jobs(BUILDKITE);
    plugin::plays(&store);
}

#[test]
fn jenkins_runs_what_is_proposed() {
    two_jobs(JENKINS);
}

#[test]
fn azure_runs_what_is_proposed() {
    two_jobs(AZURE);
}

#[test]
fn bitbucket_runs_what_is_proposed() {
    two_jobs(BITBUCKET);
}

#[test]
fn any_other_system_runs_what_is_proposed() {
    two_jobs(SHELL);
}
