//! Which files, services and targets count, and what is passed on to the tools.

use larder_builds::{Build, Request};

use crate::kit::{Project, allow, files, of, texts};

const COMPOSE: &str = "\
services:
  web: { build: { context: ., args: { V: \"${V:-1}\" } } }
  job: { profiles: [more], build: { context: ., args: { V: job } } }
  db: { image: postgres }
";

fn project() -> Project {
    Project::new(&[
        ("sub/Dockerfile", "ARG V\nFROM a:$V\n"),
        ("sub/compose.yaml", COMPOSE),
        (
            "sub/prod.yaml",
            "services: { web: { build: { args: { V: prod } } } }\n",
        ),
        ("sub/other.env", "V=other\n"),
    ])
}

/// The images of builds for this machine.
#[track_caller]
fn images(project: &Project, build: &Build) -> Vec<String> {
    let shown = project.shown(build);
    let words = shown
        .iter()
        .map(|line| line.rsplit(' ').next().expect("a word"));
    words.map(str::to_owned).collect()
}

#[test]
fn files_profiles_and_variables_are_passed_to_compose() {
    let mut project = project();
    let one = of(&["sub/compose.yaml"]);
    assert_eq!(images(&project, &one), ["a:1"]);
    let both = of(&["sub/compose.yaml", "sub/prod.yaml"]);
    assert_eq!(images(&project, &both), ["a:prod"]);
    let more = Build {
        profiles: texts(&["more"]),
        ..one.clone()
    };
    assert_eq!(images(&project, &more), ["a:job", "a:1"]);
    let other = Build {
        env_files: files(&["sub/other.env"]),
        ..one.clone()
    };
    assert_eq!(images(&project, &other), ["a:other"]);
    // A service that is named needs no profile.
    for (name, image) in [("web", "a:1"), ("job", "a:job")] {
        let only = Build {
            only: texts(&[name]),
            ..one.clone()
        };
        assert_eq!(images(&project, &only), [image]);
    }
    // By these options compose is meant, also in a folder that has a Dockerfile.
    let folder = Build {
        context: "sub".into(),
        profiles: texts(&["more"]),
        ..Build::default()
    };
    assert_eq!(images(&project, &folder), ["a:job", "a:1"]);
    project.set("COMPOSE_FILE", "sub/compose.yaml:sub/prod.yaml");
    assert_eq!(images(&project, &Build::default()), ["a:prod"]);
}

/// A file is read without an engine, also where variables of an engine elsewhere name nothing here.
#[test]
fn variables_of_another_engine_break_nothing() {
    let mut project = project();
    project.set("DOCKER_TLS_VERIFY", "1");
    project.set("DOCKER_CERT_PATH", "/no/certificates");
    let compose = of(&["sub/compose.yaml"]);
    assert_eq!(images(&project, &compose), ["a:1"]);
    project.set("DOCKER_CONTEXT", "none");
    assert_eq!(images(&project, &compose), ["a:1"]);
}

#[test]
fn targets_groups_and_overrides_are_passed_to_bake() {
    let bake = r#"
        group "default" { targets = ["one"] }
        group "all" { targets = ["one", "two"] }
        target "one" { args = { V = "1" } }
        target "two" {
          dockerfile-inline = "FROM b:2\nCOPY --from=tools /x /x\n"
          contexts          = { tools = "target:tools" }
        }
        target "tools" { dockerfile-inline = "FROM b:3" }
    "#;
    let project = Project::new(&[
        ("docker-bake.hcl", bake),
        ("more.hcl", "target \"one\" { args = { V = \"more\" } }\n"),
        ("Dockerfile", "ARG V\nFROM a:$V\n"),
    ]);
    let file = of(&["docker-bake.hcl"]);
    assert_eq!(images(&project, &file), ["a:1"]);
    let both = of(&["docker-bake.hcl", "more.hcl"]);
    assert_eq!(images(&project, &both), ["a:more"]);
    let all = Build {
        only: texts(&["all"]),
        ..Build::default()
    };
    // What a target takes files from is built too.
    assert_eq!(images(&project, &all), ["a:1", "b:2", "b:3"]);
    let set = Build {
        overrides: texts(&["one.args.V=set", "one.platform=linux/s390x"]),
        ..file
    };
    assert_eq!(project.shown(&set), ["one linux/s390x a:set"]);
}

#[test]
fn what_a_tool_wrote_is_read_without_it() {
    let project = project();
    let compose = r#"{"name":"p","services":{
        "web":{"build":{"context":"CONTEXT","args":{"V":"1","W":"$$1"}}},
        "job":{"build":{"context":"CONTEXT","dockerfile":"","target":"","args":{"V":"job"}}}}}"#;
    let context = project.path().join("sub");
    let compose = compose.replace("CONTEXT", context.to_str().expect("text"));
    project.write("resolved.json", &compose);
    let mut around = project.around();
    // A docker command that fails at everything.
    project.write("bin/docker", "#!/bin/sh\nexit 9\n");
    allow(&project, "bin/docker");
    around.path = vec![project.path().join("bin")];
    let resolved = of(&["resolved.json"]);
    let piped = Build {
        input: Some(compose.into_bytes()),
        ..of(&["-"])
    };
    for build in [resolved.clone(), piped] {
        let drafts = build.drafts(&around).expect("drafts");
        let names: Vec<_> = drafts.iter().map(|draft| draft.name.as_deref()).collect();
        assert_eq!(names, [Some("job"), Some("web")]);
        assert_eq!(drafts[0].file, "sub/Dockerfile");
        assert_eq!(drafts[1].options.build_args["W"], "$1");
    }
    let only = |name: &str| Build {
        only: texts(&[name]),
        ..resolved.clone()
    };
    assert_eq!(only("job").drafts(&around).expect("a draft").len(), 1);
    let fault = only("none").drafts(&around).expect_err("no such name");
    assert!(fault.message.contains("none"), "{fault}");
    let late = Build {
        profiles: texts(&["more"]),
        ..resolved
    };
    // That is a question for the tool.
    let fault = late.drafts(&around).expect_err("no tool");
    assert!(
        fault.message.contains("read by `docker compose`"),
        "{fault}"
    );
}

#[test]
fn a_file_that_looks_as_if_a_tool_wrote_it_is_read_as_the_tool_reads_it() {
    let bake = r#"{"group":{"default":{"targets":["a"]}},"target":{
        "a":{"context":".","dockerfile":"A"},"b":{"context":".","dockerfile":"B"}}}"#;
    let project = Project::new(&[
        ("docker-bake.json", bake),
        ("meta.json", r#"{"target":{"a":{"args":{"V":"meta"}}}}"#),
        ("A", "ARG V=1\nFROM a:$V\n"),
        ("B", "FROM b\n"),
    ]);
    let file = of(&["docker-bake.json"]);
    assert_eq!(images(&project, &file), ["a:1"]);
    let only = Build {
        only: texts(&["b"]),
        ..file.clone()
    };
    assert_eq!(images(&project, &only), ["b:latest"]);
    let set = Build {
        overrides: texts(&["a.args.V=set"]),
        ..file
    };
    assert_eq!(images(&project, &set), ["a:set"]);
    let both = of(&["docker-bake.json", "meta.json"]);
    assert_eq!(images(&project, &both), ["a:meta"]);
}

