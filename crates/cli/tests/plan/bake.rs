//! Bake files through the program: what is found, what is read together, what paths are relative to.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::kit::{Project, Said};

/// The targets of a plan with the first image of each.
fn targets(plan: &Value) -> Vec<(String, String)> {
    let plans = plan["plans"].as_array().expect("several");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let of = |plan: &Value| (text(&plan["name"]), text(&plan["images"][0]["reference"]));
    plans.iter().map(of).collect()
}

fn pair(name: &str, image: &str) -> (String, String) {
    (name.to_owned(), format!("docker.io/library/{image}"))
}

#[test]
fn a_matrix_is_one_plan_for_each_target_that_it_makes() {
    let bake = r#"
        variable "VERSIONS" { default = "3.3,3.4" }
        function "clean" {
          params = [v]
          result = replace(v, ".", "-")
        }
        group "default" { targets = ["ruby", "tools"] }
        target "ruby" {
          name   = "ruby-${clean(v)}"
          matrix = { v = split(",", VERSIONS) }
          args   = { V = v }
          labels = { created = timestamp() }
        }
        target "tools" { dockerfile-inline = "FROM node" }
    "#;
    let files = [
        ("docker-bake.hcl", bake),
        ("app/Dockerfile", "ARG V\nFROM ruby:$V\n"),
    ];
    let project = Project::new(&files);
    project.write(
        "docker-bake.override.hcl",
        "target \"ruby-3-3\" { context = \"app\" }\ntarget \"ruby-3-4\" { context = \"app\" }\n",
    );
    let expected = [
        pair("ruby-3-3", "ruby:3.3"),
        pair("ruby-3-4", "ruby:3.4"),
        pair("tools", "node:latest"),
    ];
    assert_eq!(targets(&project.plan(&["--offline"])), expected);

    // The environment chooses, and what was not asked for is not part of the key.
    let key = project.key(&[]);
    let mut command = project.command();
    command.args(["key", "--offline"]).env("VERSIONS", "3.3");
    let other = command.output().expect("larder starts");
    assert_ne!(String::from_utf8_lossy(&other.stdout), key);
    assert_eq!(project.key(&[]), key, "no clock is in the key");
}

#[test]
fn files_that_lie_together_are_read_together() {
    let project = Project::new(&[
        (
            "sub/docker-bake.json",
            r#"{"target": {"default": {"args": {"V": "1"}}}}"#,
        ),
        (
            "sub/docker-bake.override.hcl",
            "target \"default\" { args = { V = \"2\" } }\n",
        ),
        ("sub/Containerfile", "ARG V\nFROM ruby:$V\n"),
    ]);
    project.write(
        "sub/docker-bake.hcl",
        "target \"default\" { dockerfile = \"Containerfile\" }\n",
    );
    let image = |arguments: &[&str]| {
        let mut all = vec!["--offline"];
        all.extend_from_slice(arguments);
        let plan = project.plan(&all);
        let plan = plan.get("plans").map_or(&plan, |plans| &plans[0]).clone();
        plan["images"][0]["reference"]
            .as_str()
            .expect("an image")
            .to_owned()
    };
    // A folder is as if the command ran in it.
    assert_eq!(image(&["sub"]), "docker.io/library/ruby:2");
    // A file that is named is read alone, and relative to the current folder.
    let said = project.run(&["plan", "--offline", "-f", "sub/docker-bake.hcl"]);
    assert_eq!(said.code, 2);
    assert!(said.error.contains("Containerfile"), "{}", said.error);
    project.write("Containerfile", "FROM here\n");
    assert_eq!(
        image(&["-f", "sub/docker-bake.hcl"]),
        "docker.io/library/here:latest"
    );
}

#[test]
fn a_compose_file_comes_before_bake_files() {
    let project = Project::new(&[
        (
            "compose.yaml",
            "services:\n  db: { image: postgres }\n  web: { build: { context: web } }\n",
        ),
        (
            "docker-bake.hcl",
            "target \"web\" { args = { V = \"3.4\" } }\n",
        ),
        ("web/Dockerfile", "ARG V=none\nFROM ruby:$V\n"),
    ]);
    let first = |project: &Project| {
        let plan = project.plan(&["--offline"]);
        let plan = plan.get("plans").map_or(&plan, |plans| &plans[0]).clone();
        plan["images"][0]["reference"]
            .as_str()
            .expect("an image")
            .to_owned()
    };
    assert_eq!(first(&project), "docker.io/library/ruby:3.4");
    // Its services are the default, also where none of them is built: this is how bake has it.
    project.write("compose.yaml", "services:\n  db: { image: postgres }\n");
    project.write("docker-bake.hcl", "target \"app\" { context = \"web\" }\n");
    let app = project.plan(&["--offline", "--only", "app"]);
    assert_eq!(app["images"][0]["reference"], "docker.io/library/ruby:none");
    let said = project.run(&["plan", "--offline"]);
    assert_eq!(
        (said.code, said.error.contains("--only")),
        (2, true),
        "{}",
        said.error
    );
}

