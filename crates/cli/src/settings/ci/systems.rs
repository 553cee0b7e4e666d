//! CI systems whose variables say what they mean, each with the names that it has for it.

use larder_model::lineage::Scope;

use super::{Ci, Variables, branch_of, scope_of};

/// The variables of a system. Where several are named the first that says something counts, but for the parts
/// of a project's and of a job's name.
struct System {
    /// A variable that only this system sets, and its value if others set it too.
    mark: (&'static str, Option<&'static str>),
    /// What stands before a project's name in that of its remote.
    host: &'static str,
    /// The parts of the project's name, all of them.
    project: &'static [&'static str],
    /// The parts of the job's name, those that are there.
    job: &'static [&'static str],
    /// The number of this leg of a job that runs several times at once, and how many there are.
    legs: (&'static str, &'static str),
    /// The number of a pull request.
    pull: &'static [&'static str],
    /// The git reference, in full.
    reference: &'static [&'static str],
    tag: &'static [&'static str],
    /// The branch. In a pull request's job it may be any: it is looked at last.
    branch: &'static [&'static str],
    target: &'static [&'static str],
    default_branch: &'static [&'static str],
}

const NOTHING: System = System {
    mark: ("", None),
    host: "",
    project: &[],
    job: &[],
    legs: ("", ""),
    pull: &[],
    reference: &[],
    tag: &[],
    branch: &[],
    target: &[],
    default_branch: &[],
};

