//! What holds for any Dockerfile and any reference.

use larder_model::dockerfile::{BuildOptions, Platform, parse};
use larder_model::plan::Plan;
use larder_model::plan::key::Key;
use larder_model::reference::ImageReference;
use proptest::prelude::*;

/// Pieces that Dockerfiles are made of, well put together or not.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "FROM ",
        "ARG ",
        "RUN ",
        "COPY ",
        "ADD ",
        "ENV ",
        "EXPOSE ",
        "ONBUILD ",
        "HEALTHCHECK ",
        "VOLUME ",
        "SHELL ",
        "LABEL ",
        "USER ",
        "STOPSIGNAL ",
        "# syntax=a\n",
        "# escape=`\n",
        "\n",
        "\r\n",
        " ",
        "\t",
        "\\\n",
        "`\n",
        "alpine",
        "alpine:3 AS a",
        "a",
        "scratch",
        "0",
        "V=x",
        "$V",
        "${V",
        "}",
        ":-",
        "#",
        "%%*",
        "/",
        "//",
        "'",
        "\"",
        "\\",
        "<<EOF",
        "\nEOF\n",
        "<<-",
        "--from=",
        "--mount=",
        "from=a,",
        "target=/t",
        "type=cache",
        "--platform=",
        "linux/arm64",
        "[\"a\", ",
        "\"b\"]",
        "--chmod=",
        "u+x",
        "CMD",
        "NONE",
        "80",
        "-",
        "é",
        "\u{feff}",
        "\0",
    ])
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(file) = parse(&bytes) {
            let _ = file.bases(&BuildOptions::default());
        }
    }

    #[test]
    fn no_pieces_make_the_front_end_panic(pieces in prop::collection::vec(piece(), 0..60)) {
        if let Ok(file) = parse(pieces.concat().as_bytes()) {
            let options = BuildOptions::default();
            if let Ok(bases) = file.bases(&options) {
                let plan = Plan::new(&bases, &options);
                prop_assert_eq!(Key::of(&plan), Key::of(&plan.clone()));
            }
        }
    }

    #[test]
    fn an_error_points_into_the_file(pieces in prop::collection::vec(piece(), 1..40)) {
        let text = format!("FROM a\n{}", pieces.concat());
        let outcome = parse(text.as_bytes()).and_then(|file| file.bases(&BuildOptions::default()));
        if let Err(error) = outcome {
            prop_assert!(error.line as usize <= text.split('\n').count());
            prop_assert!(!error.message.is_empty());
        }
    }

    #[test]
    fn comments_and_line_ends_change_no_key(lines in prop::collection::vec("[a-z][a-z ]{0,12}", 1..8)) {
        let commands = lines.iter().map(|line| format!("RUN {line}\n"));
        let plain: String = std::iter::once("FROM a\n".to_owned()).chain(commands).collect();
        let dressed = plain.replace('\n', "\r\n\r\n# note\r\n").replace("RUN ", " run \\\r\n  ");
        prop_assert_eq!(key(&plain), key(&dressed));
    }

    #[test]
    fn a_reference_is_its_own_normal_form(
        text in "([a-zA-Z]{1,4}(\\.[a-z]{2})?(:[0-9]{2})?/)?[a-z]{1,3}([._-][a-z])?(/[a-z]{1,3})?(:[a-zA-Z0-9_.-]{1,5})?"
    ) {
        if let Ok(reference) = ImageReference::parse(&text) {
            let full = reference.to_string();
            prop_assert_eq!(&ImageReference::parse(&full).expect("a normal form is a reference"), &reference);
            let short = reference.familiar();
            prop_assert_eq!(&ImageReference::parse(&short).expect("a familiar form is a reference"), &reference);
            prop_assert!(short.len() <= full.len());
        }
    }

    #[test]
    fn a_platform_is_its_own_normal_form(text in "(linux|windows(\\([0-9.%a]{0,5}\\))?|macos|[a-z]{1,3})(/[a-zA-Z0-9_]{1,7}){0,2}") {
        let host = Platform::new("linux", "amd64");
        if let Ok(platform) = Platform::parse(&text, &host) {
            let again = Platform::parse(&platform.to_string(), &host);
            prop_assert_eq!(again.expect("a normal form is a platform"), platform);
        }
    }
}

fn key(text: &str) -> String {
    let file = parse(text.as_bytes()).expect("plain commands are well formed");
    let options = BuildOptions::default();
    let bases = file.bases(&options).expect("plain commands need nothing");
    Key::of(&Plan::new(&bases, &options)).text("p")
}
