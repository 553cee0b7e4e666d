//! GitHub Actions, and the forges that run its workflows (Gitea, Forgejo).
//!
//! Many events run with the default branch as their reference, on behalf of somebody else: a pull request, a
//! comment, a finished run of another workflow. Only the event's payload says whose. GitHub itself lets only some
//! events write to the default branch's cache ("Dependency caching reference", "Restrictions for accessing a
//! cache").

use std::fs::File;
use std::io::Read as _;

use larder_model::lineage::Scope;
use serde_json::Value;

use super::{Ci, Variables, branch_of, scope_of, without_scheme};

/// A payload has at most 25 MB ("Webhook events and payloads").
const PAYLOAD_MAX_BYTES: u64 = 32 << 20;

/// Events whose reference is what the job runs on, and which need the right to write to it.
const OF_THEIR_REFERENCE: [&str; 6] = [
    "push",
    "schedule",
    "workflow_dispatch",
    "release",
    "create",
    "merge_group",
];
/// Where payloads of other events say which pull request they are about.
const NUMBERS: [&str; 6] = [
    "/pull_request/number",
    "/workflow_run/pull_requests/0/number",
    "/check_run/pull_requests/0/number",
    "/check_suite/pull_requests/0/number",
    "/client_payload/pull_request/number",
    "/client_payload/github/payload/issue/number",
];

pub(super) fn job(of: Variables<'_>) -> Ci {
    let server = of.get("GITHUB_SERVER_URL");
    let server = server.as_deref().map_or("github.com", without_scheme);
    let repository = of.get("GITHUB_REPOSITORY");
    let payload = of.get("GITHUB_EVENT_PATH").and_then(|path| read(&path));
    let payload = payload.unwrap_or_default();
    let text = |pointer: &str| Some(payload.pointer(pointer)?.as_str()?.to_owned());
    let queue = text("/merge_group/base_ref").map(|base| branch_of(&base));
    Ci {
        is_there: true,
        scope: scope(of, &payload),
        project: repository.map(|name| format!("{server}/{name}")),
        job: name(of),
        target: of.get("GITHUB_BASE_REF").or(queue),
        default_branch: text("/repository/default_branch"),
        ..Ci::default()
    }
}

