//! The table of Dockerfiles: what each names, or why it is refused.
//!
//! A case in `cases/*.txt` is a title behind `### `, options behind `@`, the Dockerfile, and what is
//! expected: lines behind `=> ` for images (`reference platform kind@line:column…`, `~` before a use
//! that the target does not reach), or one line behind `!! ` with the error. Words in `⟪⟫` stand for
//! what an editor would not show.

use larder_model::dockerfile::{
    Bases, BuildOptions, ImageUse, NamedContext, Platform, UseKind, parse,
};
use larder_model::identity::environment;
use larder_model::reference::ImageReference;

const TABLES: [(&str, &str); 10] = [
    ("contexts", include_str!("cases/contexts.txt")),
    ("expand", include_str!("cases/expand.txt")),
    ("from", include_str!("cases/from.txt")),
    ("front_end", include_str!("cases/front_end.txt")),
    ("images", include_str!("cases/images.txt")),
    ("instructions", include_str!("cases/instructions.txt")),
    ("lexing", include_str!("cases/lexing.txt")),
    ("reference", include_str!("cases/reference.txt")),
    ("stages", include_str!("cases/stages.txt")),
    ("unknown", include_str!("cases/unknown.txt")),
];

struct Case<'a> {
    title: &'a str,
    options: BuildOptions,
    file: Vec<u8>,
    expected: Vec<&'a str>,
}

impl<'a> Case<'a> {
    fn read(block: &'a str) -> Self {
        let mut lines = block.lines();
        let title = lines.next().expect("a case starts with its title");
        let mut options = BuildOptions::default();
        let (mut text, mut expected) = (String::new(), Vec::new());
        for line in lines {
            if line.starts_with("=> ") || line.starts_with("!! ") {
                expected.push(line);
            } else if expected.is_empty() {
                match line.strip_prefix('@').filter(|_| text.is_empty()) {
                    Some(option) => set(&mut options, option),
                    None => text.extend([line, "\n"]),
                }
            }
        }
        let file = resolved(&text);
        Self {
            title,
            options,
            file,
            expected,
        }
    }

    fn outcome(&self) -> Vec<String> {
        match parse(&self.file).and_then(|file| file.bases(&self.options)) {
            Ok(bases) if bases.images.is_empty() => vec!["=> nothing".to_owned()],
            Ok(bases) => shown(&bases),
            Err(error) => vec![format!("!! {error}")],
        }
    }
}

fn set(options: &mut BuildOptions, option: &str) {
    let (name, value) = option.split_once(' ').expect("an option has a value");
    let platform = || {
        let host = Platform::new("linux", "amd64");
        Platform::parse(value, &host).expect("a case's platform is one")
    };
    let pair = || {
        value
            .split_once('=')
            .expect("an option of this name is a pair")
    };
    match name {
        "target" => options.target = Some(value.to_owned()),
        "platform" => options.target_platform = Some(platform()),
        "build-platform" => options.build_platform = platform(),
        "arg" => {
            let (key, value) = pair();
            options.build_args.insert(key.to_owned(), value.to_owned());
        }
        "context" => {
            let (key, value) = pair();
            options
                .contexts
                .insert(key.to_owned(), NamedContext::parse(value));
        }
        "image" => {
            let (name, fact) = value
                .split_once(' ')
                .expect("something is known of the image");
            let reference = ImageReference::parse(name).expect("a case's image is one");
            let key = (reference.or_latest(), Platform::new("linux", "amd64"));
            let config = options.image_configs.entry(key).or_default();
            match fact.split_once(' ') {
                Some(("ENV", pair)) => config.env.extend(environment([pair])),
                Some(("WORKDIR", path)) => path.clone_into(&mut config.workdir),
                Some(("ONBUILD", text)) => config.onbuild.push(text.to_owned()),
                _ => panic!("nothing known of an image is called {fact}"),
            }
        }
        other => panic!("no option is called {other}"),
    }
}

fn resolved(text: &str) -> Vec<u8> {
    let mut text = text.to_owned();
    if text.contains("⟪EMPTY⟫") {
        return Vec::new();
    }
    if text.contains("⟪NOEOL⟫") {
        text.truncate(text.trim_end().len());
    }
    for (word, meaning) in [
        ("⟪TAB⟫", "\t"),
        ("⟪VT⟫", "\x0b"),
        ("⟪NBSP⟫", "\u{a0}"),
        ("⟪CR⟫", "\r"),
        ("⟪SP⟫", " "),
        ("⟪BOM⟫", "\u{feff}"),
        ("⟪NOEOL⟫", ""),
        ("⟪KELVIN⟫", "\u{212a}"),
        ("⟪LONGS⟫", "\u{17f}"),
        (
            "⟪NEST⟫",
            &format!("{}x{}", "${a:-".repeat(150), "}".repeat(150)),
        ),
    ] {
        text = text.replace(word, meaning);
    }
    while let Some((head, rest)) = text.split_once("⟪A") {
        let (count, tail) = rest.split_once('⟫').expect("a word in ⟪⟫ is closed");
        let count = count.parse().expect("⟪A…⟫ holds a number");
        text = format!("{head}{}{tail}", "a".repeat(count));
    }
    match text.split_once("⟪FF⟫") {
        Some((head, tail)) => [head.as_bytes(), b"\xff", tail.as_bytes()].concat(),
        None => text.into_bytes(),
    }
}

fn shown(bases: &Bases) -> Vec<String> {
    let site = |site: &ImageUse| {
        let kind = match site.kind {
            UseKind::From => "from",
            UseKind::Copy => "copy",
            UseKind::Mount => "mount",
            UseKind::Syntax => "syntax",
        };
        let mark = if site.reached { "" } else { "~" };
        format!(" {mark}{kind}@{}:{}", site.line, site.column)
    };
    let images = bases.images.iter().map(|image| {
        let uses: String = image.uses.iter().map(site).collect();
        assert_eq!(image.reached, image.uses.iter().any(|site| site.reached));
        format!("=> {} {}{uses}", image.reference, image.platform)
    });
    images.collect()
}

#[test]
fn every_case_gives_what_is_expected() {
    let mut failures = Vec::new();
    let mut count = 0;
    for (table, text) in TABLES {
        for block in text.split("### ").skip(1) {
            let case = Case::read(block);
            let outcome = case.outcome();
            count += 1;
            // An error may hold a line feed of the file's, which the table cannot.
            let outcome: Vec<&str> = outcome
                .iter()
                .map(|line| line.lines().next().unwrap_or(""))
                .collect();
            if outcome != case.expected {
                let (title, expected) = (case.title, &case.expected);
                failures.push(format!(
                    "{table}: {title}\n  expected {expected:#?}\n  got {outcome:#?}"
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count >= 500, "only {count} cases were read");
}
