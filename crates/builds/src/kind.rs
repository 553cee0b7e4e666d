//! What a file is that describes builds, told by how it begins where its name does not say it.

use crate::tool::{BAKE, COMPOSE, Tool};

/// The tool that a text is for whose name does not say it. No instruction of a Dockerfile ends with a colon, as the
/// first key of a compose file does, or is called as the blocks of a bake file are.
pub(crate) fn tool_of_text(text: &[u8]) -> Option<Tool> {
    let line = first_line(text)?;
    let word = line.split([' ', '\t']).next().unwrap_or_default();
    match word {
        "---" => Some(COMPOSE),
        key if key.strip_suffix(':').is_some_and(is_plain) => Some(COMPOSE),
        "group" | "target" | "variable" | "function" if line.contains('"') => Some(BAKE),
        _ => None,
    }
}

fn is_plain(key: &str) -> bool {
    key.chars()
        .all(|c| c.is_alphanumeric() || "_-.\"'".contains(c))
}

/// Whether a text that is called as compose files are is a Dockerfile.
pub(crate) fn is_dockerfile(text: &[u8]) -> bool {
    let word = first_line(text).and_then(|line| Some(line.split_once([' ', '\t'])?.0.to_owned()));
    word.is_some_and(|word| ["from", "arg"].contains(&word.to_lowercase().as_str()))
}

/// The first line that is no comment.
fn first_line(text: &[u8]) -> Option<String> {
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_start_matches('\u{feff}').trim();
        let is_comment = line.starts_with('#') || line.starts_with("//");
        (!line.is_empty() && !is_comment).then(|| line.to_owned())
    })
}

/// Whether it is what `docker build -` takes for a packed folder: gzip, bzip2, xz, or tar itself (buildx
/// `build/utils.go`, `isArchive`).
pub(crate) fn is_archive(text: &[u8]) -> bool {
    const PACKED: [&[u8]; 3] = [
        &[0x1f, 0x8b, 0x08],
        b"BZh",
        &[0xfd, b'7', b'z', b'X', b'Z', 0],
    ];
    PACKED.iter().any(|magic| text.starts_with(magic))
        || text.get(257..262).is_some_and(|magic| magic == b"ustar")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_what_it_is() {
        for (text, tool) in [
            ("# Ours.\n\nservices:\n  a: {}\n", Some(COMPOSE)),
            ("\u{feff}---\nname: x\n", Some(COMPOSE)),
            ("\"x-args\": &a { A: b }\n", Some(COMPOSE)),
            ("// Ours.\ntarget \"a\" {\n", Some(BAKE)),
            ("FROM a\n", None),
            ("from a:b AS c:\n", None),
            ("root:x:0:0:root:/root:\n", None),
            ("", None),
        ] {
            assert_eq!(tool_of_text(text.as_bytes()), tool, "{text:?}");
        }
        assert!(is_dockerfile(b"# syntax=x\narg V\n") && !is_dockerfile(b"from: a\n"));
        assert!(is_archive(&[0x1f, 0x8b, 0x08, 0]) && !is_archive(b"FROM a"));
    }
}
