//! What a browser makes of the page: by day and by night, on a wide and on a narrow screen.
//!
//! The page has no scripts and allows none. So one beside it looks at it, in frames of both widths and both colours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use larder_model::course::{Build, Moment, Phase, Step};
use larder_model::lineage::Lineage;
use larder_page::{Course, Page, Row, growth};
use serde_json::Value;

/// Looks at the page once all frames are there, and leaves what it saw as text.
const LOOKER: &str = r#"<!doctype html><meta charset="utf-8"><body>
<iframe style="color-scheme: light; width: 1280px; height: 900px" src="page.html"></iframe>
<iframe style="color-scheme: light; width: 400px; height: 900px" src="page.html"></iframe>
<iframe style="color-scheme: dark; width: 1280px; height: 900px" src="page.html"></iframe>
<iframe style="color-scheme: dark; width: 400px; height: 900px" src="page.html"></iframe>
<pre></pre>
<script>
const within = (text) => {
  const box = text.getBBox(), view = text.ownerSVGElement.viewBox.baseVal;
  return box.x >= 0 && box.y >= 0 && box.x + box.width <= view.width && box.y + box.height <= view.height;
};
const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
// A word that is broken where no narrow screen asks for it.
const isTorn = (cell) => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  return range.getClientRects().length > 1 && (cell.tagName === "TH" || cell.clientWidth < 60);
};
const look = (frame) => {
  const page = frame.contentDocument, own = frame.contentWindow;
  page.querySelectorAll("details").forEach((it) => it.open = true);
  const root = page.documentElement, texts = [...page.querySelectorAll("svg text")];
  const over = [...page.querySelectorAll("svg")].flatMap((svg) => {
    const all = [...svg.querySelectorAll("text")];
    return all.filter((a, at) => all.slice(at + 1).some((b) =>
      meet(a.getBoundingClientRect(), b.getBoundingClientRect())));
  });
  const cells = new Set([...page.querySelectorAll("details td")].map((cell) => cell.textContent));
  const bars = [...page.querySelectorAll("svg title")].map((title) => title.textContent);
  return {
    night: own.matchMedia("(prefers-color-scheme: dark)").matches,
    paper: own.getComputedStyle(page.body).backgroundColor,
    ink: own.getComputedStyle(page.querySelector("h1")).color,
    beyond: root.scrollWidth - root.clientWidth,
    requests: own.performance.getEntriesByType("resource").map((entry) => entry.name),
    cut: texts.filter((text) => !within(text)).map((text) => text.textContent),
    over: over.map((text) => text.textContent),
    figures: page.querySelectorAll("figure svg").length,
    torn: [...page.querySelectorAll("th, td")].filter(isTorn).map((cell) => cell.textContent),
    untold: bars.filter((bar) => !cells.has(bar.slice(0, bar.lastIndexOf(": ")))),
    empty: [...page.querySelectorAll("details")].filter((it) => it.querySelectorAll("tr").length < 2).length,
  };
};
onload = () => {
  const seen = [...document.querySelectorAll("iframe")].map(look);
  document.querySelector("pre").textContent = JSON.stringify(seen);
};
</script></body>
"#;

/// A job with all kinds of steps, of short and long names and times.
fn job() -> Course {
    let step = |number: u64| Step {
        name: match number % 4 {
            0 => format!(
                "[deps {number}/30] RUN --mount=type=cache,target=/root/.npm npm ci --prefer-offline"
            ),
            1 => {
                format!("[web {number}/30] COPY 日本語の名前がここにあります/とても長いです ./src")
            }
            2 => format!("[internal] load metadata of {number}"),
            _ => format!("[{number}/30] RUN make <all> & \"more\""),
        },
        started_ms: 5_000 + number * 1_300,
        ms: (number % 5) * 2_100,
        cached: number.is_multiple_of(5),
    };
    let phase = |name: &str, at_ms: f64, ms: f64| Phase {
        name: name.to_owned(),
        at_ms,
        ms,
    };
    let moment = |number: u64| Moment {
        at_ms: number * 500,
        fetched_bytes: (number * number) << 16,
        stored_bytes: number.saturating_sub(80) << 18,
    };
    Course {
        store: "s3://bucket/larder".to_owned(),
        started_ms: 1_000,
        lineage: Lineage {
            project: "shop/web".to_owned(),
            compatibility: "c".to_owned(),
            scope: "branch/main".to_owned(),
            job: "build".to_owned(),
        },
        archives: false,
        summary: vec![
            ["restored".to_owned(), "build @ branch/main, 3 h old (0123456789ab)".to_owned()],
            ["net".to_owned(), "12.3 s saved: on an empty engine the builds took 60.0 s, now 40.0 s; Larder took 7.7 s".to_owned()],
        ],
        phases: vec![
            phase("find", 0.0, 130.0),
            phase("engine", 130.0, 900.0),
            phase("command", 1_030.0, 44_000.0),
            phase("quiesce", 45_030.0, 2.0),
            phase("pack", 45_040.0, 6_400.0),
        ],
        builds: vec![Build {
            steps: 44,
            cached_steps: 6,
            ms: 40_000,
            started_ms: 5_000,
            failed: false,
            course: (0..30).map(step).collect(),
        }],
        traffic: (0..100).map(moment).collect(),
    }
}

