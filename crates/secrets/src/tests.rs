//! The table of texts with and without secrets, and what holds for any text.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::search::rules;
use crate::{Carrier, Finding, scan_build_args, scan_step};

const CASES: &str = include_str!("cases.txt");

/// The rest of a revoked token (see `checksum`), in two parts, so that it is none here.
const REVOKED: [&str; 2] = ["zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17"];

/// Letters that look drawn at random and are the same in every run.
fn drawn(set: &str, count: usize, seed: usize) -> String {
    let letters = match set {
        "hex" => "0123456789abcdef",
        "HEX" => "0123456789ABCDEF",
        "up" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
        "UP" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        "low" => "abcdefghijklmnopqrstuvwxyz",
        "dig" => "0123456789",
        "age" => "ACDEFGHJKLMNPQRSTUVWXYZ023456789",
        "b64" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        "url" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-",
        "b62" | "bad" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        other => panic!("no set is called {other}"),
    };
    let hash = blake3::hash(format!("{set} {seed}").as_bytes());
    let bytes = hash.as_bytes().iter().cycle().enumerate();
    let mut text: String = bytes
        .take(count)
        .map(|(at, byte)| (usize::from(*byte) + at * 7) % letters.len())
        .map(|at| char::from(letters.as_bytes()[at]))
        .collect();
    // The ends of words are where patterns are careful, and `_` and `-` have tests of their own.
    if text.ends_with(['-', '_', '+', '/']) {
        text.replace_range(count - 1.., "Q");
    }
    text
}

fn resolved(text: &str) -> String {
    let mut text = text.replace("⟪gh⟫", &REVOKED.concat());
    let mut seed = text.len();
    while let Some((head, rest)) = text.split_once('⟪') {
        let (word, tail) = rest.split_once('⟫').expect("a word in ⟪⟫ is closed");
        let (set, count) = word.split_once(' ').expect("a set and a number");
        let count = count.parse().expect("a number of letters");
        text = format!("{head}{}{tail}", drawn(set, count, seed));
        seed += 1;
    }
    text
}

fn cases() -> impl Iterator<Item = (&'static str, String)> {
    let lines = CASES
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| {
        let (expected, text) = line.split_once(" <= ").expect("expected <= text");
        (expected, resolved(text))
    })
}

fn told(findings: &[Finding]) -> String {
    let one = |finding: &Finding| {
        let id = finding.rule.id;
        match &finding.carrier {
            Carrier::BuildArgument(name) => format!("{id}@arg:{name}"),
            Carrier::Variable(name) => format!("{id}@env:{name}"),
            Carrier::Label(name) => format!("{id}@label:{name}"),
            Carrier::File(name) => format!("{id}@file:{name}"),
            Carrier::Text => id.to_owned(),
        }
    };
    match findings {
        [] => "-".to_owned(),
        _ => findings.iter().map(one).collect::<Vec<_>>().join(","),
    }
}

