//! Images that only the `ONBUILD` instructions of a base image name.

use serde_json::{Value, json};

use crate::kit::{Project, Registry};

const TIME: &str = "2026-01-01T00:00:00Z";

/// A registry with `app:1`, whose children copy from `tools:1` and mount from `cache:1`.
fn registry() -> Registry {
    let registry = Registry::start();
    let host = &registry.host;
    let triggers = [
        format!("COPY --from={host}/tools:1 /bin/tool /bin/tool"),
        format!("RUN --mount=type=bind,from={host}/cache:1,target=/c true"),
    ];
    registry.push_image("app", "1", &json!({ "OnBuild": triggers }), TIME);
    registry.push_image("tools", "1", &json!({ "Env": ["T=1"] }), TIME);
    registry.push_image("cache", "1", &json!({ "Env": ["C=1"] }), TIME);
    registry
}

fn project(registry: &Registry) -> Project {
    let text = format!("FROM {}/app:1\nRUN true\n", registry.host);
    Project::new(&[("Dockerfile", &text)])
}

/// Name, kind of use and whether it was resolved, of each image.
fn images(plan: &Value) -> Vec<(String, String, bool)> {
    let images = plan["images"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let one = |image: &Value| {
        let name = text(&image["reference"]);
        let name = name.rsplit('/').next().expect("a name").to_owned();
        (
            name,
            text(&image["uses"][0]["kind"]),
            image["identity"].is_string(),
        )
    };
    images.map(one).collect()
}

fn expected() -> Vec<(String, String, bool)> {
    let named = [("app:1", "from"), ("tools:1", "copy"), ("cache:1", "mount")];
    let one = |(name, kind): (&str, &str)| (name.to_owned(), kind.to_owned(), true);
    named.map(one).to_vec()
}

#[test]
fn a_base_images_instructions_name_images_too() {
    let registry = registry();
    let project = project(&registry);
    let plan = project.plan(&[]);
    assert_eq!(images(&plan), expected());
    assert_eq!(plan["images"][1]["uses"][0]["line"], 1);
    assert_eq!(plan["stages"][0]["steps"].as_array().map(Vec::len), Some(3));
    let key = project.run(&["key"]).done();
    assert_eq!(plan["key"].as_str(), Some(key.trim()));
    registry.push_image("tools", "1", &json!({ "Env": ["T=2"] }), TIME);
    assert_ne!(project.run(&["key"]).done(), key, "what is copied moved");
}

#[test]
fn what_is_remembered_of_a_base_image_serves_offline() {
    let registry = registry();
    let project = project(&registry);
    let online = project.plan(&[]);
    drop(registry);
    let offline = project.plan(&["--offline", "--max-age", "1h"]);
    assert_eq!(images(&offline), expected());
    assert_eq!(offline["key"], online["key"]);
    // A key must not depend on what a machine happens to remember.
    let by_name = project.plan(&["--offline"]);
    assert_eq!(by_name["images"].as_array().map(Vec::len), Some(1));
}

#[test]
fn an_instruction_that_no_build_accepts_is_a_fault_of_the_build() {
    let registry = Registry::start();
    let config = json!({ "OnBuild": ["COPY --from=Not/Valid /a /b"] });
    registry.push_image("app", "1", &config, TIME);
    let project = project(&registry);
    assert_eq!(project.run(&["plan", "--offline"]).code, 0);
    let said = project.run(&["plan", "--json"]);
    assert_eq!(said.code, 2, "{}", said.error);
    let said: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(said["error"]["line"], 1);
}
