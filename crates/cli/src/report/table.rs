//! Tables as all verbs print them.

use comfy_table::{Table, presets};

/// An empty one, without lines around its cells.
pub(crate) fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// As it is printed: without spaces at the ends of lines.
pub(crate) fn text(table: &Table) -> String {
    table.trim_fmt()
}