fn read(path: &str) -> Option<Value> {
    let mut text = Vec::new();
    let file = File::open(path).ok()?;
    file.take(PAYLOAD_MAX_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Two workflows may have jobs of one name. The legs of a matrix have all variables in common: see `LEG`.
fn name(of: Variables<'_>) -> Option<String> {
    let job = of.get("GITHUB_JOB")?;
    // `owner/name/.github/workflows/ci.yml@refs/heads/main`: the file's name says more than the title.
    let file = of.get("GITHUB_WORKFLOW_REF").and_then(|full| {
        let (path, _) = full.split_once('@')?;
        Some(path.rsplit_once('/')?.1.to_owned())
    });
    Some(match file.or_else(|| of.get("GITHUB_WORKFLOW")) {
        Some(workflow) => format!("{workflow}/{job}"),
        None => job,
    })
}

fn scope(of: Variables<'_>, payload: &Value) -> Option<Scope> {
    let event = of.get("GITHUB_EVENT_NAME")?;
    let reference = of.get("GITHUB_REF").and_then(|full| scope_of(&full));
    if OF_THEIR_REFERENCE.contains(&event.as_str()) {
        return reference;
    }
    if let Some(Scope::Pull(number)) = reference {
        return Some(Scope::Pull(number));
    }
    let run = &payload["workflow_run"];
    let pull = pull(&event, payload).or_else(|| of_fork(run));
    Some(match pull {
        Some(pull) => Scope::Pull(pull),
        None => of_push(run, payload).unwrap_or(Scope::Event(event)),
    })
}

/// The number of the pull request that an event is about.
fn pull(event: &str, payload: &Value) -> Option<String> {
    let number = |pointer: &str| Some(payload.pointer(pointer)?.as_u64()?.to_string());
    let mut numbers = NUMBERS.iter();
    let own = event.starts_with("pull_request").then_some("/number");
    // An issue is no pull request, unless it says so.
    let issue = payload.pointer("/issue/pull_request");
    let issue = issue.map(|_| "/issue/number");
    let named = own.into_iter().chain(issue).find_map(number);
    named.or_else(|| numbers.find_map(|pointer| number(pointer)))
}

/// The fork and branch of a run that belongs to a pull request from a fork: GitHub names no number then.
fn of_fork(run: &Value) -> Option<String> {
    let is_pull = run["event"].as_str()?.starts_with("pull_request");
    let branch = run["head_branch"].as_str()?;
    let fork = run["head_repository"]["full_name"].as_str()?;
    is_pull.then(|| format!("{fork}:{branch}"))
}

/// The branch of a run that an event of the repository's own branch began.
fn of_push(run: &Value, payload: &Value) -> Option<Scope> {
    let began = run["event"].as_str()?;
    let own = payload["repository"]["full_name"].as_str()?;
    let head = run["head_repository"]["full_name"].as_str()?;
    let branch = run["head_branch"].as_str()?;
    let is_own = own == head && ["push", "schedule", "workflow_dispatch"].contains(&began);
    is_own.then(|| Scope::Branch(branch.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{job, scope};

    const MAIN: &str = "GITHUB_ACTIONS=true GITHUB_REPOSITORY=shop/web GITHUB_JOB=build \
                        GITHUB_REF=refs/heads/main GITHUB_REF_NAME=main";

    /// The scope of a job with main's reference, by its event and payload.
    fn on_main(event: &str, payload: &str) -> String {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), payload).expect("written");
        let path = file.path().display();
        scope(&format!(
            "{MAIN} GITHUB_EVENT_NAME={event} GITHUB_EVENT_PATH={path}"
        ))
        .expect("a scope")
    }

    /// Events with main's reference, their payloads, and whose they are.
    const OF_OTHERS: [(&str, &str, &str); 16] = [
        (
            "pull_request_target",
            r#"{"number":7,"pull_request":{"number":7}}"#,
            "pull/7",
        ),
        ("pull_request", r#"{"number":7}"#, "pull/7"),
        (
            "pull_request_review",
            r#"{"pull_request":{"number":7}}"#,
            "pull/7",
        ),
        (
            "issue_comment",
            r#"{"issue":{"number":7,"pull_request":{}}}"#,
            "pull/7",
        ),
        (
            "issue_comment",
            r#"{"issue":{"number":7}}"#,
            "event/issue_comment",
        ),
        ("issues", r#"{"issue":{"number":7}}"#, "event/issues"),
        (
            "workflow_run",
            r#"{"workflow_run":{"event":"pull_request","head_branch":"main",
                "head_repository":{"full_name":"shop/web"},"pull_requests":[{"number":7}]}}"#,
            "pull/7",
        ),
        (
            "workflow_run",
            r#"{"workflow_run":{"event":"pull_request","head_branch":"main",
                "head_repository":{"full_name":"evil/web"},"pull_requests":[]}}"#,
            "pull/evil/web:main",
        ),
        (
            "workflow_run",
            r#"{"repository":{"full_name":"shop/web"},"workflow_run":{"event":"push",
                "head_branch":"main","head_repository":{"full_name":"shop/web"},"pull_requests":[]}}"#,
            "branch/main",
        ),
        (
            "workflow_run",
            r#"{"repository":{"full_name":"shop/web"},"workflow_run":{"event":"push",
                "head_branch":"main","head_repository":{"full_name":"evil/web"},"pull_requests":[]}}"#,
            "event/workflow_run",
        ),
        ("workflow_run", "{}", "event/workflow_run"),
        ("workflow_run", "nonsense", "event/workflow_run"),
        (
            "repository_dispatch",
            r#"{"client_payload":{}}"#,
            "event/repository_dispatch",
        ),
        (
            "repository_dispatch",
            r#"{"client_payload":{"pull_request":{"number":7}}}"#,
            "pull/7",
        ),
        ("discussion_comment", "{}", "event/discussion_comment"),
        ("an_event_of_tomorrow", "{}", "event/an_event_of_tomorrow"),
    ];

    #[test]
    fn what_runs_on_behalf_of_others_is_never_main() {
        for (event, payload, expected) in OF_OTHERS {
            assert_eq!(on_main(event, payload), expected, "{event} {payload}");
        }
        assert_eq!(scope(MAIN), None, "no event is named");
        let pull = "GITHUB_ACTIONS=true GITHUB_EVENT_NAME=pull_request GITHUB_REF=refs/pull/7/merge \
                    GITHUB_REF_NAME=7/merge GITHUB_HEAD_REF=main GITHUB_BASE_REF=main";
        assert_eq!(scope(pull).as_deref(), Some("pull/7"));
        assert_eq!(job(pull).target.as_deref(), Some("main"));
    }

    #[test]
    fn events_of_a_reference_have_its_scope() {
        for event in ["push", "schedule", "workflow_dispatch"] {
            assert_eq!(on_main(event, "{}"), "branch/main");
        }
        for (reference, expected) in [
            ("refs/heads/feature/x", "branch/feature/x"),
            ("refs/heads/pull/7", "branch/pull/7"),
            ("refs/tags/main", "tag/main"),
        ] {
            let push = "GITHUB_ACTIONS=true GITHUB_EVENT_NAME=push GITHUB_REF";
            assert_eq!(
                scope(&format!("{push}={reference}")).as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn a_queued_merge_has_a_scope_of_its_own_and_reads_the_branch_it_goes_to() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let payload = r#"{"merge_group":{"base_ref":"refs/heads/main"},"repository":{"default_branch":"trunk"}}"#;
        fs::write(file.path(), payload).expect("written");
        let found = job(&format!(
            "GITHUB_ACTIONS=true GITHUB_EVENT_NAME=merge_group GITHUB_EVENT_PATH={} \
             GITHUB_REF=refs/heads/gh-readonly-queue/main/pr-7-3f2a",
            file.path().display()
        ));
        let scope = found.scope.expect("a scope").to_string();
        assert_eq!(scope, "branch/gh-readonly-queue/main/pr-7-3f2a");
        assert_eq!(found.target.as_deref(), Some("main"));
        assert_eq!(found.default_branch.as_deref(), Some("trunk"));
    }

    #[test]
    fn jobs_of_one_name_in_two_workflows_are_two() {
        let name = |more: &str| job(&format!("{MAIN} {more}")).job;
        assert_eq!(name("").as_deref(), Some("build"));
        assert_eq!(name("GITHUB_WORKFLOW=CI").as_deref(), Some("CI/build"));
        let file = "GITHUB_WORKFLOW=CI GITHUB_WORKFLOW_REF=shop/web/.github/workflows/ci.yml@refs/heads/x/y";
        assert_eq!(name(file).as_deref(), Some("ci.yml/build"));
        assert_eq!(job(MAIN).project.as_deref(), Some("github.com/shop/web"));
    }
}
