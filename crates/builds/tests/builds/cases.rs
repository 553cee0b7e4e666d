//! Cases in which earlier versions, which read the files themselves, differed from the tools.

use larder_builds::{Build, Request, RunOptions, host_platform};
use larder_model::dockerfile::{ImageConfigs, NamedContext};
use larder_model::plan::key::Key;

use crate::kit::{Project, cases, of, texts};

/// What each case builds: name, platform (`-` is this machine's), images.
const CASES: &[(&str, &[&str])] = &[
    (
        "bake-platforms",
        &[
            "local - registry.example/os:latest",
            "listed linux/amd64 registry.example/os:latest",
            "listed linux/arm64 registry.example/os:latest",
            "any - registry.example/os:latest",
        ],
    ),
    ("bake-reads-compose", &["web - registry.example/os:2"]),
    ("compose-dollar", &["web - registry.example/os:latest"]),
    (
        "compose-dotenv-syntax",
        &["web - registry.example/a:1.25 registry.example/b:1.25"],
    ),
    (
        "compose-empty-and-null",
        &["web - registry.example/os:default"],
    ),
    (
        "compose-images-of-services",
        &["base - registry.example/os:latest", "web - "],
    ),
    (
        "compose-own-variables",
        &["web - registry.example/os:shop-prod"],
    ),
    (
        "compose-reset-override",
        &["tools - registry.example/os:2-prod"],
    ),
    (
        "compose-yaml-scalars",
        &["web - registry.example/php:8-fpm"],
    ),
    (
        "lowercase-dockerfile",
        &["web - registry.example/os:latest"],
    ),
];

#[test]
fn builds_are_those_of_the_tools() {
    let host = host_platform().to_string();
    for (name, expected) in CASES {
        let project = Project::copied(&cases().join(name));
        let expected: Vec<String> = expected
            .iter()
            .map(|line| line.replacen(" - ", &format!(" {host} "), 1))
            .collect();
        assert_eq!(project.shown(&Build::default()), expected, "{name}");
    }
}

#[test]
fn arguments_are_those_of_the_tools() {
    let drafts = |case: &str| {
        let project = Project::copied(&cases().join(case));
        project.drafts(&Build::default()).expect("drafts")
    };
    let args = &drafts("compose-dotenv-syntax")[0].options.build_args;
    assert_eq!(
        (args["C"].as_str(), args["D"].as_str()),
        ("1.25\t", "first\nsecond")
    );
    let args = &drafts("compose-yaml-scalars")[0].options.build_args;
    assert_eq!(args["DATE"], "2024-01-01 00:00:00 +0000 UTC");
    let steps = &drafts("compose-dollar")[0]
        .plan(&ImageConfigs::new())
        .expect("a plan");
    let run = &steps.plan.stages[0].steps[0].text;
    assert!(run.contains("$(date)") && !run.contains("$$"), "{run}");
}

#[test]
fn an_image_that_another_service_builds_is_that_build() {
    let project = Project::copied(&cases().join("compose-images-of-services"));
    // Whoever asks for one service gets what it is made of too.
    let web = Build {
        only: texts(&["web"]),
        ..Build::default()
    };
    let drafts = project.drafts(&web).expect("drafts");
    let names: Vec<_> = drafts.iter().map(|draft| draft.name.as_deref()).collect();
    assert_eq!(names, [Some("web"), Some("base")]);
    let plan = drafts[0].plan(&ImageConfigs::new()).expect("a plan").plan;
    assert!(plan.images.is_empty());
    assert_eq!(
        plan.contexts["acme/base:dev"],
        NamedContext::Target("base".to_owned())
    );
    // The name that compose gives an image counts as well.
    project.write(
        "compose.yaml",
        "name: shop\nservices: { base: { build: base }, web: { build: app } }\n",
    );
    project.write(
        "app/Dockerfile",
        "FROM scratch\nCOPY --from=shop-base:latest /x /x\n",
    );
    let plans = larder_builds::plans(&project.drafts(&web).expect("drafts"), &ImageConfigs::new());
    let plans = plans.expect("plans");
    assert_eq!((plans.len(), plans[0].plan.images.len()), (2, 0));
}

#[test]
fn the_lower_case_file_will_do_whoever_asks() {
    let project = Project::copied(&cases().join("lowercase-dockerfile"));
    for build in [
        of(&["compose.yaml"]),
        of(&["docker-bake.hcl"]),
        of(&["app/Dockerfile"]),
    ] {
        let drafts = project.drafts(&build).expect("a draft");
        assert_eq!(drafts[0].file, "app/dockerfile");
    }
}

