//! How is an answer written: for people, or for programs?

use std::io::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::arguments::Form;
use crate::Failure;

/// Writes an answer; `table` makes the form for people.
pub(crate) fn write(value: &Value, form: Form, table: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
    let text = match form {
        Form::Json => serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?,
        Form::Yaml => yaml(value)?,
        Form::Table => table(value),
    };
    print(&text)
}

/// An answer as YAML.
pub(super) fn yaml(value: &Value) -> Result<String, Failure> {
    Ok(serde_saphyr::to_string(value).map_err(anyhow::Error::from)?)
}

/// A text on standard output, with an end of line.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let text = text.trim_end();
    let mut out = std::io::stdout().lock();
    let written = if text.is_empty() { Ok(()) } else { writeln!(out, "{text}").and_then(|()| out.flush()) };
    match written {
        // `bartizan get ... | head` ends the pipe early; that is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(1, format!("error: write the answer: {error}")))
        }
        _ => Ok(()),
    }
}

/// Rows under their heads.
pub(crate) fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads.iter().map(|head| head.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    let lines: Vec<String> =
        table.to_string().lines().map(|line| line.trim_end().trim_start_matches(' ').to_owned()).collect();
    lines.join("\n")
}

/// A member of an answer as one word; `-` when it says nothing.
pub(crate) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(list) => list.iter().map(word).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// The members of a list in an answer.
pub(crate) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_its_columns_under_their_heads() {
        let rows = vec![vec!["BZT1".to_owned(), word(&json!(true))], vec!["BZT22".to_owned(), word(&json!(null))]];
        assert_eq!(table(&["serial", "connected"], rows), "SERIAL  CONNECTED\nBZT1    yes\nBZT22   -");
    }

    #[test]
    fn yaml_is_what_json_is() {
        let value = json!({ "jobs": [{ "id": 7, "user": "yes", "started": null }] });
        let text = yaml(&value).unwrap();
        assert!(text.contains("id: 7") && text.contains("user: \"yes\""), "{text}");
    }
}
