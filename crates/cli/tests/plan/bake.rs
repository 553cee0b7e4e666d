//! Bake files through the program: what is found, what is read together, what paths are relative to.

use serde_json::Value;

use crate::kit::Project;

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
    // Services without a build do not stand in the way.
    project.write("compose.yaml", "services:\n  db: { image: postgres }\n");
    project.write("docker-bake.hcl", "target \"app\" { context = \"web\" }\n");
    assert_eq!(first(&project), "docker.io/library/ruby:none");
}

#[test]
fn what_is_not_understood_names_the_place_and_the_cure() {
    let bake = "target \"a\" {\n  args = {\n    V = md5(\"x\")\n  }\n}\n";
    let project = Project::new(&[("docker-bake.hcl", bake)]);
    let said = project.run(&["plan", "--offline", "--json"]);
    assert_eq!(said.code, 2);
    let answer: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(
        (&answer["error"]["file"], &answer["error"]["line"]),
        (&"docker-bake.hcl".into(), &3.into())
    );
    for word in ["md5", "docker buildx bake --print"] {
        assert!(said.error.contains(word), "{}", said.error);
    }
}
