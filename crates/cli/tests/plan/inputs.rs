//! `larder plan` of every kind of input, without a network.

use serde_json::Value;

use crate::kit::Project;

fn names(plan: &Value) -> Vec<(&str, bool)> {
    let images = plan["images"].as_array().expect("images");
    images
        .iter()
        .map(|image| {
            let name = image["reference"].as_str().expect("a name");
            (name, image["reached"].as_bool().expect("a truth"))
        })
        .collect()
}

#[test]
fn a_plan_lists_images_with_their_uses() {
    let text = "# syntax=docker/dockerfile:1\nFROM ruby:3.3 AS a\nFROM redis AS b\nFROM a\n\
                COPY --from=node /n /n\nRUN --mount=from=ghcr.io/o/x:2,target=/x true\n";
    let project = Project::new(&[("Dockerfile", text)]);
    let plan = project.plan(&["--offline"]);
    let expected = [
        ("docker.io/docker/dockerfile:1", true),
        ("docker.io/library/ruby:3.3", true),
        ("docker.io/library/redis:latest", false),
        ("docker.io/library/node:latest", true),
        ("ghcr.io/o/x:2", true),
    ];
    assert_eq!(names(&plan), expected);
    let kinds: Vec<_> = (0..5)
        .map(|at| {
            plan["images"][at]["uses"][0]["kind"]
                .as_str()
                .expect("a kind")
        })
        .collect();
    assert_eq!(kinds, ["syntax", "from", "from", "copy", "mount"]);
    let copy = &plan["images"][3]["uses"][0];
    assert_eq!(
        (&copy["line"], &copy["stage"]),
        (&5.into(), &"stage-2".into())
    );
    assert_eq!(plan["images"][1]["identity"], Value::Null);
    assert_eq!(plan["images"][1]["digests"]["index"], Value::Null);
}

#[test]
fn a_rejected_dockerfile_names_the_place() {
    let project = Project::new(&[("sub/Dockerfile", "FROM a\n\nCOPYY x y\n")]);
    let said = project.run(&["plan", "--offline", "--json", "sub"]);
    assert_eq!(said.code, 2);
    let answer: Value = serde_json::from_str(&said.out).expect("JSON");
    let error = &answer["error"];
    assert_eq!((&error["line"], &error["column"]), (&3.into(), &1.into()));
    assert_eq!(error["file"], "sub/Dockerfile");
    assert_eq!(error["value"], "COPYY");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("COPY?"))
    );
    assert!(
        said.error.contains("sub/Dockerfile: line 3, column 1"),
        "{}",
        said.error
    );
    let plain = project.run(&["plan", "--offline", "sub"]);
    assert_eq!((plain.code, plain.out.as_str()), (2, ""));
}

#[test]
fn files_are_found_as_docker_finds_them() {
    let project = Project::new(&[("dockerfile", "FROM lower\n"), ("x/other", "FROM other\n")]);
    let first = |plan: &Value| names(plan)[0].0.to_owned();
    assert_eq!(
        first(&project.plan(&["--offline"])),
        "docker.io/library/lower:latest"
    );
    project.write("Dockerfile", "FROM upper\n");
    assert_eq!(
        first(&project.plan(&["--offline"])),
        "docker.io/library/upper:latest"
    );
    // `-f` is relative to the current folder, not to the context.
    let other = project.plan(&["--offline", "-f", "x/other", "x"]);
    assert_eq!(first(&other), "docker.io/library/other:latest");
    for arguments in [&["-f", "-"][..], &["-"]] {
        let mut all = vec!["plan", "--offline", "--json"];
        all.extend_from_slice(arguments);
        let said = project.feed(&all, "FROM stdin\n").done();
        assert!(said.contains("docker.io/library/stdin:latest"), "{said}");
    }
    for arguments in [
        &["nowhere"][..],
        &["-f", "none"],
        &["https://x/y.git"],
        &["Dockerfile"],
    ] {
        let mut all = vec!["plan", "--offline"];
        all.extend_from_slice(arguments);
        let said = project.run(&all);
        assert_eq!(said.code, 2, "{arguments:?}");
        assert!(
            said.error.contains(arguments[arguments.len() - 1]),
            "{}",
            said.error
        );
    }
}

#[test]
fn compose_files_give_one_plan_for_each_image() {
    let compose = "services:\n  db: { image: postgres }\n  web:\n    build:\n      context: web\n      \
                   args: { V: \"${RUBY:-3.3}\" }\n  job:\n    build: { context: ., dockerfile_inline: \"FROM node\" }\n";
    let project = Project::new(&[
        ("compose.yaml", compose),
        ("web/Dockerfile", "ARG V\nFROM ruby:$V\n"),
    ]);
    let plan = project.plan(&["--offline"]);
    let plans = plan["plans"].as_array().expect("several");
    let shown: Vec<_> = plans
        .iter()
        .map(|plan| (plan["name"].as_str(), names(plan)[0].0))
        .collect();
    let expected = [
        (Some("job"), "docker.io/library/node:latest"),
        (Some("web"), "docker.io/library/ruby:3.3"),
    ];
    assert_eq!(shown, expected);
    assert_eq!(plans[0]["file"], "compose#job");
    assert_eq!(plans[1]["file"], "web/Dockerfile");
    let key = project.key(&[]);
    project.write(".env", "RUBY=3.4\n");
    assert_ne!(project.key(&[]), key, "one key for all, and .env counts");
}

