//! Bake files against what buildx makes of them, and what is refused.
//!
//! `tests/bake/` holds bake files (a folder holds several that are read together) and, as `NAME.print`,
//! what `docker buildx bake --print` of buildx 0.13.1 said of each.

#![allow(clippy::format_collect)] // texts of a test, made once

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use super::*;

/// The environment that the answers were made in.
const GIVEN: [(&str, &str); 5] = [
    ("TAG", "3.4"),
    ("DEBUG", "1"),
    ("COUNT", "7"),
    ("RATIO", "1.5"),
    ("EMPTY", ""),
];

fn environment() -> Environment {
    GIVEN
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bake")
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    for (name, text) in [
        ("a.hcl", "\u{feff}target \"default\" {}\n"),
        ("a.json", "\u{feff}{\"target\":{\"default\":{}}}"),
    ] {
        let file = (PathBuf::from(name), text.to_owned());
        let found = builds(vec![file], &[], &environment()).expect(name);
        assert_eq!(found.len(), 1);
    }
}

/// The names of the cases, with their files.
fn cases() -> BTreeMap<String, Vec<PathBuf>> {
    let mut cases = BTreeMap::new();
    for entry in fs::read_dir(folder()).expect("the cases") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let mut files = vec![path.clone()];
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder");
            files = entries
                .map(|entry| entry.expect("an entry").path())
                .collect();
            files.sort();
        }
        if path.extension().is_none_or(|kind| kind != "print") {
            cases.insert(name, files);
        }
    }
    cases
}

fn read(files: &[PathBuf]) -> Result<Vec<Described>, Fault> {
    let texts = files
        .iter()
        .map(|file| (file.clone(), fs::read_to_string(file).expect("a file")));
    builds(texts.collect(), &[], &environment())
}

/// A target as buildx prints it, as what is compared.
fn printed(name: &str, target: &Json) -> Described {
    // What looks like a template is escaped there, because the output is a bake file again.
    let plain = |text: &str| text.replace("$${", "${").replace("%%{", "%{");
    let text = |key: &str| target[key].as_str().map(plain);
    let map = |key: &str| {
        let pairs = target[key].as_object().into_iter().flatten();
        pairs
            .map(|(key, value)| (key.clone(), plain(value.as_str().expect("a text"))))
            .collect()
    };
    let context = text("context").expect("a context");
    Described {
        name: name.to_owned(),
        context: context
            .strip_prefix("cwd://")
            .unwrap_or(&context)
            .to_owned(),
        dockerfile: text("dockerfile"),
        inline: text("dockerfile-inline"),
        target: text("target"),
        args: map("args"),
        platforms: target["platforms"]
            .as_array()
            .map_or_else(Vec::new, |list| {
                list.iter()
                    .map(|one| one.as_str().expect("a platform").to_owned())
                    .collect()
            }),
        contexts: map("contexts"),
    }
}

fn answer(text: &str) -> BTreeMap<String, Described> {
    let answer: Json = serde_json::from_str(text).expect("JSON");
    let targets = answer["target"].as_object().expect("targets");
    targets
        .iter()
        .map(|(name, target)| (name.clone(), printed(name, target)))
        .collect()
}