fn row(number: u64) -> Row {
    Row {
        id: format!("{number:064}"),
        created_ms: 1_790_000_000_000 + number * 3_600_000,
        steps: Some(44),
        cached_steps: Some(number * 44 / 30),
        build_ms: Some(240_000 - number * 7_000),
        cold_build_ms: Some(242_000),
        larder_ms: Some(7_000),
        fetched_bytes: Some(number << 26),
        stored_bytes: 5 << 30,
        state_bytes: 40 << 30,
    }
}

fn html() -> String {
    let page = Page {
        title: "github.com/shop/web: ci.yml/a-job-with-a-name-that-is-rather-long-and-cannot-be-broken @ branch/main"
            .to_owned(),
        made_ms: 1_790_000_000_000,
        job: Some(&job()),
        rows: &(0..30).map(row).collect::<Vec<_>>(),
        growth: &growth((0..200).map(|number| (1_790_000_000_000 + number * 1_000_000, 100 << 20))),
    };
    page.html()
}

/// What the browser saw in each frame, and what it logged.
fn seen(chromium: &Path, folder: &Path) -> (Vec<Value>, String) {
    fs::write(folder.join("page.html"), html()).expect("written");
    fs::write(folder.join("looker.html"), LOOKER).expect("written");
    // Without a network, whatever it would like to ask.
    let output = Command::new("unshare")
        .arg("--net")
        .arg(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .args(["--allow-file-access-from-files", "--enable-logging=stderr"])
        .arg(format!(
            "--user-data-dir={}",
            folder.join("profile").display()
        ))
        .arg(format!("file://{}", folder.join("looker.html").display()))
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output();
    let output = output.expect("Chromium starts");
    let (dom, log) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    let text = dom
        .split_once("<pre>")
        .and_then(|(_, rest)| rest.split_once("</pre>"));
    let (text, _) = text.unwrap_or_else(|| panic!("{dom}{log}"));
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    let seen = serde_json::from_str(&text);
    (
        seen.unwrap_or_else(|error| panic!("{error}: {text}: {log}")),
        log,
    )
}

#[test]
fn a_browser_shows_all_of_it_and_asks_for_nothing() {
    let chromium = std::env::var_os("LARDER_TEST_CHROMIUM").map(PathBuf::from);
    let Some(chromium) = chromium.filter(|program| program.exists()) else {
        eprintln!(
            "skipped: LARDER_TEST_CHROMIUM names no Chromium; install chromium or chromium-headless-shell"
        );
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (frames, log) = seen(&chromium, folder.path());
    assert!(!log.contains("CONSOLE"), "{log}");
    let nights: Vec<bool> = frames
        .iter()
        .filter_map(|it| it["night"].as_bool())
        .collect();
    assert_eq!(nights, [false, false, true, true], "{frames:#?}");
    for frame in &frames {
        let (paper, ink) = match frame["night"].as_bool() {
            Some(true) => ("rgb(13, 17, 23)", "rgb(240, 246, 252)"),
            _ => ("rgb(255, 255, 255)", "rgb(31, 35, 40)"),
        };
        assert_eq!(
            (&frame["paper"], &frame["ink"]),
            (&paper.into(), &ink.into())
        );
        assert_eq!(
            (&frame["beyond"], &frame["figures"]),
            (&0.into(), &7.into()),
            "{frame:#}"
        );
        for none in ["requests", "cut", "over", "torn", "untold"] {
            assert_eq!(
                frame[none].as_array().map(Vec::len),
                Some(0),
                "{none}: {frame:#}"
            );
        }
        assert_eq!(frame["empty"], 0, "{frame:#}");
    }
}