#[test]
fn bake_files_give_one_plan_for_each_target_and_platform() {
    let bake = "variable \"V\" { default = \"3.3\" }\ngroup \"default\" { targets = [\"a\", \"b\"] }\n\
                target \"a\" {\n  args = { V = \"${V}\" }\n  platforms = [\"linux/amd64\", \"linux/arm64\"]\n}\n\
                target \"b\" { dockerfile-inline = \"FROM node\" }\n";
    let project = Project::new(&[
        ("docker-bake.hcl", bake),
        ("Dockerfile", "ARG V\nFROM ruby:$V\n"),
    ]);
    let plan = project.plan(&["--offline", "-f", "docker-bake.hcl"]);
    let plans = plan["plans"].as_array().expect("several");
    let shown: Vec<_> = plans
        .iter()
        .map(|plan| {
            (
                plan["name"].as_str(),
                plan["platform"].as_str(),
                names(plan)[0].0,
            )
        })
        .collect();
    let ruby = "docker.io/library/ruby:3.3";
    assert_eq!(shown[0], (Some("a"), Some("linux/amd64"), ruby));
    assert_eq!(shown[1], (Some("a"), Some("linux/arm64"), ruby));
    assert_eq!(shown[2].0, Some("b"));
}

#[test]
fn the_kind_of_engine_can_be_said_where_the_ladder_is_walked() {
    let project = Project::new(&[("Dockerfile", "FROM scratch\nCOPY a /a\n")]);
    for verb in ["plan", "explain"] {
        let said = project.run(&[verb, "--image-store", "containerd"]);
        assert_eq!(said.code, 0, "{}", said.error);
        let said = project.run(&[verb, "--image-store", "zfs"]);
        assert_eq!(said.code, 2);
        assert!(said.error.contains("zfs"), "{}", said.error);
    }
}

#[test]
fn what_compose_puts_on_top_of_its_file_counts() {
    let project = Project::new(&[
        (
            "compose.yaml",
            "services:\n  web: { build: { context: ., dockerfile: web, args: { V: 1, W: 1 } } }\n  db: { image: x }\n",
        ),
        (
            "compose.override.yaml",
            "services:\n  web: { platform: linux/arm64, build: { target: dev, args: { W: 2 } } }\n",
        ),
    ]);
    let file = "ARG V\nARG W\nFROM a:$V-$W AS dev\nFROM b\n";
    project.write("sub/web", file);
    for name in ["compose.yaml", "compose.override.yaml"] {
        let text = std::fs::read_to_string(project.path().join(name)).expect("there");
        project.write(&format!("sub/{name}"), &text);
    }
    let plan = project.plan(&["--offline", "sub"]);
    assert_eq!(plan["platform"], "linux/arm64");
    assert_eq!(names(&plan)[0], ("docker.io/library/a:1-2", true));
    // As for compose, a file that is named stands alone; bake knows nothing of it.
    let named = project.plan(&["--offline", "-f", "sub/compose.yaml"]);
    assert!(names(&named).contains(&("docker.io/library/b:latest", true)));
    project.write("sub/docker-bake.hcl", "target \"web\" {}\n");
    let baked = project.plan(&["--offline", "sub"]);
    assert!(names(&baked).contains(&("docker.io/library/b:latest", true)));
}

#[test]
fn a_file_for_another_front_end_has_a_key_and_a_warning() {
    let text = "# syntax=example/dockerfile-x\nFROM ./base.Dockerfile AS base\nRUN x\n";
    let project = Project::new(&[("Dockerfile", text)]);
    let said = project.run(&["key", "--offline"]);
    assert_eq!(said.code, 0, "{}", said.error);
    assert!(
        said.error.contains("`example/dockerfile-x`"),
        "{}",
        said.error
    );
    let plan = project.plan(&["--offline"]);
    assert_eq!(
        names(&plan),
        [("docker.io/example/dockerfile-x:latest", true)]
    );
    let shown = project.run(&["plan", "--offline"]);
    assert!(shown.out.contains("dockerfile-x"), "{}", shown.out);
    project.write("Dockerfile", &format!("{text}# more\n"));
    assert_ne!(project.key(&[]), said.out);
}

#[test]
fn options_of_docker_build_change_the_key() {
    let project = Project::new(&[("Dockerfile", "FROM a\nRUN --mount=type=cache,target=/c x\n")]);
    let usual = project.key(&[]);
    let mut keys = vec![usual.clone()];
    for options in [
        &["--network", "none"][..],
        &["--add-host", "a:1"],
        &["--add-host", "a:1,b:2"],
        &["--ulimit", "nofile=1"],
        &["--shm-size", "64m"],
        &["--cgroup-parent", "x"],
        &["--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=a"],
        &["--build-arg", "BUILDKIT_CACHE_MOUNT_NS=a"],
    ] {
        let key = project.key(options);
        assert!(!keys.contains(&key), "{options:?}");
        keys.push(key);
    }
    assert_eq!(project.key(&["--network", "default"]), usual);
    assert_eq!(project.key(&["--add-host", "a:9"]), keys[2]);
    let plan = project.plan(&["--offline", "--shm-size", "64m"]);
    assert_eq!(plan["sandbox"]["shm_bytes"], 64 << 20);
}
