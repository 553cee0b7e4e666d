//! HTML: text that stays text, tables, and the page around them.

use std::fmt::{Display, Write as _};
use std::time::{Duration, UNIX_EPOCH};

/// No figure depends on its colours; those of the dark are for eyes at night.
const STYLE: &str = "\
:root { color-scheme: light dark; --paper: #fff; --ink: #1f2328; --faint: #59636e; --rule: #d1d9e0; --a: #0550ae; \
--b: #953800; --c: #1a7f37 }
@media (prefers-color-scheme: dark) { :root { --paper: #0d1117; --ink: #f0f6fc; --faint: #9198a1; --rule: #3d444d; \
--a: #79c0ff; --b: #ffa657; --c: #7ee787 } }
body { margin: 0 auto; max-width: 62rem; padding: 1rem 1.5rem 4rem; background: var(--paper); color: var(--ink); \
font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem }
p, figcaption, summary { color: var(--faint) } figure { margin: 1rem 0 } figcaption { font-size: .875rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .875rem; margin: .5rem 0 }
th, td { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid var(--rule); \
font-variant-numeric: tabular-nums } td { min-width: 4.5rem; overflow-wrap: anywhere }
th { color: var(--faint); font-weight: 600; white-space: nowrap }
svg { width: 100%; height: auto; min-width: 36rem; font: 12px system-ui, sans-serif } svg text { fill: var(--ink) }
.faint { fill: var(--faint) } .rule { stroke: var(--rule) } .line { fill: none; stroke-width: 2 }
.a { stroke: var(--a) } .b { stroke: var(--b) } .c { stroke: var(--c) } .mark { fill: var(--paper); stroke-width: 2 }
.bar { stroke-width: 1 } .full { fill: var(--a) } .open { fill: var(--paper) }
@media print { details { display: block } }
";

/// Text of others as text: nothing in it is markup, and nothing turns the direction of what follows.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if larder_local::people::is_obeyed(c) => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A time for people.
pub(crate) fn day_and_time(ms: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(ms));
    let text = time.map(|time| humantime::format_rfc3339_seconds(time).to_string());
    let text = text.unwrap_or_default();
    let minutes = text.get(..16).unwrap_or_default();
    minutes.replace('T', " ") + " UTC"
}

/// A page, as far as it is written.
pub(crate) struct Html(String);

impl Html {
    pub(crate) fn begin(title: &str, made: &str) -> Self {
        let title = escaped(title);
        Self(format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>Larder: {title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <h1>{title}</h1>\n<p>What Larder did, as of {made}.</p>\n"
        ))
    }

    pub(crate) fn section(&mut self, heading: &str) {
        self.add(format_args!("<h2>{}</h2>\n", escaped(heading)));
    }

    pub(crate) fn paragraph(&mut self, text: &str) {
        self.add(format_args!("<p>{}</p>\n", escaped(text)));
    }

    /// A drawing with what it says in words.
    pub(crate) fn figure(&mut self, svg: &str, caption: &str) {
        let caption = escaped(caption);
        self.add(format_args!(
            "<figure><div class=\"wide\">{svg}</div><figcaption>{caption}</figcaption></figure>\n"
        ));
    }

    /// The figures of the drawing above.
    pub(crate) fn figures<const N: usize>(
        &mut self,
        header: &[&str],
        rows: impl IntoIterator<Item = [String; N]>,
    ) {
        self.add("<details><summary>The same as a table</summary>\n");
        self.table(header, rows);
        self.add("</details>\n");
    }

    pub(crate) fn table<const N: usize>(
        &mut self,
        header: &[&str],
        rows: impl IntoIterator<Item = [String; N]>,
    ) {
        self.add("<div class=\"wide\"><table>\n");
        if !header.is_empty() {
            let cells = header.iter().map(|text| cell("th scope=\"col\"", text));
            self.add(format_args!("<tr>{}</tr>\n", cells.collect::<String>()));
        }
        for row in rows {
            let (first, others) = row.split_first().expect("a row has cells");
            let tag = if header.is_empty() {
                "th scope=\"row\""
            } else {
                "td"
            };
            let others = others.iter().map(|text| cell("td", text));
            let cells: String = [cell(tag, first)].into_iter().chain(others).collect();
            self.add(format_args!("<tr>{cells}</tr>\n"));
        }
        self.add("</table></div>\n");
    }

    pub(crate) fn end(mut self) -> String {
        self.add("</body>\n</html>\n");
        self.0
    }

    fn add(&mut self, text: impl Display) {
        write!(self.0, "{text}").expect("writing to a string");
    }
}

fn cell(tag: &str, text: &str) -> String {
    let name = tag.split(' ').next().unwrap_or(tag);
    format!("<{tag}>{}</{name}>", escaped(text))
}
