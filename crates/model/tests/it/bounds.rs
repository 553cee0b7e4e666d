//! Files that no build was meant to read: each ends in an error, soon.

use std::fmt::Write as _;

use larder_model::dockerfile::{BuildOptions, DockerfileError, parse};

fn refused(file: &str) -> DockerfileError {
    let parsed = parse(file.as_bytes());
    let bases = parsed.and_then(|parsed| parsed.bases(&BuildOptions::default()));
    bases.map(drop).expect_err("it is refused")
}

#[test]
fn arguments_that_double_each_other_fill_no_machine() {
    for (first, instruction, last) in [
        ("", "ARG", "FROM b\n"),
        ("FROM a\n", "ARG", ""),
        ("FROM a\n", "ENV", ""),
    ] {
        let mut file = format!("{first}{instruction} A=aaaaaaaa\n");
        for _ in 0..60 {
            writeln!(file, "{instruction} A=$A$A").expect("text");
        }
        file.push_str(last);
        let error = refused(&file);
        assert!(error.message.contains("1048576"), "{error}");
        assert!(error.line > 1, "{error}");
    }
}

#[test]
fn a_pattern_makes_no_more_than_a_substitution_may() {
    let value = "a".repeat(30_000);
    let file = format!("ARG A={value}\nFROM b:${{A//a/{}}}\n", "x".repeat(30_000));
    assert!(refused(&file).message.contains("1048576"));
    let file = format!("ARG A={value}\nARG B=$A$A$A\nFROM b:${{B#*b}}\n");
    assert!(refused(&file).message.contains("65536"));
}

#[test]
fn text_of_another_encoding_is_named() {
    let utf16 = [0xff, 0xfe]
        .into_iter()
        .chain("FROM a\n".encode_utf16().flat_map(u16::to_le_bytes));
    let error = parse(&utf16.collect::<Vec<u8>>()).expect_err("it is no UTF-8");
    assert!(error.to_string().contains("UTF-16"), "{error}");
}

#[test]
fn a_circle_names_what_closes_it() {
    let error = refused("FROM a AS x\nCOPY --from=y / /\nFROM b AS y\nCOPY --from=x / /\n");
    assert_eq!((error.line, error.value.as_str()), (4, "from=x"));
}