#[test]
fn docker_s_own_variables_count() {
    let mut project = Project::new(&[
        ("app/Dockerfile", "FROM a\n"),
        ("compose.yaml", "services: { web: { build: app } }\n"),
        (
            "docker-bake.hcl",
            "target \"default\" { context = \"app\" }\n",
        ),
    ]);
    project.set("DOCKER_DEFAULT_PLATFORM", "linux/s390x");
    project.set("SOURCE_DATE_EPOCH", "7");
    let folder = Build {
        context: "app".into(),
        ..Build::default()
    };
    let host = host_platform().to_string();
    for (build, platform) in [
        (folder, "linux/s390x"),
        (of(&["compose.yaml"]), "linux/s390x"),
        // bake has platforms of its own only.
        (of(&["docker-bake.hcl"]), host.as_str()),
    ] {
        let drafts = project.drafts(&build).expect("a draft");
        let options = &drafts[0].options;
        assert_eq!(options.platform().to_string(), platform, "{build:?}");
        assert_eq!(options.build_args["SOURCE_DATE_EPOCH"], "7", "{build:?}");
    }
    // compose reads them from its own file too, and the environment wins.
    project.write(".env", "export DOCKER_DEFAULT_PLATFORM='linux/arm64'\n");
    let compose = of(&["compose.yaml"]);
    assert_eq!(project.shown(&compose), ["web linux/s390x a:latest"]);
    let elsewhere = Project::new(&[]);
    for name in ["app/Dockerfile", "compose.yaml", ".env"] {
        let text = std::fs::read_to_string(project.path().join(name)).expect("a file");
        elsewhere.write(&format!("sub/{name}"), &text);
    }
    let expected = ["web linux/arm64 a:latest"];
    assert_eq!(elsewhere.shown(&of(&["sub/compose.yaml"])), expected);
    let folder = Build {
        context: "sub".into(),
        ..Build::default()
    };
    assert_eq!(elsewhere.shown(&folder), expected);
    // Files and folder may be named by variables.
    let mut named = Project::new(&[
        ("ci/compose.yaml", "services: { web: { build: ../app } }\n"),
        ("app/Dockerfile", "FROM a\n"),
        ("other.env", "DOCKER_DEFAULT_PLATFORM=linux/arm64\n"),
    ]);
    named.set("COMPOSE_FILE", "ci/compose.yaml:ci/compose.yaml");
    named.set("COMPOSE_ENV_FILES", "other.env");
    assert_eq!(named.shown(&Build::default()), expected);
    named.write("ci/.env", "DOCKER_DEFAULT_PLATFORM=linux/s390x\n");
    named.set("COMPOSE_ENV_FILES", "");
    assert_eq!(named.shown(&Build::default()), ["web linux/s390x a:latest"]);
}

#[test]
fn an_argument_for_a_proxy_has_the_value_of_docker_s_settings() {
    let mut project = Project::new(&[
        ("Dockerfile", "FROM a\nARG HTTPS_PROXY\nRUN x\n"),
        ("compose.yaml", "services: { web: { build: . } }\n"),
        ("docker-bake.hcl", "target \"default\" {}\n"),
        ("plain", "FROM a\nRUN x\n"),
    ]);
    project.set("DOCKER_CONFIG", "docker");
    let files = ["Dockerfile", "compose.yaml", "docker-bake.hcl", "plain"].map(|file| of(&[file]));
    let keys = |project: &Project| files.each_ref().map(|build| key(project, build));
    let before = keys(&project);
    let proxies = r#"{"proxies":{"default":{"httpsProxy":"http://proxy.example"}}}"#;
    project.write("docker/config.json", proxies);
    let after = keys(&project);
    let changed = [0, 1, 2, 3].map(|at| before[at] != after[at]);
    assert_eq!(changed, [true, true, true, false]);
    // What is typed comes before it.
    let typed = Build {
        build_args: texts(&["HTTPS_PROXY=own"]),
        ..of(&["Dockerfile"])
    };
    let with_settings = key(&project, &typed);
    project.write("docker/config.json", "{}");
    assert_eq!(key(&project, &typed), with_settings);
}

/// Of a build that is one image, its key.
fn key(project: &Project, build: &Build) -> String {
    let drafts = project.drafts(build).expect("a draft");
    let plan = drafts[0].plan(&ImageConfigs::new()).expect("a plan").plan;
    Key::of(&plan).text("p")
}