#[test]
fn the_table() {
    let wrong = cases().filter_map(|(expected, text)| {
        let found = told(&scan_step(&text));
        (found != expected).then(|| format!("{text}\n  expected {expected}\n  found    {found}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let (none, some): (Vec<_>, Vec<_>) = cases().partition(|(expected, _)| *expected == "-");
    assert!(
        none.len() >= 100 && some.len() >= 100,
        "{} and {}",
        none.len(),
        some.len()
    );
}

#[test]
fn every_rule_has_a_case() {
    let found = cases().flat_map(|(_, text)| scan_step(&text));
    let found: BTreeSet<_> = found.map(|finding| finding.rule.id).collect();
    let missing: Vec<_> = rules().filter(|rule| !found.contains(rule.id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn nothing_shown_tells_a_part_of_the_secret() {
    for (_, text) in cases() {
        for finding in scan_step(&text) {
            assert_tells_nothing(&text, &finding);
        }
    }
}

/// Whatever is shown of a finding shares four letters in a row at most with the secret behind its
/// public beginning.
fn assert_tells_nothing(text: &str, finding: &Finding) {
    if matches!(finding.carrier, Carrier::File(_)) {
        return;
    }
    let whole = &text[finding.span.clone()];
    let start = finding.shown.split('…').next().unwrap_or_default();
    let secret = whole.strip_prefix(start).unwrap_or(whole);
    let parts = secret.as_bytes().windows(5);
    let told = |part: &[u8]| {
        finding
            .shown
            .as_bytes()
            .windows(5)
            .any(|shown| shown == part)
    };
    for part in parts {
        assert!(!told(part), "{} tells {text}", finding.shown);
    }
}

#[test]
fn a_message_names_the_argument_and_its_cure() {
    let step = resolved("RUN |1 NPM_TOKEN=npm_⟪gh⟫ /bin/sh -c npm ci # buildkit");
    let found = scan_step(&step);
    assert_eq!(
        found[0].to_string(),
        "an npm access token in the build argument NPM_TOKEN: npm_… (40 characters)"
    );
    assert_eq!(
        found[0].cure(),
        "use `RUN --mount=type=secret,id=NPM_TOKEN` and read /run/secrets/NPM_TOKEN, given by \
         `docker build --secret id=NPM_TOKEN,env=NPM_TOKEN`"
    );
    let copied = scan_step("COPY id_rsa /root/.ssh/ # buildkit");
    assert!(copied[0].cure().starts_with("name it in .dockerignore; "));
}

#[test]
fn build_arguments() {
    let token = resolved("glpat-⟪b62 20⟫");
    let passphrase = "tr33s and bricks";
    let key = resolved("-----BEGIN EC PRIVATE KEY-----\n⟪b64 64⟫\n⟪b64 64⟫\n");
    let found = scan_build_args([
        ("VERSION", "1.2.3"),
        ("ANY", &token),
        ("DB_PASSWORD", "hunter22"),
        ("NOTE", passphrase),
        ("DEPLOY", &key),
        ("NPM_TOKEN", ""),
        ("\u{1b}[31mTOKEN", "hunter22"),
    ]);
    assert_eq!(
        told(&found),
        "gitlab-token@arg:ANY,secret-value@arg:DB_PASSWORD,private-key@arg:DEPLOY,\
         secret-value@arg:31mTOKEN"
    );
    assert_eq!(found[1].shown, "… (8 characters)");
}

#[test]
fn a_name_that_repeats_its_secret_is_not_shown() {
    let found = scan_step("ENV hunter22x_TOKEN=hunter22x");
    assert_eq!(told(&found), "secret-value");
}

#[test]
fn a_text_full_of_secrets_is_cut_short() {
    let text = resolved("TOKEN=glpat-⟪b62 20⟫ ").repeat(1000);
    assert_eq!(scan_step(&text).len(), 100);
}

#[test]
fn a_long_text_is_read_in_linear_time() {
    // A quadratic search would take hours for these.
    for part in [
        "a",
        "token",
        "curl -u ",
        "docker login ",
        "://a:",
        "A=b ",
        "mysql ",
        "eyJ.",
    ] {
        let text = part.repeat(2_000_000 / part.len());
        assert!(scan_step(&text).is_empty(), "{part}");
    }
}

/// Pieces that steps with secrets are made of.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "RUN ",
        "|2 ",
        "ENV ",
        "ARG ",
        "LABEL ",
        "COPY ",
        "/bin/sh -c ",
        "#(nop) ",
        "TOKEN=",
        "PASSWORD",
        "=",
        ": ",
        "\"",
        "'",
        "\\",
        "\n",
        " ",
        "ghp_",
        "AKIA",
        "https://",
        "user:",
        "@",
        "curl -u ",
        "docker login -p ",
        "mysql -p",
        "--token ",
        "$",
        "${",
        "}",
        "…",
        "é",
        "\u{1b}[m",
        "\0",
        "-----BEGIN PRIVATE KEY-----",
        "sig=",
        "eyJ",
        ".",
        "id_rsa",
        "Authorization: Bearer ",
    ];
    prop_oneof![
        prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        "[A-Za-z0-9+/_-]{1,60}",
        "[A-Z2-7]{16}",
    ]
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = (scan_step(&text), scan_build_args([("TOKEN", text.as_str())]));
        for finding in scan_step(&text) {
            let _ = finding.cure();
        }
    }

    #[test]
    fn no_message_tells_a_secret(pieces in prop::collection::vec(piece(), 0..25)) {
        let text = pieces.concat();
        for finding in scan_step(&text) {
            assert_tells_nothing(&text, &finding);
            let message = format!("{finding} {}", finding.cure());
            prop_assert!(!message.contains(|c: char| c.is_control()));
        }
    }

    #[test]
    fn a_token_is_found_wherever_it_stands(
        before in "[a-z $=:'\"]{0,20}",
        token in "glpat-[A-Z][a-z][0-9][A-Z0-9a-z]{17}",
        after in "[ ;&|'\")][a-z ]{0,20}",
    ) {
        prop_assume!(!before.ends_with(|c: char| c.is_ascii_alphabetic()));
        prop_assume!(super::value::is_random(&token["glpat-".len()..]));
        let text = format!("{before}{token}{after}");
        let found = scan_step(&text);
        prop_assert!(found.iter().any(|found| found.rule.id == "gitlab-token"), "{}", text);
    }
}