const SYSTEMS: [System; 17] = [
    System {
        mark: ("GITLAB_CI", None),
        project: &["CI_SERVER_HOST", "CI_PROJECT_PATH"],
        // With the legs of `parallel` and `matrix` in it: `build 1/3`, `build: [a, b]`.
        job: &["CI_JOB_NAME"],
        pull: &["CI_MERGE_REQUEST_IID", "CI_EXTERNAL_PULL_REQUEST_IID"],
        tag: &["CI_COMMIT_TAG"],
        branch: &["CI_COMMIT_BRANCH"],
        target: &[
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
            "CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME",
        ],
        default_branch: &["CI_DEFAULT_BRANCH"],
        ..NOTHING
    },
    System {
        mark: ("CIRCLECI", None),
        project: &["CIRCLE_PROJECT_USERNAME", "CIRCLE_PROJECT_REPONAME"],
        job: &["CIRCLE_JOB"],
        legs: ("CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL"),
        // Of forks alone; their branch is then `pull/N`, which a branch of one's own may be called too.
        pull: &["CIRCLE_PR_NUMBER"],
        tag: &["CIRCLE_TAG"],
        branch: &["CIRCLE_BRANCH"],
        ..NOTHING
    },
    System {
        mark: ("BUILDKITE", None),
        project: &["BUILDKITE_ORGANIZATION_SLUG", "BUILDKITE_PIPELINE_SLUG"],
        job: &["BUILDKITE_STEP_KEY"],
        legs: ("BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT"),
        pull: &["BUILDKITE_PULL_REQUEST"],
        tag: &["BUILDKITE_TAG"],
        branch: &["BUILDKITE_BRANCH"],
        target: &[
            "BUILDKITE_PULL_REQUEST_BASE_BRANCH",
            "BUILDKITE_MERGE_QUEUE_BASE_BRANCH",
        ],
        default_branch: &["BUILDKITE_PIPELINE_DEFAULT_BRANCH"],
        ..NOTHING
    },
    System {
        mark: ("BITBUCKET_BUILD_NUMBER", None),
        host: "bitbucket.org/",
        project: &["BITBUCKET_REPO_FULL_NAME"],
        legs: ("BITBUCKET_PARALLEL_STEP", "BITBUCKET_PARALLEL_STEP_COUNT"),
        pull: &["BITBUCKET_PR_ID"],
        tag: &["BITBUCKET_TAG"],
        branch: &["BITBUCKET_BRANCH"],
        target: &["BITBUCKET_PR_DESTINATION_BRANCH"],
        ..NOTHING
    },
    System {
        mark: ("TF_BUILD", None),
        project: &["SYSTEM_TEAMPROJECT", "BUILD_REPOSITORY_NAME"],
        job: &["SYSTEM_STAGENAME", "SYSTEM_PHASENAME", "SYSTEM_JOBNAME"],
        legs: ("SYSTEM_JOBPOSITIONINPHASE", "SYSTEM_TOTALJOBSINPHASE"),
        // Of GitHub's pull requests the number; the id is Azure's own.
        pull: &[
            "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER",
            "SYSTEM_PULLREQUEST_PULLREQUESTID",
        ],
        reference: &["BUILD_SOURCEBRANCH"],
        target: &["SYSTEM_PULLREQUEST_TARGETBRANCH"],
        ..NOTHING
    },
    System {
        mark: ("JENKINS_URL", None),
        job: &["STAGE_NAME"],
        // Multibranch jobs, and the plugins that build pull requests in jobs of another kind: ghprb, GitLab,
        // GitHub Integration, Gerrit Trigger, the two of Bitbucket.
        pull: &[
            "CHANGE_ID",
            "ghprbPullId",
            "gitlabMergeRequestIid",
            "GITHUB_PR_NUMBER",
            "GERRIT_CHANGE_NUMBER",
            "BITBUCKET_PULL_REQUEST_ID",
            "pullRequestId",
        ],
        tag: &["TAG_NAME"],
        branch: &["BRANCH_NAME"],
        target: &[
            "CHANGE_TARGET",
            "ghprbTargetBranch",
            "gitlabTargetBranch",
            "GITHUB_PR_TARGET_BRANCH",
            "GERRIT_BRANCH",
        ],
        ..NOTHING
    },
    System {
        mark: ("CI", Some("woodpecker")),
        project: &["CI_REPO"],
        // Of a matrix only the number is not the same.
        job: &["CI_WORKFLOW_NAME", "CI_WORKFLOW_NUMBER", "CI_STEP_NAME"],
        pull: &["CI_COMMIT_PULL_REQUEST"],
        reference: &["CI_COMMIT_REF"],
        target: &["CI_COMMIT_TARGET_BRANCH"],
        default_branch: &["CI_REPO_DEFAULT_BRANCH"],
        ..NOTHING
    },
    System {
        mark: ("DRONE", None),
        project: &["DRONE_REPO"],
        job: &["DRONE_STAGE_NAME", "DRONE_STEP_NAME"],
        pull: &["DRONE_PULL_REQUEST"],
        // The branch of a pull request's job is the one that it wants to go to.
        reference: &["DRONE_COMMIT_REF"],
        target: &["DRONE_TARGET_BRANCH"],
        default_branch: &["DRONE_REPO_BRANCH"],
        ..NOTHING
    },
    System {
        mark: ("TRAVIS", None),
        project: &["TRAVIS_REPO_SLUG"],
        job: &["TRAVIS_BUILD_STAGE_NAME", "TRAVIS_JOB_NAME"],
        pull: &["TRAVIS_PULL_REQUEST"],
        tag: &["TRAVIS_TAG"],
        branch: &["TRAVIS_BRANCH"],
        ..NOTHING
    },
    System {
        mark: ("APPVEYOR", None),
        project: &["APPVEYOR_REPO_NAME"],
        job: &["APPVEYOR_JOB_NAME"],
        pull: &["APPVEYOR_PULL_REQUEST_NUMBER"],
        tag: &["APPVEYOR_REPO_TAG_NAME"],
        branch: &["APPVEYOR_REPO_BRANCH"],
        ..NOTHING
    },
    System {
        mark: ("SEMAPHORE", None),
        project: &["SEMAPHORE_GIT_REPO_SLUG"],
        job: &["SEMAPHORE_BLOCK_NAME", "SEMAPHORE_JOB_NAME"],
        legs: ("SEMAPHORE_JOB_INDEX", "SEMAPHORE_JOB_COUNT"),
        pull: &["SEMAPHORE_GIT_PR_NUMBER"],
        reference: &["SEMAPHORE_GIT_REF"],
        target: &["SEMAPHORE_GIT_BRANCH"],
        ..NOTHING
    },
    System {
        mark: ("CF_BUILD_ID", None),
        project: &["CF_REPO_OWNER", "CF_REPO_NAME"],
        job: &["CF_PIPELINE_NAME", "CF_STEP_NAME"],
        pull: &["CF_PULL_REQUEST_NUMBER"],
        tag: &["CF_RELEASE_TAG"],
        branch: &["CF_BRANCH"],
        target: &["CF_PULL_REQUEST_TARGET"],
        ..NOTHING
    },
    System {
        mark: ("CIRRUS_CI", None),
        project: &["CIRRUS_REPO_FULL_NAME"],
        job: &["CIRRUS_TASK_NAME"],
        legs: ("CI_NODE_INDEX", "CI_NODE_TOTAL"),
        pull: &["CIRRUS_PR"],
        tag: &["CIRRUS_TAG"],
        branch: &["CIRRUS_BRANCH"],
        target: &["CIRRUS_BASE_BRANCH"],
        default_branch: &["CIRRUS_DEFAULT_BRANCH"],
        ..NOTHING
    },
    System {
        mark: ("CODEBUILD_BUILD_ID", None),
        job: &["CODEBUILD_BATCH_BUILD_IDENTIFIER"],
        ..NOTHING
    },
    System {
        mark: ("BITRISE_IO", None),
        job: &["BITRISE_TRIGGERED_WORKFLOW_ID"],
        pull: &["BITRISE_PULL_REQUEST"],
        tag: &["BITRISE_GIT_TAG"],
        branch: &["BITRISE_GIT_BRANCH"],
        target: &["BITRISEIO_GIT_BRANCH_DEST"],
        ..NOTHING
    },
    // Google Cloud Build gives a step what its pipeline passes on. A branch without a number may be a fork's.
    System {
        mark: ("BUILDER_OUTPUT", None),
        pull: &["_PR_NUMBER"],
        target: &["_BASE_BRANCH"],
        ..NOTHING
    },
    // TeamCity's parameters with branch and number are no variables.
    System {
        mark: ("TEAMCITY_VERSION", None),
        job: &["TEAMCITY_BUILDCONF_NAME"],
        ..NOTHING
    },
];

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

