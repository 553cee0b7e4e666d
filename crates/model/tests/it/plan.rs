//! Plans, keys and differences: what changes a key, what does not, and what is said about it.

use larder_model::dockerfile::{BuildOptions, NamedContext, Platform, parse};
use larder_model::fingerprint::Fingerprint;
use larder_model::identity::{BaseIdentity, InheritedConfig};
use larder_model::plan::Plan;
use larder_model::plan::diff::diff;
use larder_model::plan::key::Key;
use larder_model::plan::near::run_again;
use larder_model::reference::ImageReference;

fn identity(chain: &str) -> BaseIdentity {
    BaseIdentity::of(chain, &InheritedConfig::default())
}

const FILE: &str = "\
# syntax=docker/dockerfile:1
ARG RUBY=3.3
FROM node:20 AS assets
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci
COPY . .
RUN npm run build

FROM ruby:$RUBY AS test
RUN rake test

FROM ruby:$RUBY AS app
ARG REVISION
COPY Gemfile Gemfile.lock ./
RUN --mount=type=cache,target=/cache bundle install && \\
    rm -rf tmp
COPY --from=assets --chown=1000 /src/dist /app/public
COPY --from=busybox:1 /bin/sh /sh
CMD [\"rails\", \"server\"]
";

/// A plan under construction.
struct Build {
    file: String,
    options: BuildOptions,
    identities: Vec<(&'static str, &'static str)>,
    extras: Vec<(&'static str, &'static str)>,
}

fn build(file: &str) -> Build {
    Build {
        file: file.to_owned(),
        options: BuildOptions::default(),
        identities: vec![("ruby", "aaaa"), ("node", "bbbb"), ("busybox", "cccc")],
        extras: vec![("Gemfile.lock", "rails 7")],
    }
}

impl Build {
    fn change(mut self, from: &str, to: &str) -> Self {
        assert!(self.file.contains(from), "{from:?} is not in the file");
        self.file = self.file.replace(from, to);
        self
    }

    fn arg(mut self, name: &str, value: &str) -> Self {
        self.options
            .build_args
            .insert(name.to_owned(), value.to_owned());
        self
    }

    fn target(mut self, name: &str) -> Self {
        self.options.target = Some(name.to_owned());
        self
    }

    fn platform(mut self, architecture: &str) -> Self {
        self.options.target_platform = Some(Platform::new("linux", architecture));
        self
    }

    fn context(mut self, name: &str, value: &str) -> Self {
        self.options
            .contexts
            .insert(name.to_owned(), NamedContext::parse(value));
        self
    }

    fn base(mut self, name: &'static str, identity: &'static str) -> Self {
        self.identities.insert(0, (name, identity));
        self
    }

    fn extra(mut self, path: &'static str, content: &'static str) -> Self {
        self.extras.retain(|(known, _)| *known != path);
        self.extras.push((path, content));
        self
    }

    fn plan(&self) -> Plan {
        let file = parse(self.file.as_bytes()).expect("the test's file is well formed");
        let bases = file.bases(&self.options).expect("the test's options fit");
        let mut plan = Plan::new(&bases, &self.options);
        for image in &mut plan.images {
            let name = image.reference.familiar();
            let mut known = self.identities.iter();
            let known = known.find(|(prefix, _)| name.starts_with(prefix));
            image.identity = known.map(|(_, chain)| identity(chain));
        }
        for (path, content) in &self.extras {
            let fingerprint = Fingerprint::of(content.as_bytes());
            plan.extras.insert((*path).to_owned(), fingerprint);
        }
        plan
    }

    fn key(&self) -> String {
        Key::of(&self.plan()).text("shop")
    }

    fn said(&self, former: &Build) -> Vec<String> {
        let diff = diff(&former.plan(), &self.plan());
        let changes = diff.changes.iter().map(ToString::to_string);
        changes
            .chain(diff.rebuilt.iter().map(ToString::to_string))
            .collect()
    }
}

#[test]
fn the_key_of_a_plan_is_what_it_always_was() {
    // A changed key throws away every cache there is: change it with the version in its text.
    let expected =
        "larder1-shop-8065740abbdd5595-5a1b1f312286824d-26e361f98c6e6caf9391e20a1b18187c";
    assert_eq!(build(FILE).key(), expected);
}

#[test]
fn what_builds_the_same_has_the_same_key() {
    let key = build(FILE).key();
    let same = [
        (
            "a comment",
            build(FILE).change("WORKDIR /src", "# where\nWORKDIR /src"),
        ),
        (
            "empty lines",
            build(FILE).change("RUN npm ci\n", "\n\nRUN npm ci\n\n"),
        ),
        ("line ends", build(FILE).change("\n", "\r\n")),
        (
            "a keyword's case",
            build(FILE).change("COPY . .", "copy . ."),
        ),
        (
            "indentation",
            build(FILE).change("WORKDIR /src", "  WORKDIR /src"),
        ),
        (
            "blanks between words",
            build(FILE).change("COPY . .", "COPY  .\t."),
        ),
        (
            "a line break",
            build(FILE).change(" && \\\n    rm", " && rm"),
        ),
        (
            "JSON form of paths",
            build(FILE).change("COPY . .", "COPY [\".\", \".\"]"),
        ),
        (
            "the order of flags",
            build(FILE).change("--from=assets --chown=1000", "--chown=1000 --from=assets"),
        ),
        (
            "the order of a mount's options",
            build(FILE).change("type=cache,target=/cache", "target=/cache,type=cache"),
        ),
        ("a stage's name", build(FILE).change("assets", "frontend")),
        (
            "a stage by number",
            build(FILE).change("--from=assets", "--from=0"),
        ),
        (
            "an unreached stage",
            build(FILE).change("rake test", "rake test:all"),
        ),
        (
            "an unreached stage more",
            build(FILE).change("FROM node", "FROM alpine AS x\nFROM node"),
        ),
        ("an unused argument", build(FILE).arg("DEBUG", "1")),
        ("the default as an argument", build(FILE).arg("RUBY", "3.3")),
        ("another tag of one image", build(FILE).arg("RUBY", "3.3.1")),
        (
            "the escape character",
            build(&format!("# escape=`\n{FILE}")).change("\\\n", "`\n"),
        ),
        (
            "an unused context",
            build(FILE).context("other", "docker-image://alpine"),
        ),
        ("the target by name", build(FILE).target("APP")),
    ];
    for (what, build) in same {
        assert_eq!(build.key(), key, "{what} changed the key");
    }
}

#[test]
fn what_may_build_something_else_has_another_key() {
    let original = build(FILE).key();
    let others = [
        ("a command", build(FILE).change("npm ci", "npm install")),
        ("a path", build(FILE).change("COPY . .", "COPY . /src")),
        ("a flag", build(FILE).change("--chown=1000", "--chown=1001")),
        (
            "shell for exec form",
            build(FILE).change("[\"rails\", \"server\"]", "rails server"),
        ),
        (
            "the order of instructions",
            build(FILE)
                .change("WORKDIR /src\n", "")
                .change("RUN npm ci", "RUN npm ci\nWORKDIR /src"),
        ),
        (
            "where files come from",
            build(FILE).change("--from=assets", "--from=busybox:1"),
        ),
        (
            "a context's files for an image's",
            build(FILE).change("--from=busybox:1 ", ""),
        ),
        ("a declared argument", build(FILE).arg("REVISION", "1")),
        ("another value of it", build(FILE).arg("REVISION", "2")),
        ("a moved base", build(FILE).base("ruby", "dddd")),
        (
            "a moved image that is copied from",
            build(FILE).base("busybox", "dddd"),
        ),
        ("a moved front end", build(FILE).base("docker", "dddd")),
        ("a lock file", build(FILE).extra("Gemfile.lock", "rails 8")),
        ("a file more", build(FILE).extra("yarn.lock", "")),
        ("the platform", build(FILE).platform("arm64")),
        ("the target", build(FILE).target("test")),
        (
            "a context that is used",
            build(FILE).context("assets", "../dist"),
        ),
        (
            "the time of everything",
            build(FILE).arg("SOURCE_DATE_EPOCH", "0"),
        ),
        (
            "blanks within quotes",
            build(FILE).change("npm run build", "npm run ' build'"),
        ),
        (
            "a mount from nothing for one from the context",
            build(FILE).change("type=cache,", "from=scratch,"),
        ),
    ];
    let mut keys = vec![original];
    for (what, build) in others {
        let key = build.key();
        assert!(!keys.contains(&key), "{what} did not change the key");
        keys.push(key);
    }
}

#[test]
fn the_ladder_goes_from_the_exact_key_to_the_project() {
    let ladder = |build: &Build| Key::of(&build.plan()).ladder("my-shop");
    let original = ladder(&build(FILE));
    let [exact, without_extras, bases, project] = original.as_slice() else {
        panic!("a ladder has four rungs: {original:?}");
    };
    assert_eq!(project, "larder1-my_shop-");
    assert!(exact.starts_with(without_extras.as_str()));
    assert!(without_extras.starts_with(bases.as_str()));
    assert!(bases.starts_with(project.as_str()));
    let lock = ladder(&build(FILE).extra("Gemfile.lock", "rails 8"));
    assert_eq!(lock[1..], original[1..]);
    let command = ladder(&build(FILE).change("npm ci", "npm install"));
    assert_eq!(command[2..], original[2..]);
    assert_ne!(command[1], original[1]);
    let base = ladder(&build(FILE).base("ruby", "dddd"));
    assert_eq!(base[3..], original[3..]);
    assert_ne!(base[2], original[2]);
}

#[test]
fn a_plan_reads_back_from_json_and_shows_no_value() {
    let plan = build(FILE).arg("REVISION", "s3cret").plan();
    let json = serde_json::to_string(&plan).expect("a plan can be written");
    let read: Plan = serde_json::from_str(&json).expect("a plan can be read");
    assert_eq!(read, plan);
    assert_eq!(Key::of(&read), Key::of(&plan));
    assert!(!json.contains("s3cret"), "{json}");
    assert!(!format!("{plan:?}").contains("s3cret"));
}

#[test]
fn a_plan_of_another_version_is_not_read() {
    let mut json = serde_json::to_value(build(FILE).plan()).expect("a plan can be written");
    json["version"] = 2.into();
    let error = serde_json::from_value::<Plan>(json).expect_err("another version");
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn a_plan_lists_its_images_with_their_uses() {
    let json = serde_json::to_value(build(FILE).plan()).expect("a plan can be written");
    let busybox = &json["images"][3];
    assert_eq!(busybox["reference"], "docker.io/library/busybox:1");
    assert_eq!(busybox["platform"], "linux/amd64");
    assert_eq!(busybox["reached"], true);
    assert_eq!(busybox["identity"], identity("cccc").to_string());
    assert!(busybox["digests"]["manifest"].is_null());
    let site = &busybox["uses"][0];
    assert_eq!(
        (&site["kind"], &site["stage"]),
        (&"copy".into(), &"app".into())
    );
    assert_eq!((&site["line"], &site["column"]), (&19.into(), &13.into()));
}

#[test]
fn nothing_is_said_about_equal_plans() {
    let other = build(FILE)
        .change("COPY . .", "copy  . .")
        .change("rake test", "rake");
    assert_eq!(other.said(&build(FILE)), Vec::<String>::new());
}

#[test]
fn a_moved_base_rebuilds_its_stage_and_those_that_copy_from_it() {
    let said = build(FILE).base("node", "dddd").said(&build(FILE));
    let (old, new) = (identity("bbbb"), identity("dddd"));
    let moved = format!(
        "base image docker.io/library/node:20 (linux/amd64) moved: {old:.12} -> {new:.12}, used by assets"
    );
    let expected = [
        moved.as_str(),
        "stage assets is rebuilt from line 3",
        "stage app is rebuilt from line 18",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_changed_instruction_rebuilds_what_follows() {
    let said = build(FILE)
        .change("npm run build", "npm run dist")
        .said(&build(FILE));
    let expected = [
        "line 8: RUN in stage assets changed",
        "stage assets is rebuilt from line 8",
        "stage app is rebuilt from line 18",
    ];
    assert_eq!(said, expected);
}

#[test]
fn instructions_come_and_go() {
    let with = build(FILE).change("RUN npm ci", "ENV A=b\nRUN npm ci");
    let added = with.said(&build(FILE));
    assert_eq!(added[0], "line 6: ENV in stage assets was added");
    let removed = build(FILE).said(&with);
    assert_eq!(removed[0], "line 6: ENV in stage assets was removed");
    assert_eq!(removed[1], "stage assets is rebuilt from line 6");
}

#[test]
fn an_argument_rebuilds_from_where_it_is_declared() {
    let said = build(FILE)
        .arg("REVISION", "2")
        .said(&build(FILE).arg("REVISION", "1"));
    let expected = [
        "build argument REVISION changed, used by app",
        "stage app is rebuilt from line 14",
    ];
    assert_eq!(said, expected);
    let added = build(FILE).arg("REVISION", "1").said(&build(FILE));
    assert_eq!(added[0], "build argument REVISION was added, used by app");
}

#[test]
fn an_extra_file_rebuilds_from_where_it_may_be_read() {
    let said = build(FILE)
        .extra("Gemfile.lock", "rails 8")
        .said(&build(FILE));
    let expected = [
        "file Gemfile.lock changed, read by assets, app",
        "stage assets is rebuilt from line 7",
        "stage app is rebuilt from line 15",
    ];
    assert_eq!(said, expected);
}

#[test]
fn another_base_is_said_with_both_names() {
    let said = build(FILE)
        .change("FROM ruby:$RUBY AS app", "FROM jruby AS app")
        .said(&build(FILE));
    let expected = [
        "line 13: stage app starts from docker.io/library/jruby:latest, it was docker.io/library/ruby:3.3",
        "stage app is rebuilt from line 13",
    ];
    assert_eq!(said, expected);
}

#[test]
fn stages_come_and_go() {
    let with = build(FILE).change(
        "COPY --from=busybox:1",
        "COPY --from=test /coverage /c\nCOPY --from=busybox:1",
    );
    let said = with.said(&build(FILE));
    let expected = [
        "line 10: stage test was added",
        "line 19: COPY in stage app was added",
        "stage test is rebuilt from line 10",
        "stage app is rebuilt from line 19",
    ];
    assert_eq!(said, expected);
    assert_eq!(
        build(FILE).said(&with)[0],
        "line 10: stage test was removed"
    );
}

#[test]
fn another_platform_rebuilds_everything() {
    let said = build(FILE).platform("arm64").said(&build(FILE));
    assert_eq!(
        said[0],
        "the build is for linux/arm64, it was for linux/amd64"
    );
    assert!(
        said.contains(&"stage assets is rebuilt from line 3".to_owned()),
        "{said:?}"
    );
}

#[test]
fn an_image_that_was_not_resolved_has_not_moved() {
    let mut offline = build(FILE);
    offline.identities.clear();
    assert_eq!(offline.said(&build(FILE)), Vec::<String>::new());
    assert_eq!(build(FILE).said(&offline), Vec::<String>::new());
}

#[test]
fn triggers_that_one_side_could_not_know_are_no_change() {
    let node = ImageReference::parse("docker.io/library/node:20").expect("a name");
    let config = InheritedConfig {
        onbuild: vec!["COPY --from=busybox:1 /bin/sh /bin/sh".to_owned()],
        ..InheritedConfig::default()
    };
    let mut online = build(FILE).target("assets");
    let platform = online.options.platform().clone();
    let configs = &mut online.options.image_configs;
    configs.insert((node, platform), config);
    let mut offline = build(FILE).target("assets");
    offline.identities.clear();
    assert_eq!(online.plan().stages[0].steps[0].keyword, "COPY");
    assert_eq!(offline.said(&online), Vec::<String>::new());
    assert_eq!(online.said(&offline), Vec::<String>::new());
    let without = build(FILE).target("assets");
    let removed = without.said(&online);
    assert_eq!(removed[0], "line 3: COPY in stage assets was removed");
}

#[test]
fn what_is_nearer_runs_fewer_instructions_again() {
    let again = |former: &Build, now: &Build| run_again(Some(&former.plan()), &now.plan());
    let same = build(FILE);
    assert_eq!(again(&same, &same), 0);
    let all = run_again(None, &same.plan());
    let late = build(FILE).change("CMD [\"rails\", \"server\"]", "CMD [\"rails\"]");
    let early = build(FILE).change("npm ci", "npm install");
    let other = build(FILE).change("FROM ruby:$RUBY AS app", "FROM debian:12 AS app");
    assert_eq!(again(&same, &late), 1);
    let counts = [&late, &early, &other].map(|now| again(&same, now));
    assert!(
        counts.is_sorted() && counts[2] <= all,
        "{counts:?} of {all}"
    );
    assert!(counts[0] < counts[1]);
}
