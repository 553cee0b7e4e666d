//! Jobs of CI systems whose variables say what they mean.

use larder_model::lineage::Scope;

use super::table::{SYSTEMS, System};
use super::{Ci, Variables, branch_of, scope_of};

/// The job of a system that is known.
pub(super) fn job(of: Variables<'_>) -> Option<Ci> {
    let system = SYSTEMS.iter().find(|system| system.is_here(of))?;
    let project = of.joined(system.project);
    let target = of.first(system.target).map(|name| branch_of(&name));
    Some(Ci {
        is_there: true,
        project: project.map(|name| format!("{}{name}", system.host)),
        job: system.name(of),
        scope: system.scope(of),
        target,
        default_branch: of.first(system.default_branch),
        ..Ci::default()
    })
}

impl System {
    fn is_here(&self, of: Variables<'_>) -> bool {
        let (name, value) = self.mark;
        of.get(name)
            .is_some_and(|set| value.is_none_or(|value| set == value))
    }

    fn name(&self, of: Variables<'_>) -> Option<String> {
        // Azure's word for a stage or a job that nobody named.
        const NAMELESS: &str = "__default";
        let named = self.job.iter().filter_map(|name| of.get(name));
        let named = jenkins_job(of).into_iter().chain(named);
        let mut parts: Vec<String> = named.filter(|part| part != NAMELESS).collect();
        parts.dedup();
        if parts.is_empty() {
            parts.extend(another_name(self, of));
        }
        let (index, total) = self.legs;
        let several = of.get(total).is_some_and(|total| total != "1");
        parts.extend(of.get(index).filter(|_| several));
        (!parts.is_empty()).then(|| parts.join("/"))
    }

    /// Whose changes the job runs on, from what is certain to what is so only if nothing else is said.
    fn scope(&self, of: Variables<'_>) -> Option<Scope> {
        if let Some(number) = of.first(self.pull).filter(|number| number != "false") {
            return Some(Scope::Pull(number));
        }
        if is_triggered(of) {
            return None;
        }
        if let Some(reference) = of.first(self.reference) {
            return scope_of(&reference);
        }
        if let Some(tag) = of.first(self.tag) {
            return Some(Scope::Tag(tag));
        }
        let branch = of.first(self.branch).map(Scope::Branch);
        branch.or_else(|| another_scope(of))
    }
}

/// Whether a job was begun by another job's end, whoever that one was for, or is of a fork without saying which
/// pull request: then a branch says nothing.
fn is_triggered(of: Variables<'_>) -> bool {
    let reason = of.get("BUILD_REASON");
    let azure = ["BuildCompletion", "ResourceTrigger", "ValidateShelveset"];
    reason.is_some_and(|reason| azure.contains(&reason.as_str()))
        || of.get("CIRCLE_PR_USERNAME").is_some()
        || of.get("BUILDKITE_PULL_REQUEST_REPO").is_some()
}

/// What a system says of a branch in its own way.
fn another_scope(of: Variables<'_>) -> Option<Scope> {
    if let Some(trigger) = of.get("CODEBUILD_WEBHOOK_TRIGGER") {
        // `pr/7`, `branch/main`, `tag/v1`.
        let (kind, name) = trigger.split_once('/')?;
        let name = name.to_owned();
        return match kind {
            "pr" => Some(Scope::Pull(name)),
            "branch" => Some(Scope::Branch(name)),
            "tag" => Some(Scope::Tag(name)),
            _ => None,
        };
    }
    // Jenkins' git plugin, in a job of one branch.
    let branch = of
        .get("GIT_BRANCH")
        .filter(|_| of.get("JENKINS_URL").is_some())?;
    Some(Scope::Branch(branch.strip_prefix("origin/")?.to_owned()))
}

/// Jenkins' own name of a job. A repository may have several, with equal stages. In one with many branches, or
/// requests, each of them is the last part; a matrix project's is called by its axes: `web/os=linux,node=22`.
fn jenkins_job(of: Variables<'_>) -> Option<String> {
    let name = of.get("JENKINS_URL").and_then(|_| of.get("JOB_NAME"))?;
    let branch = of.get("BRANCH_NAME").unwrap_or_default();
    let job = name.rsplit_once('/');
    let job = job.filter(|(_, last)| last.replace("%2F", "/") == branch);
    Some(job.map_or(name.clone(), |(job, _)| job.to_owned()))
}

