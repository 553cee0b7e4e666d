//! The names that CI systems have for what a job is, each from its page of predefined variables.

/// The variables of a system. Where several are named the first that says something counts, but for the parts
/// of a project's and of a job's name.
pub(super) struct System {
    /// A variable that only this system sets, and its value if others set it too.
    pub(super) mark: (&'static str, Option<&'static str>),
    /// What stands before a project's name in that of its remote.
    pub(super) host: &'static str,
    /// The parts of the project's name, all of them.
    pub(super) project: &'static [&'static str],
    /// The parts of the job's name, those that are there.
    pub(super) job: &'static [&'static str],
    /// The number of this leg of a job that runs several times at once, and how many there are.
    pub(super) legs: (&'static str, &'static str),
    /// The number of a pull request.
    pub(super) pull: &'static [&'static str],
    /// The git reference, in full.
    pub(super) reference: &'static [&'static str],
    pub(super) tag: &'static [&'static str],
    /// The branch. In a pull request's job it may be any: it is looked at last.
    pub(super) branch: &'static [&'static str],
    pub(super) target: &'static [&'static str],
    pub(super) default_branch: &'static [&'static str],
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

pub(super) const SYSTEMS: [System; 17] = [
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
        // A repository may have several pipelines, and a job that nobody named is called `Job` in all of them.
        job: &[
            "BUILD_DEFINITIONNAME",
            "SYSTEM_STAGENAME",
            "SYSTEM_PHASENAME",
            "SYSTEM_JOBNAME",
        ],
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
        legs: ("BITRISE_IO_PARALLEL_INDEX", "BITRISE_IO_PARALLEL_TOTAL"),
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
        job: &["TEAMCITY_PROJECT_NAME", "TEAMCITY_BUILDCONF_NAME"],
        ..NOTHING
    },
];