/// What a system calls a job in its own way.
fn another_name(system: &System, of: Variables<'_>) -> Option<String> {
    match system.mark.0 {
        "BUILDKITE" => of.get("BUILDKITE_LABEL"),
        // `4.2`: the second job of the matrix.
        "TRAVIS" => Some(of.get("TRAVIS_JOB_NUMBER")?.rsplit_once('.')?.1.to_owned()),
        // A matrix project's job is called by its axes: `web/os=linux,node=22`.
        "JENKINS_URL" => {
            let name = of.get("JOB_NAME")?;
            let last = name.rsplit('/').next().filter(|last| last.contains('='));
            last.map(str::to_owned)
        }
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

    #[test]
    fn branches_and_tags_are_what_they_are() {
        for (variables, expected) in [
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
        ] {
            assert_eq!(scope(variables).as_deref(), expected, "{variables}");
        }
    }

    #[test]
    fn legs_have_names_of_their_own_where_the_system_tells_them_apart() {
        for (variables, expected) in [
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
                "JENKINS_URL=x JOB_NAME=web/os=linux,node=22",
                Some("os=linux,node=22"),
            ),
            (
                "JENKINS_URL=x JOB_NAME=web/main STAGE_NAME=Build",
                Some("Build"),
            ),
            ("TRAVIS=true TRAVIS_JOB_NUMBER=4.2", Some("2")),
            (
                "CI=woodpecker CI_WORKFLOW_NAME=ci CI_WORKFLOW_NUMBER=2 CI_STEP_NAME=build",
                Some("ci/2/build"),
            ),
            ("CODEBUILD_BUILD_ID=web:3f", Some("web")),
        ] {
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
