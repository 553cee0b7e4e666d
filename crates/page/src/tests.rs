//! The page as a whole.

use larder_session::facts::Job;

use crate::{Course, Page, Row, growth};

/// A job's report as `--json` has it, with a step of this name.
fn job(step: &str) -> Course {
    let name = serde_json::to_string(step).expect("a text");
    let text = format!(
        r#"{{"store": "file:///s", "started_ms": 1000, "lineage": {{"project": "p", "compatibility": "c", "scope":
        "branch/main", "job": "build"}}, "engine": {{"shape": "private", "reason": "asked for", "socket": "/s",
        "version": "26.1.5", "api_version": "1.45", "oldest_api_version": null, "storage_driver": "overlay2",
        "containerd_version": "1.7.24", "image_store": "overlay2", "cgroup_version": "2", "cgroup_driver": "systemd"}},
        "volume": {{"bytes": 1, "direct_io": true}}, "restored": null, "saved": null, "not_saved": {{"because":
        "a <b>"}}, "moved": [], "builds": [{{"steps": 3, "cached_steps": 1, "ms": 900, "started_ms": 1200, "course":
        [{{"name": {name}, "started_ms": 1300, "ms": 600, "cached": false}},
        {{"name": "[2/3] COPY . .", "started_ms": 1250, "ms": 0, "cached": true}}]}}],
        "fetched": {{"requests": 1, "bytes": 2048, "blocks_read": 3}},
        "phases": [{{"name": "find", "at_ms": 0, "ms": 150}}, {{"name": "command", "at_ms": 150, "ms": 900}},
        {{"name": "quiesce", "at_ms": 1050, "ms": 100}}],
        "traffic": [{{"at_ms": 0, "fetched_bytes": 0, "stored_bytes": 0}},
        {{"at_ms": 1150, "fetched_bytes": 2048, "stored_bytes": 4096}}], "warnings": []}}"#
    );
    let job: Job = serde_json::from_str(&text).expect("a job");
    job.into()
}

fn rows() -> Vec<Row> {
    let row = |number: u64| Row {
        id: format!("{number:064}"),
        created_ms: 1_790_000_000_000 + number * 60_000,
        steps: Some(10),
        cached_steps: Some(number),
        build_ms: Some(40_000 - number * 1000),
        cold_build_ms: Some(42_000),
        larder_ms: Some(2000),
        fetched_bytes: Some(number << 20),
        stored_bytes: 5 << 20,
        state_bytes: 1 << 30,
    };
    (0..10).map(row).collect()
}

fn page(title: &str, job: Option<&Course>, rows: &[Row]) -> String {
    let page = Page {
        title: title.to_owned(),
        made_ms: 1_790_000_000_000,
        job,
        rows,
        growth: &growth([(1, 10), (3, 20), (2, 5)]),
    };
    page.html()
}

/// Whether each element that is opened is closed, in order.
fn is_balanced(html: &str) -> bool {
    const VOID: [&str; 1] = ["meta"];
    let mut open = Vec::new();
    for tag in html.split('<').skip(1) {
        let (inside, _) = tag.split_once('>').expect("a tag ends");
        let name = inside.split([' ', '/']).find(|name| !name.is_empty());
        let name = name.expect("a tag has a name");
        if inside.starts_with('/') {
            if open.pop() != Some(name) {
                return false;
            }
        } else if !inside.starts_with('!') && !inside.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    open.is_empty()
}

#[test]
fn what_others_wrote_is_text() {
    let hostile = "RUN </text></svg><script>alert(1)</script> \" ' & \u{202e}x\u{1b}[1m";
    let html = page(hostile, Some(&job(hostile)), &rows());
    assert!(is_balanced(&html), "{html}");
    assert!(
        !html.contains("<script") && !html.contains("alert(1)</s"),
        "{html}"
    );
    assert!(!html.contains(['\u{202e}', '\u{1b}']), "{html}");
    assert!(
        html.contains("RUN &lt;/text&gt;&lt;/svg&gt;&lt;script&gt;"),
        "{html}"
    );
    assert!(html.contains("nothing: a &lt;b&gt;"), "{html}");
}

#[test]
fn a_page_needs_nothing_but_itself() {
    let html = page(
        "p: build @ branch/main",
        Some(&job("[3/3] RUN make")),
        &rows(),
    );
    for foreign in ["http://", "https://", "src=", "href=", "@import", "url(\""] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    assert!(html.contains("default-src 'none'"));
    assert!(html.contains("prefers-color-scheme: dark"));
}

#[test]
fn each_figure_is_a_table_too() {
    let html = page(
        "p: build @ branch/main",
        Some(&job("[3/3] RUN make")),
        &rows(),
    );
    // The timeline, bytes over time, four of the history, the store.
    assert_eq!(html.matches("<svg ").count(), 7);
    assert_eq!(html.matches("role=\"img\" aria-label=").count(), 7);
    // The history has one table for all.
    assert_eq!(html.matches("<details>").count(), 4);
    for cell in ["0.6 s", "step from the cache", "9 of 10", "90 %", "35 B"] {
        assert!(html.contains(&format!("<td>{cell}</td>")), "{cell}");
    }
}

#[test]
fn what_is_not_known_is_not_drawn() {
    let html = page("p: build @ branch/main", None, &[]);
    assert!(html.contains("No job of this line has saved"));
    assert_eq!(html.matches("<svg ").count(), 1, "the store's");
    let silent = Row::default();
    let html = page("p", None, &[silent]);
    assert!(html.contains("<td>-</td>") && !html.contains("Hit rate"));
    assert!(is_balanced(&html) && !html.contains("NaN"), "{html}");
}
