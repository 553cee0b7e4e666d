//! What a job came to: a table for the log, and the same in Markdown for CI systems that show it.

use std::path::Path;

use larder_local::files;
use larder_local::people::Voice as _;

use super::{Report, plain, table};

/// Rows of two cells.
pub(crate) struct Summary(Vec<[String; 2]>);

impl Summary {
    /// Rows that say what they say; those that say nothing are left out.
    pub(crate) fn new(rows: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Self {
        let known = rows
            .into_iter()
            .filter_map(|(what, text)| Some([what.to_owned(), plain::name(&text?)]));
        Self(known.collect())
    }

    /// Of rows that are known.
    pub(crate) fn of(rows: &[[String; 2]]) -> Self {
        let rows = rows.iter();
        Self(
            rows.map(|[what, text]| [what.clone(), plain::name(text)])
                .collect(),
        )
    }

    /// As a table for the log.
    pub(crate) fn text(&self) -> String {
        let mut table = table::plain();
        table.add_rows(&self.0);
        table::text(&table)
    }

    fn markdown(&self) -> String {
        let rows = self.0.iter().map(|[what, text]| {
            // A name in it may be anybody's, and is text all the same.
            let text = text.replace('\\', "\\\\").replace('|', "\\|");
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            format!("| {what} | {text} |")
        });
        let head = ["### Larder", "", "| | |", "|---|---|"].map(str::to_owned);
        let lines: Vec<String> = head.into_iter().chain(rows).collect();
        lines.join("\n") + "\n\n"
    }
}

impl Report {
    /// Shows it, and adds it to a file. The job has ended: a file that cannot be written is a warning.
    pub(crate) fn summary(&self, summary: &Summary, file: Option<&Path>) {
        self.note(&format!("in short\n{}", summary.text()));
        let Some(file) = file else { return };
        if let Err(error) = files::append_public(file, &summary.markdown()) {
            self.warning(&format!("--summary {}: {error}", file.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text_in_markdown() {
        let why = Some("nothing: a | b <c>".to_owned());
        let markdown = Summary::new([("stored", why), ("net", None)]).markdown();
        assert_eq!(
            markdown,
            "### Larder\n\n| | |\n|---|---|\n| stored | nothing: a \\| b &lt;c> |\n\n"
        );
    }
}