#[test]
fn what_a_file_is_its_first_line_says_if_its_name_does_not() {
    let project = project();
    project.write("sub/compose.yaml.dist", &format!("# All.\n{COMPOSE}"));
    project.write("sub/docker-compose.YML", COMPOSE);
    project.write("sub/Dockerfile.yaml", "FROM d\n");
    project.write(
        "bakefile",
        "variable \"V\" { default = \"b\" }\ntarget \"default\" { dockerfile-inline = \"FROM ${V}\" }\n",
    );
    for (file, image) in [
        ("sub/compose.yaml.dist", "a:1"),
        ("sub/docker-compose.YML", "a:1"),
        ("sub/Dockerfile.yaml", "d:latest"),
        ("bakefile", "b:latest"),
    ] {
        assert_eq!(images(&project, &of(&[file])), [image], "{file}");
    }
    // bake reads compose files, if that is meant, and their folders from where it runs.
    project.write("Dockerfile", "FROM a\n");
    let set = Build {
        overrides: texts(&["web.platform=linux/s390x"]),
        only: texts(&["web"]),
        ..of(&["sub/compose.yaml"])
    };
    let shown = project.shown(&set);
    assert!(shown[0].starts_with("web linux/s390x "), "{shown:?}");
    for (input, why) in [
        (COMPOSE.as_bytes(), "compose or bake file"),
        (&[0x1f, 0x8b, 0x08, 0], "archive"),
    ] {
        let piped = Build {
            input: Some(input.to_vec()),
            ..of(&["-"])
        };
        let fault = project.drafts(&piped).expect_err("refused");
        assert!(fault.message.contains(why), "{fault}");
    }
    for elsewhere in [
        "github.com/docker/getting-started",
        "https://x.example/Dockerfile",
    ] {
        let fault = project.drafts(&of(&[elsewhere])).expect_err("elsewhere");
        assert!(fault.message.contains("fetch it first"), "{fault}");
    }
}