#[test]
fn what_a_tool_refuses_names_the_place() {
    let bake = "target \"a\" {\n  args = {\n    V = md6(\"x\")\n  }\n}\n";
    let project = Project::new(&[("docker-bake.hcl", bake)]);
    let said = project.run(&["plan", "--offline", "--json"]);
    assert_eq!(said.code, 2);
    let answer: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(
        (&answer["error"]["file"], &answer["error"]["line"]),
        (&"docker-bake.hcl".into(), &3.into())
    );
    for word in ["md6", "`docker buildx` says"] {
        assert!(said.error.contains(word), "{}", said.error);
    }
}

#[test]
fn options_are_passed_on_to_the_tools() {
    let project = Project::new(&[
        (
            "docker-bake.hcl",
            "target \"a\" { args = { V = \"1\" } }\ntarget \"b\" { args = { V = \"2\" } }\n",
        ),
        ("more.hcl", "target \"a\" { args = { V = \"more\" } }\n"),
        (
            "compose.yaml",
            "services:\n  web: { build: { context: ., args: { V: \"${V:-web}\" } } }\n  \
             job: { profiles: [more], build: { context: ., args: { V: job } } }\n",
        ),
        ("other.env", "V=other\n"),
        ("Dockerfile", "ARG V\nFROM a:$V\n"),
    ]);
    let image = |arguments: &[&str]| {
        let mut all = vec!["--offline"];
        all.extend_from_slice(arguments);
        let plan = project.plan(&all);
        let image = plan["images"][0]["reference"].as_str();
        image.expect("one build").to_owned()
    };
    let bake = ["-f", "docker-bake.hcl"];
    for (arguments, tag) in [
        (&[bake[0], bake[1], "--only", "b"][..], "2"),
        (
            &["-f", "docker-bake.hcl", "-f", "more.hcl", "--only", "a"],
            "more",
        ),
        (
            &[
                "-f",
                "docker-bake.hcl",
                "--only",
                "a",
                "--set",
                "a.args.V=set",
            ],
            "set",
        ),
        (&["-f", "compose.yaml"], "web"),
        (&["-f", "compose.yaml", "--env-file", "other.env"], "other"),
        (
            &["-f", "compose.yaml", "--profile", "more", "--only", "job"],
            "job",
        ),
    ] {
        assert_eq!(image(arguments), format!("docker.io/library/a:{tag}"));
    }
}

#[test]
fn a_tool_that_is_missing_is_the_machine_s_lack() {
    let project = Project::new(&[
        (
            "compose.yaml",
            "services: { web: { build: { dockerfile_inline: FROM a } } }\n",
        ),
        ("bin/docker", "#!/bin/sh\nexit 1\n"),
    ]);
    let docker = project.path().join("bin/docker");
    std::fs::set_permissions(&docker, PermissionsExt::from_mode(0o755)).expect("allowed");
    for verb in ["plan", "key", "explain"] {
        let mut command = project.command();
        command.env("PATH", docker.parent().expect("a folder"));
        let output = command.args([verb, "--offline"]).output();
        let said = Said::of(&output.expect("larder starts"));
        assert_eq!(
            (said.code, said.out.as_str()),
            (3, ""),
            "{verb}: {}",
            said.error
        );
        for word in ["`docker compose`", "install", "docker compose config"] {
            assert!(said.error.contains(word), "{}", said.error);
        }
    }
}

#[test]
fn tools_do_not_see_the_credentials_of_the_store() {
    let answer = r#"{"name":"p","services":{"a":{"build":{"dockerfile_inline":"FROM a"}}}}"#;
    let project = Project::new(&[
        ("compose.yaml", "services: {}\n"),
        (
            "bin/docker",
            &format!("#!/bin/sh\nenv > seen\necho '{answer}'\n"),
        ),
    ]);
    let docker = project.path().join("bin/docker");
    std::fs::set_permissions(&docker, PermissionsExt::from_mode(0o755)).expect("allowed");
    let path = format!("{}:/usr/bin:/bin", project.path().join("bin").display());
    let mut command = project.command();
    command.env("PATH", path).env("AWS_REGION", "eu-west-1");
    for name in [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_STORAGE_KEY",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "LARDER_SCOPE",
    ] {
        command.env(name, "topsecret");
    }
    let output = command.args(["plan", "--offline"]).output();
    Said::of(&output.expect("larder starts")).done();
    let seen = std::fs::read_to_string(project.path().join("seen")).expect("it was run");
    assert!(
        !seen.contains("topsecret") && !seen.contains("LARDER_"),
        "{seen}"
    );
    assert!(seen.contains("AWS_REGION=eu-west-1"), "{seen}");
}
