//! A table for people: what was expected of each flow, what happened, and which rule decided.

use std::fmt;

/// One flow.
#[derive(Clone, Debug)]
pub struct Row {
    /// Who talks to whom.
    pub flow: String,
    /// What should happen.
    pub expected: String,
    /// What happened.
    pub happened: String,
    /// The rule named in the traffic log, or a dash where no rule is asked.
    pub rule: String,
    /// Whether the two agree.
    pub held: bool,
}

/// Rows in the order they were tried.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The rows.
    pub rows: Vec<Row>,
}

impl Table {
    /// Whether every row held (and there is one).
    pub fn held(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.held)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["flow", "expected", "happened", "rule", ""];
        let cells = |row: &Row| {
            let mark = if row.held { "ok" } else { "FAILED" };
            [row.flow.clone(), row.expected.clone(), row.happened.clone(), row.rule.clone(), mark.to_owned()]
        };
        let rows: Vec<[String; 5]> = self.rows.iter().map(cells).collect();
        let widths: Vec<usize> = head
            .iter()
            .enumerate()
            .map(|(column, title)| {
                rows.iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
                    .max(title.len())
            })
            .collect();
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
            let padded: Vec<String> =
                cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
            writeln!(f, "  {}", padded.join("  ").trim_end())
        };
        line(f, &head.map(str::to_owned))?;
        line(f, &widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>())?;
        for row in &rows {
            line(f, row)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(flow: &str, held: bool) -> Row {
        Row { flow: flow.into(), expected: "answered".into(), happened: "answered".into(), rule: "web".into(), held }
    }

    #[test]
    fn one_failed_row_fails_the_table_and_is_marked() {
        let table = Table { rows: vec![row("a -> b", true), row("longer -> c", false)] };
        assert!(!table.held());
        let text = table.to_string();
        assert!(text.lines().any(|line| line.starts_with("  longer -> c") && line.ends_with("FAILED")), "{text}");
        assert!(text.lines().any(|line| line.starts_with("  a -> b     ") && line.ends_with("ok")), "{text}");
    }

    #[test]
    fn an_empty_table_did_not_hold() {
        assert!(!Table::default().held());
    }
}
