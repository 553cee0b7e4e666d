//! The pages about CI systems show what is proposed, as it is.

use std::fs;
use std::path::Path;

use larder_ci::init::{System, propose};

const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ci");

/// The first block of code of a page.
fn example(page: &str) -> &str {
    let (_, block) = page.split_once("\n```").expect("a block of code");
    let (_, block) = block.split_once('\n').expect("a line that begins it");
    let (block, _) = block.split_once("```").expect("its end");
    block
}

#[test]
fn each_system_has_a_page_with_what_init_writes() {
    let repository = tempfile::tempdir().expect("a folder");
    fs::write(repository.path().join("Dockerfile"), "FROM scratch\n").expect("written");
    for system in System::ALL {
        let file = Path::new(PAGES).join(format!("{system}.md"));
        let page = fs::read_to_string(&file);
        let page = page.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let proposal = propose(repository.path(), Some(system), None);
        assert_eq!(example(&page), proposal.text, "{}", file.display());
        let place = format!("`{}`", proposal.file.display());
        assert!(page.contains(&place), "{} names {place}", file.display());
    }
    let pages = fs::read_dir(PAGES).expect("listed").count();
    assert_eq!(pages, System::ALL.len());
}
