//! The configurations of `larder init`, carried out as their CI systems do.

use serde_json::Value;

use super::player::{GITHUB, Player};
use crate::kit::Store;

const GITLAB: &str = "CI=true GITLAB_CI=true CI_SERVER_HOST=gitlab.com CI_PROJECT_PATH=shop/web \
    CI_JOB_NAME=image CI_COMMIT_BRANCH=main CI_DEFAULT_BRANCH=main";

/// A job's steps, each in a shell of its own, as the runner calls it ("Workflow syntax",
/// `jobs.<job_id>.steps[*].shell`).
fn github(player: &mut Player, job: &Value) -> String {
    player.set(&job["env"]);
    let file = player.checkout.with_file_name("github-env");
    std::fs::write(&file, "").expect("written");
    let path = file.display().to_string();
    player.environment.insert("GITHUB_ENV".to_owned(), path);
    let mut said = String::new();
    for step in job["steps"].as_array().expect("steps") {
        // The checkout is there.
        let Some(script) = step["run"].as_str() else {
            continue;
        };
        said += &player.run(&["bash", "-ec"], script, true);
        player.take(&file);
    }
    said
}

/// `before_script` and `script` in one shell, `after_script` in another ("CI/CD YAML syntax reference").
fn gitlab(player: &mut Player, job: &Value) -> String {
    player.set(&job["variables"]);
    let lines = |name: &str| {
        let list = job[name].as_array().expect("a list").iter();
        let lines: Vec<&str> = list.filter_map(Value::as_str).collect();
        lines.join("\n")
    };
    let script = format!("{}\n{}", lines("before_script"), lines("script"));
    let said = player.run(&["sh", "-ec"], &script, true);
    said + &player.run(&["sh", "-ec"], &lines("after_script"), true)
}

/// Plays two jobs, the second after a change of a file that no step copies: all its steps are cached.
fn two_jobs(
    variables: &str,
    system: &str,
    file: &str,
    job: &str,
    steps: fn(&mut Player, &Value) -> String,
) {
    let store = Store::new();
    for is_first in [true, false] {
        let mut player = Player::new(variables, &store);
        if !is_first {
            player.change("README.md");
        }
        let configuration = player.init(system, file);
        let said = steps(&mut player, configuration.pointer(job).expect("the job"));
        let cached = said
            .lines()
            .filter(|line| line.ends_with(" CACHED"))
            .count();
        assert_eq!(cached, if is_first { 0 } else { 3 }, "{said}");
        assert!(
            said.contains("saved ") && said.contains("branch/main"),
            "{said}"
        );
        player.ends_clean();
    }
}

#[test]
fn github_runs_what_is_proposed() {
    let file = ".github/workflows/larder.yml";
    two_jobs(GITHUB, "github", file, "/jobs/image", github);
}

#[test]
fn gitlab_runs_what_is_proposed() {
    two_jobs(GITLAB, "gitlab", ".gitlab-ci.yml", "/build-image", gitlab);
}