/// What a system calls a job in its own way.
fn another_name(system: &System, of: Variables<'_>) -> Option<String> {
    match system.mark.0 {
        "BUILDKITE" => of.get("BUILDKITE_LABEL"),
        // `4.2`: the second job of the matrix.
        "TRAVIS" => Some(of.get("TRAVIS_JOB_NUMBER")?.rsplit_once('.')?.1.to_owned()),
        // `web:3f2a…`: the project, and the build.
        "CODEBUILD_BUILD_ID" => Some(of.get("CODEBUILD_BUILD_ID")?.split_once(':')?.0.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{job, scope};

    /// One pull request's job of each system, from a fork's branch that is called main.
    const PULLS: [&str; 21] = [
        "GITLAB_CI=true CI_MERGE_REQUEST_IID=7 CI_COMMIT_REF_NAME=main CI_COMMIT_BRANCH=main",
        "GITLAB_CI=true CI_EXTERNAL_PULL_REQUEST_IID=7 CI_COMMIT_BRANCH=main",
        "CIRCLECI=true CIRCLE_PR_NUMBER=7 CIRCLE_BRANCH=pull/7 CIRCLE_PR_USERNAME=evil",
        "BUILDKITE=true BUILDKITE_PULL_REQUEST=7 BUILDKITE_BRANCH=main",
        "BITBUCKET_BUILD_NUMBER=1 BITBUCKET_PR_ID=7 BITBUCKET_BRANCH=main",
        "TF_BUILD=True SYSTEM_PULLREQUEST_PULLREQUESTID=99 SYSTEM_PULLREQUEST_PULLREQUESTNUMBER=7",
        "TF_BUILD=True BUILD_SOURCEBRANCH=refs/pull/7/merge BUILD_REASON=PullRequest",
        "JENKINS_URL=x CHANGE_ID=7 BRANCH_NAME=PR-7",
        "JENKINS_URL=x ghprbPullId=7 GIT_BRANCH=origin/main ghprbTargetBranch=main",
        "JENKINS_URL=x gitlabMergeRequestIid=7 GIT_BRANCH=origin/main",
        "CI=woodpecker CI_COMMIT_PULL_REQUEST=7 CI_COMMIT_BRANCH=main CI_PIPELINE_EVENT=pull_request",
        "CI=woodpecker CI_COMMIT_REF=refs/pull/7/head CI_COMMIT_BRANCH=main",
        "DRONE=true CI=true DRONE_PULL_REQUEST=7 DRONE_BRANCH=main",
        "DRONE=true DRONE_COMMIT_REF=refs/pull/7/head DRONE_BRANCH=main DRONE_BUILD_EVENT=promote",
        "TRAVIS=true TRAVIS_PULL_REQUEST=7 TRAVIS_BRANCH=main",
        "APPVEYOR=True APPVEYOR_PULL_REQUEST_NUMBER=7 APPVEYOR_REPO_BRANCH=main",
        "SEMAPHORE=true SEMAPHORE_GIT_PR_NUMBER=7 SEMAPHORE_GIT_BRANCH=main SEMAPHORE_GIT_REF=refs/heads/main",
        "CF_BUILD_ID=x CF_PULL_REQUEST_NUMBER=7 CF_BRANCH=main",
        "CIRRUS_CI=true CIRRUS_PR=7 CIRRUS_BRANCH=pull/7",
        "CODEBUILD_BUILD_ID=web:3f CODEBUILD_WEBHOOK_TRIGGER=pr/7",
        "BUILDER_OUTPUT=/builder/outputs _PR_NUMBER=7 BRANCH_NAME=main",
    ];

    #[test]
    fn a_pull_request_from_a_branch_called_main_is_not_main() {
        for pull in PULLS {
            assert_eq!(scope(pull).as_deref(), Some("pull/7"), "{pull}");
        }
    }

    /// Jobs of branches and tags, and of nobody knows what.
    const BRANCHES: [(&str, Option<&str>); 27] = [
        ("GITLAB_CI=true CI_COMMIT_BRANCH=main", Some("branch/main")),
        (
            "GITLAB_CI=true CI_COMMIT_TAG=main CI_COMMIT_REF_NAME=main",
            Some("tag/main"),
        ),
        ("GITLAB_CI=true CI_COMMIT_REF_NAME=main", None),
        ("CIRCLECI=true CIRCLE_BRANCH=pull/7", Some("branch/pull/7")),
        (
            "CIRCLECI=true CIRCLE_BRANCH=main CIRCLE_PR_USERNAME=evil",
            None,
        ),
        ("CIRCLECI=true CIRCLE_TAG=main", Some("tag/main")),
        (
            "BUILDKITE=true BUILDKITE_PULL_REQUEST=false BUILDKITE_BRANCH=main",
            Some("branch/main"),
        ),
        (
            "BUILDKITE=true BUILDKITE_TAG=v1 BUILDKITE_BRANCH=main",
            Some("tag/v1"),
        ),
        (
            "BITBUCKET_BUILD_NUMBER=1 BITBUCKET_BRANCH=main",
            Some("branch/main"),
        ),
        (
            "TF_BUILD=True BUILD_SOURCEBRANCH=refs/heads/feature/main BUILD_SOURCEBRANCHNAME=main",
            Some("branch/feature/main"),
        ),
        (
            "TF_BUILD=True BUILD_SOURCEBRANCH=refs/tags/main",
            Some("tag/main"),
        ),
        (
            "TF_BUILD=True BUILD_SOURCEBRANCH=refs/heads/main BUILD_REASON=ResourceTrigger",
            None,
        ),
        ("JENKINS_URL=x BRANCH_NAME=main", Some("branch/main")),
        (
            "JENKINS_URL=x TAG_NAME=main BRANCH_NAME=main",
            Some("tag/main"),
        ),
        (
            "JENKINS_URL=x GIT_BRANCH=origin/feature/x",
            Some("branch/feature/x"),
        ),
        ("JENKINS_URL=x GIT_BRANCH=detached", None),
        ("JENKINS_URL=x", None),
        (
            "CI=woodpecker CI_COMMIT_REF=refs/heads/main",
            Some("branch/main"),
        ),
        ("CI=woodpecker CI_COMMIT_BRANCH=main", None),
        ("DRONE=true DRONE_BRANCH=main", None),
        (
            "TRAVIS=true TRAVIS_PULL_REQUEST=false TRAVIS_BRANCH=main",
            Some("branch/main"),
        ),
        (
            "TRAVIS=true TRAVIS_PULL_REQUEST=false TRAVIS_BRANCH=v1 TRAVIS_TAG=v1",
            Some("tag/v1"),
        ),
        (
            "SEMAPHORE=true SEMAPHORE_GIT_REF=refs/heads/main",
            Some("branch/main"),
        ),
        (
            "CODEBUILD_BUILD_ID=web:3f CODEBUILD_WEBHOOK_TRIGGER=branch/main",
            Some("branch/main"),
        ),
        ("CODEBUILD_BUILD_ID=web:3f", None),
        ("BUILDER_OUTPUT=x BRANCH_NAME=main", None),
        ("TEAMCITY_VERSION=x BRANCH_NAME=main", None),
    ];

    #[test]
    fn branches_and_tags_are_what_they_are() {
        for (variables, expected) in BRANCHES {
            assert_eq!(scope(variables).as_deref(), expected, "{variables}");
        }
    }

    /// Jobs, and what their lines are called.
    const LEGS: [(&str, Option<&str>); 19] = [
        (
            "GITLAB_CI=true CI_JOB_NAME=build CI_NODE_INDEX=2 CI_NODE_TOTAL=3",
            Some("build"),
        ),
        (
            "CIRCLECI=true CIRCLE_JOB=build CIRCLE_NODE_INDEX=0 CIRCLE_NODE_TOTAL=1",
            Some("build"),
        ),
        (
            "CIRCLECI=true CIRCLE_JOB=build CIRCLE_NODE_INDEX=1 CIRCLE_NODE_TOTAL=2",
            Some("build/1"),
        ),
        (
            "BUILDKITE=true BUILDKITE_LABEL=Build BUILDKITE_PARALLEL_JOB=0 BUILDKITE_PARALLEL_JOB_COUNT=2",
            Some("Build/0"),
        ),
        (
            "BUILDKITE=true BUILDKITE_LABEL=Build BUILDKITE_STEP_KEY=b",
            Some("b"),
        ),
        (
            "BITBUCKET_BUILD_NUMBER=1 BITBUCKET_PARALLEL_STEP=1 BITBUCKET_PARALLEL_STEP_COUNT=2",
            Some("1"),
        ),
        ("BITBUCKET_BUILD_NUMBER=1", None),
        (
            "TF_BUILD=True SYSTEM_STAGENAME=__default SYSTEM_PHASENAME=build SYSTEM_JOBNAME=linux \
                 SYSTEM_JOBPOSITIONINPHASE=2 SYSTEM_TOTALJOBSINPHASE=3",
            Some("build/linux/2"),
        ),
        (
            "TF_BUILD=True SYSTEM_STAGENAME=s SYSTEM_PHASENAME=Job SYSTEM_JOBNAME=__default",
            Some("s/Job"),
        ),
        (
            "TF_BUILD=True BUILD_DEFINITIONNAME=nightly SYSTEM_STAGENAME=__default SYSTEM_PHASENAME=Job",
            Some("nightly/Job"),
        ),
        (
            "JENKINS_URL=x JOB_NAME=web/os=linux,node=22",
            Some("web/os=linux,node=22"),
        ),
        (
            "JENKINS_URL=x JOB_NAME=shop/web/feature%2Fx BRANCH_NAME=feature/x STAGE_NAME=Build",
            Some("shop/web/Build"),
        ),
        (
            "JENKINS_URL=x JOB_NAME=shop/web/PR-7 BRANCH_NAME=PR-7 CHANGE_ID=7",
            Some("shop/web"),
        ),
        (
            "JENKINS_URL=x JOB_NAME=shop/nightly BRANCH_NAME=main STAGE_NAME=Build",
            Some("shop/nightly/Build"),
        ),
        (
            "BITRISE_IO=true BITRISE_TRIGGERED_WORKFLOW_ID=t BITRISE_IO_PARALLEL_INDEX=1 BITRISE_IO_PARALLEL_TOTAL=4",
            Some("t/1"),
        ),
        (
            "TEAMCITY_VERSION=x TEAMCITY_PROJECT_NAME=shop TEAMCITY_BUILDCONF_NAME=Build",
            Some("shop/Build"),
        ),
        ("TRAVIS=true TRAVIS_JOB_NUMBER=4.2", Some("2")),
        (
            "CI=woodpecker CI_WORKFLOW_NAME=ci CI_WORKFLOW_NUMBER=2 CI_STEP_NAME=build",
            Some("ci/2/build"),
        ),
        ("CODEBUILD_BUILD_ID=web:3f", Some("web")),
    ];

    #[test]
    fn legs_have_names_of_their_own_where_the_system_tells_them_apart() {
        for (variables, expected) in LEGS {
            assert_eq!(job(variables).job.as_deref(), expected, "{variables}");
        }
    }

    #[test]
    fn a_pull_request_reads_the_branch_that_it_wants_to_go_to() {
        let azure = job("TF_BUILD=True SYSTEM_PULLREQUEST_PULLREQUESTID=7 \
                         SYSTEM_PULLREQUEST_TARGETBRANCH=refs/heads/release/1");
        assert_eq!(azure.target.as_deref(), Some("release/1"));
        let gitlab = job(
            "GITLAB_CI=true CI_SERVER_HOST=gitlab.com CI_PROJECT_PATH=shop/web \
                          CI_MERGE_REQUEST_TARGET_BRANCH_NAME=main CI_DEFAULT_BRANCH=trunk",
        );
        assert_eq!(gitlab.target.as_deref(), Some("main"));
        assert_eq!(gitlab.default_branch.as_deref(), Some("trunk"));
        assert_eq!(gitlab.project.as_deref(), Some("gitlab.com/shop/web"));
        let bitbucket = job("BITBUCKET_BUILD_NUMBER=1 BITBUCKET_REPO_FULL_NAME=shop/web");
        assert_eq!(bitbucket.project.as_deref(), Some("bitbucket.org/shop/web"));
    }
}