#[test]
fn files_mean_what_buildx_says_they_mean() {
    let cases = cases();
    assert!(cases.len() >= 45, "{}", cases.len());
    let mut wrong = Vec::new();
    for (name, files) in cases {
        let text = fs::read_to_string(folder().join(format!("{name}.print")));
        let expected = answer(&text.expect("an answer"));
        match read(&files) {
            Err(fault) => wrong.push(format!("{name}: {fault}")),
            Ok(builds) => {
                let found: BTreeMap<_, _> = builds
                    .into_iter()
                    .map(|mut one| {
                        one.dockerfile
                            .get_or_insert_with(|| "Dockerfile".to_owned());
                        (one.name.clone(), one)
                    })
                    .collect();
                if found != expected {
                    wrong.push(format!("{name}: {found:#?}\nexpected {expected:#?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where buildx is, as after `cargo xtask engine`: that the answers are its answers. Elsewhere there is
/// nothing to compare.
#[test]
fn the_answers_are_those_of_buildx() {
    let buildx = |arguments: &[&std::ffi::OsStr]| {
        let mut command = Command::new("docker");
        command.args(["buildx".as_ref()].iter().chain(arguments));
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/nonexistent");
        command.envs(GIVEN).output()
    };
    if !buildx(&["version".as_ref()]).is_ok_and(|output| output.status.success()) {
        return;
    }
    for (name, files) in cases() {
        let mut arguments = vec!["bake".as_ref(), "--print".as_ref()];
        for file in &files {
            arguments.extend(["-f".as_ref(), file.as_os_str()]);
        }
        let output = buildx(&arguments).expect("docker starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {error}");
        let text = fs::read_to_string(folder().join(format!("{name}.print"))).expect("an answer");
        assert_eq!(
            answer(&String::from_utf8_lossy(&output.stdout)),
            answer(&text),
            "{name}"
        );
    }
}

fn of(text: &str) -> Result<Vec<Described>, Fault> {
    builds(
        vec![("docker-bake.hcl".into(), text.to_owned())],
        &[],
        &environment(),
    )
}

/// The value of an expression.
fn value(expression: &str) -> Result<String, Fault> {
    let text = format!("target \"default\" {{\n  args = {{\n    A = {expression}\n  }}\n}}\n");
    Ok(of(&text)?[0].args["A"].clone())
}

#[test]
fn functions_that_newer_versions_of_buildx_have() {
    for (expression, expected) in [
        ("sanitize(\"a.b/c:d-e\")", "a_b_c_d-e"),
        ("basename(\"/a/b.txt\")", "b.txt"),
        ("dirname(\"/a/../b/c.txt\")", "/b"),
        ("indexof([\"a\", \"b\"], \"b\")", "1"),
    ] {
        assert_eq!(
            value(expression).expect(expression),
            expected,
            "{expression}"
        );
    }
}

/// Files with the line at fault and a word of the message; without either they are accepted.
const FAULTS: &[(&str, Option<u32>, &str)] = &[
    ("target \"a\" {\n  x = = 1\n}\n", Some(2), ""),
    ("target \"a\" {\n  mystery = 1\n}\n", Some(2), "mystery"),
    (
        "target \"a\" {\n  args = {\n    A = md5(\"x\")\n  }\n}\n",
        Some(3),
        "bake --print",
    ),
    (
        "target \"a\" {\n  args = {\n    A = own()\n  }\n}\n",
        Some(3),
        "own",
    ),
    (
        "target \"a\" {\n  args = { A = timestamp() }\n}\n",
        Some(2),
        "another one at each run",
    ),
    (
        "variable \"N\" {\n  default = timestamp()\n}\ntarget \"a\" { args = { N = N } }\n",
        Some(2),
        "set it",
    ),
    (
        "target \"a\" {\n\n  args = { A = nowhere }\n}\n",
        Some(3),
        "nowhere",
    ),
    (
        "a = b\nb = a\ntarget \"t\" { context = a }\n",
        Some(2),
        "needs itself",
    ),
    (
        "variable \"DEBUG\" { default = [] }\ntarget \"t\" { args = { D = DEBUG } }\n",
        Some(1),
        "DEBUG",
    ),
    (
        "variable \"TAG\" { default = 1 }\ntarget \"t\" { args = { T = TAG == 1 } }\n",
        None,
        "",
    ),
    (
        "variable \"TAG\" { default = false }\ntarget \"t\" { args = { T = TAG } }\n",
        Some(1),
        "neither true",
    ),
    ("target \"a\" {\n  name = \"x\"\n}\n", Some(2), "matrix"),
    (
        "target \"a\" {\n  matrix = { x = [1, 2] }\n}\n",
        Some(1),
        "two targets",
    ),
    (
        "target \"a\" {\n  name = \"a.${x}\"\n  matrix = { x = [1] }\n}\n",
        Some(2),
        "sanitize",
    ),
    ("target \"a b\" {}\n", Some(1), "a b"),
    ("target \"a\" {\n  args { A = 1 }\n}\n", Some(2), "args = {"),
    ("target \"a\" \"b\" {}\n", Some(1), "one name"),
    ("target \"a\" { inherits = [\"b\"] }\n", None, "\"b\""),
    (
        "group \"default\" { targets = [\"b\"] }\ntarget \"a\" {}\n",
        None,
        "\"b\"",
    ),
    (
        "group \"default\" { targets = [\"g\"] }\ngroup \"g\" { targets = [\"default\"] }\ntarget \"a\" {}\n",
        None,
        "\"default\"",
    ),
    (
        "target \"a\" {\n  contexts = { x = \"target:a\" }\n}\n",
        None,
        "itself",
    ),
    (
        "target \"a\" {\n  args = { A = [1] }\n}\n",
        Some(2),
        "a list",
    ),
    (
        "target \"a\" {\n  args = { A = \"x${null}\" }\n}\n",
        Some(2),
        "null",
    ),
    (
        "target \"a\" {\n  args = { A = 1 / 3 }\n}\n",
        Some(2),
        "exactly",
    ),
    ("x = 1\n", None, "target"),
];

#[test]
fn faults_name_the_line_the_construct_and_the_cure() {
    for &(text, line, word) in FAULTS {
        match of(text) {
            Ok(_) => assert!(word.is_empty() && line.is_none(), "{text}"),
            Err(fault) => {
                assert!(fault.to_string().contains(word), "{text}{fault}");
                assert_eq!(fault.line, line, "{text}{fault}");
                assert_eq!(fault.file.as_deref(), Some("docker-bake.hcl"));
            }
        }
    }
}

#[test]
fn a_json_file_s_faults_name_the_line() {
    for (text, line, word) in [
        (
            "{\n \"target\": {\n  \"a\": {\n   \"args\": {\"A\": \"${nowhere}\"}\n }}}",
            4,
            "nowhere",
        ),
        (
            "{\n \"target\": {\n  \"a\": {\n   \"other\": 1\n }}}",
            4,
            "other",
        ),
        (
            "{\n \"target\": {\n  \"a\": {\n   \"target\": \"${\"\n }}}",
            4,
            "${",
        ),
        ("{\n \"target\": 1}", 2, "target"),
        ("{\n x", 2, ""),
    ] {
        let files = vec![("docker-bake.json".into(), text.to_owned())];
        let fault = builds(files, &[], &environment()).expect_err(text);
        assert_eq!(fault.line, Some(line), "{text}\n{fault}");
        assert!(fault.to_string().contains(word), "{fault}");
    }
}

#[test]
fn what_a_file_may_cost_is_bounded() {
    let doubling = (1..64).map(|at| format!("a{at} = \"${{a{0}}}${{a{0}}}\"\n", at - 1));
    let lists = (1..64).map(|at| format!("a{at} = [a{0}, a{0}]\n", at - 1));
    let calls = (1..64).map(|at| {
        format!(
            "function \"f{at}\" {{\n params = []\n result = f{0}() + f{0}()\n}}\n",
            at - 1
        )
    });
    let target = "target \"default\" { args = { A = jsonencode(a63) } }\n";
    let chain = (1..5_000)
        .map(|at| format!("a{at} = a{}\n", at - 1))
        .collect::<String>();
    let axes = (0..20)
        .map(|at| format!("x{at} = [1, 2, 3, 4]\n"))
        .collect::<String>();
    let longest = "join(\"\", [for x in range(1000) : \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"])";
    for text in [
        format!("a0 = \"xxxxxxxx\"\n{}{target}", doubling.collect::<String>()),
        format!("a0 = [1]\n{}{target}", lists.collect::<String>()),
        format!(
            "function \"f0\" {{\n params = []\n result = 1\n}}\n{}target \"default\" {{ args = {{ A = f63() }} }}\n",
            calls.collect::<String>()
        ),
        format!("a0 = 1\n{chain}target \"default\" {{ args = {{ A = a4999 }} }}\n"),
        format!("target \"default\" {{\n matrix = {{\n{axes}}}\n}}\n"),
        format!("a = {longest}\nb = replace(a, \"x\", a)\ntarget \"default\" {{ args = {{ A = b }} }}\n"),
        format!("a = {longest}\nb = regex_replace(a, \"x\", a)\ntarget \"default\" {{ args = {{ A = b }} }}\n"),
        "a = format(\"%999999999d\", 1)\ntarget \"default\" { args = { A = a } }\n".to_owned(),
        "a = length(setproduct(range(1000), range(1000)))\ntarget \"default\" { args = { A = a } }\n".to_owned(),
        "a = [for x in range(1000) : [for y in range(1000) : [for z in range(1000) : z]]]\ntarget \"default\" { args = { A = length(a) } }\n".to_owned(),
        (0..=TARGETS_MAX).map(|at| format!("target \"t{at}\" {{}}\n")).collect(),
    ] {
        let fault = of(&text).expect_err("it is too much").to_string();
        assert!(fault.contains("more than") || fault.contains("longer than"), "{fault}");
    }
}

#[test]
fn services_come_before_the_targets_of_bake_files() {
    let service = |name: &str| Described {
        name: name.to_owned(),
        context: "web".to_owned(),
        args: [("A".to_owned(), "1".to_owned())].into(),
        ..Described::default()
    };
    let services = [service("web"), service("job.one")];
    let text = "target \"web\" { args = { B = \"2\" } }\n";
    let files = |text: &str| vec![("docker-bake.hcl".into(), text.to_owned())];
    let found = builds(files(text), &services, &environment()).expect("builds");
    let names: Vec<_> = found.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["web", "job_one"]);
    assert_eq!(found[0].args.len(), 2);
    assert_eq!(found[0].context, "web");
    let text = "group \"default\" { targets = [\"own\"] }\ntarget \"own\" {}\n";
    let found = builds(files(text), &services, &environment()).expect("builds");
    assert_eq!(found.len(), 1, "a group of the bake file wins");
}
