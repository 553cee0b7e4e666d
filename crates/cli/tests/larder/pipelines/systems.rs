//! How CI systems carry out a job: one table, from each vendor's reference.

use serde_json::{Map, Value, json};

/// What a system's agent gives a job, and where its configuration has the job's steps.
#[derive(Clone, Copy)]
pub(crate) struct System {
    /// As `larder init` is told it, and the file that it writes then.
    pub name: &'static str,
    pub file: &'static str,
    /// The predefined variables of a job of the main branch, `NAME=VALUE` by spaces.
    pub variables: &'static str,
    /// Who runs the steps, and may use sudo; where nobody is named it is root in a container.
    pub user: Option<&'static str>,
    /// Where the job is.
    pub job: &'static str,
    /// Where a job, or one of its steps, sets variables.
    pub environment: &'static str,
    /// What a shell runs. Where a job has a list of steps, each of them is asked.
    pub scripts: Scripts,
    pub shell: &'static [&'static str],
    /// What stands around a secret's name where the configuration hands it on; of others every step has all.
    pub secret: Option<(&'static str, &'static str)>,
    /// What is replaced before a shell sees it.
    pub replaced: &'static [(&'static str, &'static str)],
    /// The variable with the file by which one step tells the others its variables, and whether the agent reads it
    /// rather than the shell.
    pub file_of_steps: Option<(&'static str, bool)>,
    /// Whether an engine is there as a service.
    pub has_service: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Scripts {
    /// The list `steps`: where each has its script, and where it says what that it runs also after a failure.
    Steps(&'static str, &'static str, &'static str),
    /// Lists of lines; those of one group are run by one shell, and the last group also after a failure.
    Lines(&'static [&'static [&'static str]]),
}

/// A part of a job that a shell of its own runs.
pub(crate) struct Step {
    pub script: String,
    /// What it sets for itself.
    pub environment: Map<String, Value>,
    /// Whether it runs also after a step has failed.
    pub always: bool,
}

const NOTHING: System = System {
    name: "",
    file: "",
    variables: "",
    user: None,
    job: "",
    environment: "/env",
    scripts: Scripts::Lines(&[]),
    shell: &["sh", "-ec"],
    secret: None,
    replaced: &[],
    file_of_steps: None,
    has_service: false,
};

/// "Workflow syntax", `jobs.<job_id>.steps[*].shell`; "Variables reference".
pub(crate) const GITHUB: System = System {
    name: "github",
    file: ".github/workflows/larder.yml",
    variables: "CI=true GITHUB_ACTIONS=true GITHUB_REPOSITORY=shop/web GITHUB_JOB=image GITHUB_EVENT_NAME=push \
                GITHUB_REF=refs/heads/main GITHUB_WORKFLOW=image",
    user: Some("runner"),
    job: "/jobs/image",
    scripts: Scripts::Steps("/run", "/if", "always()"),
    shell: &["bash", "-ec"],
    secret: Some(("${{ secrets.", " }}")),
    // The jobs here have no matrix.
    replaced: &[("${{ toJSON(matrix) }}", "null")],
    file_of_steps: Some(("GITHUB_ENV", true)),
    ..NOTHING
};

/// "CI/CD YAML syntax reference", `after_script`; "Predefined CI/CD variables reference".
pub(crate) const GITLAB: System = System {
    name: "gitlab",
    file: ".gitlab-ci.yml",
    variables: "CI=true GITLAB_CI=true CI_SERVER_HOST=gitlab.com CI_PROJECT_PATH=shop/web CI_JOB_NAME=build-image \
                CI_COMMIT_BRANCH=main CI_DEFAULT_BRANCH=main",
    job: "/build-image",
    environment: "/variables",
    scripts: Scripts::Lines(&[&["before_script", "script"], &["after_script"]]),
    ..NOTHING
};

/// "Configuration reference", `run` ("Default shell options", "The when attribute"); "Built-in environment
/// variables"; "Set an environment variable", `BASH_ENV`.
pub(crate) const CIRCLECI: System = System {
    name: "circleci",
    file: ".circleci/config.yml",
    variables: "CI=true CIRCLECI=true CIRCLE_PROJECT_USERNAME=shop CIRCLE_PROJECT_REPONAME=web CIRCLE_JOB=image \
                CIRCLE_BRANCH=main CIRCLE_BUILD_NUM=7 CIRCLE_NODE_INDEX=0 CIRCLE_NODE_TOTAL=1",
    user: Some("circleci"),
    job: "/jobs/image",
    environment: "/environment",
    scripts: Scripts::Steps("/run/command", "/run/when", "always"),
    shell: &["bash", "-eo", "pipefail", "-c"],
    file_of_steps: Some(("BASH_ENV", false)),
    ..NOTHING
};

/// "Environment variables", "Variable interpolation"; the agent's `internal/job/executor.go`,
/// `defaultCommandPhase`: the lines of `commands` are one script.
pub(crate) const BUILDKITE: System = System {
    name: "buildkite",
    file: ".buildkite/pipeline.yml",
    variables: "CI=true BUILDKITE=true BUILDKITE_ORGANIZATION_SLUG=shop BUILDKITE_PIPELINE_SLUG=web \
                BUILDKITE_STEP_KEY=image BUILDKITE_BRANCH=main BUILDKITE_PULL_REQUEST=false",
    user: Some("buildkite-agent"),
    job: "/steps/0",
    scripts: Scripts::Lines(&[&["commands"]]),
    shell: &["bash", "-ec"],
    replaced: &[("$$", "$")],
    ..NOTHING
};

/// The plugin durable-task runs `sh -xe`; "Using environment variables"; `withCredentials` of "Secret text".
pub(crate) const JENKINS: System = System {
    name: "jenkins",
    file: "Jenkinsfile",
    variables: "CI=true JENKINS_URL=https://ci.example/ BUILD_ID=7 BUILD_NUMBER=7 EXECUTOR_NUMBER=0 \
                JOB_NAME=web/main BRANCH_NAME=main STAGE_NAME=image",
    user: Some("jenkins"),
    scripts: Scripts::Steps("/script", "", ""),
    shell: &["sh", "-xec"],
    secret: Some(("credentials('", "')")),
    ..NOTHING
};

/// `steps.script` is the task `CmdLine@2`: bash without `-e`. "Predefined variables"; "Set secret variables": they
/// are in no step's environment that does not name them.
pub(crate) const AZURE: System = System {
    name: "azure",
    file: "azure-pipelines.yml",
    variables: "TF_BUILD=True SYSTEM_TEAMPROJECT=shop BUILD_REPOSITORY_NAME=web BUILD_SOURCEBRANCH=refs/heads/main \
                BUILD_REASON=IndividualCI SYSTEM_STAGENAME=__default SYSTEM_PHASENAME=image \
                SYSTEM_JOBNAME=__default SYSTEM_JOBPOSITIONINPHASE=1 SYSTEM_TOTALJOBSINPHASE=1",
    user: Some("vsts"),
    job: "/jobs/0",
    scripts: Scripts::Steps("/script", "/condition", "always()"),
    shell: &["bash", "--noprofile", "--norc", "-c"],
    secret: Some(("$(", ")")),
    ..NOTHING
};

/// "Variables and secrets"; "Run Docker commands in Bitbucket Pipelines": the service listens beside the step's
/// container.
pub(crate) const BITBUCKET: System = System {
    name: "bitbucket",
    file: "bitbucket-pipelines.yml",
    variables: "CI=true BITBUCKET_BUILD_NUMBER=7 BITBUCKET_REPO_FULL_NAME=shop/web BITBUCKET_BRANCH=main \
                DOCKER_HOST=tcp://127.0.0.1:2375",
    job: "/pipelines/default/0/step",
    scripts: Scripts::Lines(&[&["script"]]),
    has_service: true,
    ..NOTHING
};

/// One that Larder does not know, as the script's comment says.
pub(crate) const SHELL: System = System {
    name: "shell",
    file: "larder.sh",
    variables: "CI=true LARDER_SCOPE=branch/main",
    user: Some("ci"),
    scripts: Scripts::Lines(&[&["script"]]),
    ..NOTHING
};

impl System {
    /// The steps of a job, and what it sets for all of them.
    pub(crate) fn steps(&self, job: &Value) -> (Vec<Step>, Map<String, Value>) {
        let steps = match self.scripts {
            Scripts::Steps(script, when, always) => {
                let all = job["steps"].as_array().expect("steps").iter();
                let each = all.filter_map(|step| {
                    Some(Step {
                        script: step.pointer(script)?.as_str()?.to_owned(),
                        environment: self.set(step),
                        always: step.pointer(when).is_some_and(|it| it == always),
                    })
                });
                each.collect()
            }
            Scripts::Lines(groups) => {
                let each = groups.iter().enumerate().map(|(at, keys)| Step {
                    script: lines(job, keys),
                    environment: Map::new(),
                    always: at > 0,
                });
                each.collect()
            }
        };
        (steps, self.set(job))
    }

    fn set(&self, of: &Value) -> Map<String, Value> {
        // CircleCI's `run` has its variables beside its command.
        let places = [of, &of["run"]].into_iter();
        let all = places.filter_map(|place| place.pointer(self.environment)?.as_object());
        all.flatten()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

fn lines(job: &Value, keys: &[&str]) -> String {
    let all = keys.iter().filter_map(|key| job[*key].as_array()).flatten();
    let lines: Vec<&str> = all.filter_map(Value::as_str).collect();
    lines.join("\n")
}

/// A declarative Jenkinsfile as the others are read: what its `environment` sets, and its `sh` steps.
pub(crate) fn jenkinsfile(text: &str) -> Value {
    let (mut environment, mut steps) = (Map::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(script) = line
            .strip_prefix("sh '")
            .and_then(|it| it.strip_suffix('\''))
        {
            // "Strings" of Groovy: what stands in single quotes is taken as it is, but for a backslash.
            assert!(!script.contains(['\\', '\'']), "{line}");
            steps.push(json!({ "script": script }));
        } else if let Some((name, value)) = line.split_once(" = ") {
            let quoted = value
                .strip_prefix('\'')
                .and_then(|it| it.strip_suffix('\''));
            environment.insert(name.to_owned(), quoted.unwrap_or(value).into());
        }
    }
    json!({ "env": environment, "steps": steps })
}
