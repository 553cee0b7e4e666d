//! What a job and the jobs before it came to, as one page: HTML without scripts, whose figures are SVG. Nothing
//! here reads or writes anything: data becomes text.
//!
//! Whoever cannot tell colours apart, or sees none, reads the page by dashes, markers and hatching; whoever sees no
//! figures has each as a table.

mod bytes;
mod chart;
mod course;
mod history;
mod html;
mod timeline;

pub use course::Course;
pub use history::{Growth, Row, growth};

use html::Html;

/// The whole page.
#[derive(Debug)]
pub struct Page<'a> {
    /// What it is about: a job and its scope.
    pub title: String,
    /// When it is made: Unix time in milliseconds.
    pub made_ms: u64,
    /// The job, if its report is there.
    pub job: Option<&'a Course>,
    /// The jobs of its line that saved, the oldest first.
    pub rows: &'a [Row],
    /// How the store grew to what it holds.
    pub growth: &'a [Growth],
}

impl Page<'_> {
    /// As a file.
    pub fn html(&self) -> String {
        let mut page = Html::begin(&self.title, &html::day_and_time(self.made_ms));
        if let Some(job) = self.job {
            page.section("In short");
            page.table(&[], job.summary.iter().cloned());
            timeline::add(job, &mut page);
            bytes::add(&job.traffic, &mut page);
        }
        history::add(self.rows, &mut page);
        history::add_growth(self.growth, &mut page);
        page.end()
    }
}

#[cfg(test)]
mod tests;