#[test]
fn what_cannot_be_planned_hides_nothing_else() {
    let project = Project::new(&[
        (
            "compose.yaml",
            "services:\n  a: { build: ./missing }\n  b: { build: . }\n  c: { build: github.com/docker/c }\n",
        ),
        ("Dockerfile", "FROM b\n"),
    ]);
    let request = Request::new(&files(&["compose.yaml"]), project.around());
    let drafted = request.drafts();
    assert_eq!(drafted.drafts.len(), 1);
    assert_eq!(drafted.drafts[0].name.as_deref(), Some("b"));
    let faults: Vec<String> = drafted.faults.iter().map(ToString::to_string).collect();
    assert!(
        faults[0].contains("missing") && faults[1].contains("github.com"),
        "{faults:?}"
    );
    // A key of half of it would be another's.
    project
        .drafts(&of(&["compose.yaml"]))
        .expect_err("not known");
}

#[test]
fn paths_are_joined_by_their_text_and_limits_may_be_zero() {
    let project = Project::new(&[
        (
            "compose.yaml",
            "services: { a: { build: { context: ctx, dockerfile: ../D, ulimits: { core: 0, nofile: { soft: 0, hard: 9 } } } } }\n",
        ),
        ("D", "FROM lexical\nRUN x\n"),
        ("real/D", "FROM through-link\n"),
        ("real/ctx/x", ""),
    ]);
    std::os::unix::fs::symlink("real/ctx", project.path().join("ctx")).expect("a link");
    assert_eq!(images(&project, &Build::default()), ["lexical:latest"]);
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let project = project();
    project.write("docker-bake.hcl", "target \"default\" {}\n");
    let fault = |build: Build| project.drafts(&build).expect_err("refused").message;
    for (build, word) in [
        (
            Build {
                only: texts(&["x"]),
                ..of(&["sub/Dockerfile"])
            },
            "--only",
        ),
        (
            Build {
                overrides: texts(&["a.b=c"]),
                ..of(&["sub/Dockerfile"])
            },
            "--set",
        ),
        (
            Build {
                profiles: texts(&["x"]),
                ..of(&["docker-bake.hcl"])
            },
            "--profile",
        ),
        (
            Build {
                env_files: files(&["x"]),
                ..of(&["docker-bake.hcl"])
            },
            "--env-file",
        ),
        (
            Build {
                build_contexts: texts(&["Base=docker-image://busybox"]),
                ..of(&["sub/Dockerfile"])
            },
            "invalid context name",
        ),
        (
            Build {
                build_contexts: texts(&["a b=docker-image://busybox"]),
                ..of(&["sub/Dockerfile"])
            },
            "invalid context name",
        ),
        (
            Build {
                platforms: texts(&["linux/amd64,linux/arm64"]),
                build_args: texts(&["BUILDKIT_MULTI_PLATFORM=0"]),
                ..of(&["sub/Dockerfile"])
            },
            "for several platforms",
        ),
        (of(&["sub/Dockerfile", "sub/compose.yaml"]), "named alone"),
        (of(&["-", "sub/compose.yaml"]), "named alone"),
    ] {
        let message = fault(build);
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_job_plans_what_it_can() {
    let project = project();
    project.write(
        "docker-bake.hcl",
        "target \"default\" { dockerfile-inline = \"FROM b\" }\n",
    );
    let request = |paths: &[&str]| {
        let request = Request::new(&files(paths), project.around());
        let written = serde_json::to_string(&request).expect("a JSON form");
        assert!(
            !format!("{request:?}").contains("/nonexistent"),
            "no environment is shown"
        );
        let read: Request = serde_json::from_str(&written).expect("a request");
        read.drafts()
    };
    let usual = request(&[]);
    assert_eq!((usual.drafts.len(), usual.faults.len()), (1, 0));
    let several = request(&["sub/compose.yaml", "none.yaml", "docker-bake.hcl"]);
    assert_eq!((several.drafts.len(), several.faults.len()), (2, 1));
    assert!(several.faults[0].to_string().contains("none.yaml"));
    let empty = Project::new(&[]);
    assert!(Request::new(&[], empty.around()).builds.is_empty());
    // podman's.
    empty.write("Containerfile", "FROM c\n");
    let drafted = Request::new(&[], empty.around()).drafts();
    assert_eq!(drafted.drafts[0].file, "Containerfile");
    empty.write("dockerfile", "FROM d\n");
    let drafted = Request::new(&[], empty.around()).drafts();
    assert_eq!(drafted.drafts[0].file, "dockerfile");
}