const OPTIONS: &str = r#"
variable "OPTION" { default = "none" }
target "default" {
  shm-size    = OPTION == "shm" ? "1g" : null
  ulimits     = OPTION == "ulimit" ? ["nofile=1024:1024"] : null
  args        = OPTION == "name" ? { BUILDKIT_SANDBOX_HOSTNAME = "a" } : {}
}
"#;

#[test]
fn options_that_commands_run_with_are_in_the_key() {
    let mut project = Project::new(&[
        ("Dockerfile", "FROM a\nRUN hostname\n"),
        ("docker-bake.hcl", OPTIONS),
        (
            "compose.yaml",
            "services: { web: { build: { context: ., network: host, shm_size: 1g, ulimits: { nofile: 1024 }, \
             extra_hosts: [\"proxy:10.0.0.1\"] } } }\n",
        ),
    ]);
    let usual = key(&project, &of(&["Dockerfile"]));
    let bake = of(&["docker-bake.hcl"]);
    assert_eq!(key(&project, &bake), usual);
    let typed = |change: fn(&mut RunOptions)| {
        let mut build = of(&["Dockerfile"]);
        change(&mut build.run);
        build
    };
    for (option, build) in [
        ("shm", typed(|run| run.shm_size = Some("1024m".to_owned()))),
        ("ulimit", typed(|run| run.ulimits = texts(&["nofile=1024"]))),
    ] {
        project.set("OPTION", option);
        let of_bake = key(&project, &bake);
        assert_ne!(of_bake, usual, "{option}");
        assert_eq!(of_bake, key(&project, &build), "{option}");
    }
    project.set("OPTION", "name");
    assert_ne!(key(&project, &bake), usual);
    let all = typed(|run| {
        run.network = Some("host".to_owned());
        run.shm_size = Some("1g".to_owned());
        run.ulimits = texts(&["nofile=1024"]);
        // The address does not count.
        run.add_hosts = texts(&["proxy=10.9.9.9"]);
    });
    assert_eq!(key(&project, &of(&["compose.yaml"])), key(&project, &all));
}

#[test]
fn a_file_that_names_its_front_end_is_no_compose_file() {
    let project = Project::new(&[
        ("image.yaml", "#syntax=r2d4/mocker\napiVersion: v1alpha1\n"),
        ("image.json", "{\"syntax\": \"acme/json\"}\n"),
    ]);
    for name in ["image.yaml", "image.json"] {
        let drafts = project.drafts(&of(&[name])).expect("a draft");
        let unread = drafts[0].unread().expect("nobody reads it").to_string();
        assert!(
            unread.starts_with(&format!("{name}: it is for the front end")),
            "{unread}"
        );
    }
    // A job is told that there is more than it knows.
    let request = Request::new(&crate::kit::files(&["image.yaml"]), project.around());
    let drafted = request.drafts();
    assert_eq!((drafted.drafts.len(), drafted.faults.len()), (1, 1));
}

#[test]
fn images_that_services_run_are_looked_at_by_jobs_alone() {
    let project = Project::new(&[
        (
            "compose.yaml",
            "name: shop\nservices:\n  db: { image: \"localhost:5000/app:1\", platform: linux/arm64 }\n",
        ),
        (
            "both.yaml",
            "name: shop\nservices:\n  web: { build: . }\n  again: { image: shop-web }\n  db: { image: \"db:1\" }\n",
        ),
        ("Dockerfile", "FROM a\n"),
    ]);
    let drafted = |name: &str| {
        let request = Request::new(&crate::kit::files(&[name]), project.around());
        request.drafts()
    };
    let only = drafted("compose.yaml");
    assert_eq!((only.drafts.len(), only.faults.len()), (0, 0));
    let named = only.used[0].plan(&ImageConfigs::new()).expect("a plan");
    let image = &named.plan.images[0];
    assert!(image.reached && image.reference.familiar() == "localhost:5000/app:1");
    assert_eq!(image.platform.to_string(), "linux/arm64");
    // What the project itself builds is no registry's.
    let both = drafted("both.yaml");
    assert_eq!(
        (both.drafts.len(), both.used.len(), both.all().len()),
        (1, 1, 2)
    );
    // A plan is of what is built.
    let fault = project
        .drafts(&of(&["compose.yaml"]))
        .expect_err("nothing is built");
    assert!(fault.message.contains("nothing of it is built"), "{fault}");
    assert_eq!(
        project.drafts(&of(&["both.yaml"])).expect("a draft").len(),
        1
    );
}
