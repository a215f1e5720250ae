//! Columns, aligned, without borders, as kubectl has them.

use comfy_table::{ContentArrangement, Table, presets};

/// Lines with a line break each; no head if it is empty.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if !head.is_empty() {
        table.set_header(head);
    }
    table.add_rows(rows.iter().map(|row| row.iter().map(|cell| one_line(cell))));
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    let mut lines = String::new();
    for line in table.lines() {
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    if head.is_empty() && rows.is_empty() { String::new() } else { lines }
}

/// What users wrote must neither break a row nor command the terminal.
fn one_line(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cells_stay_on_one_line() {
        let rows = [vec!["a".into(), "2".into()], vec!["日本".into(), "x\n\u{1b}[31m".into()]];
        assert_eq!(table(&["NAME", "N"], &rows), "NAME   N\na      2\n日本   x  [31m\n");
        assert_eq!(table(&[], &[]), "");
        assert_eq!(table(&["NAME"], &[]), "NAME\n");
    }
}
