//! How does all of a log that fits a query leave as a file?
//!
//! Page by page in the order in which the records came, so that no more than a page is held, however much there is.

use bartizan_model::tree::Element;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::query::Query;
use crate::app::App;
use crate::xmlapi::log::rows;

/// Records of a page.
const PAGE: u32 = 1000;
/// Records of an export when nothing is said, as `max-rows-in-csv-export` is on PAN-OS.
pub(crate) const RECORDS: u64 = 65_535;
/// Records of an export of the XML API, whose answer is in memory as a whole.
pub(crate) const RECORDS_AT_ONCE_MAX: u64 = 65_535;

/// How records are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Comma-separated values (RFC 4180), the names of the fields first.
    #[default]
    Csv,
    /// A JSON object on each line.
    Json,
}

/// An export under way.
#[derive(Debug)]
pub(crate) struct Export {
    query: Query,
    format: Format,
    left: u64,
    has_begun: bool,
}

impl Format {
    /// The format of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// As HTTP calls it.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/x-ndjson",
        }
    }
}

impl Export {
    /// So many of the records that a query asks for.
    pub(crate) fn new(query: Query, format: Format, records: u64) -> Self {
        Self {
            query: Query { after: Some(0), backward: false, skip: 0, ..query },
            format,
            left: records,
            has_begun: false,
        }
    }

    /// The next part of the file; nothing behind the last one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn next(&mut self, app: &App) -> anyhow::Result<Option<Vec<u8>>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.query.rows = u32::try_from(self.left).unwrap_or(PAGE).min(PAGE);
        let entries = rows(app, &self.query).await?;
        let Some(last) = entries.last() else {
            self.left = 0;
            return Ok(None);
        };
        self.query.after = number(last).or(self.query.after);
        self.left -= self.left.min(entries.len() as u64);
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        Ok(Some(match self.format {
            Format::Csv => csv(&entries, is_first)?,
            Format::Json => json(&entries)?,
        }))
    }
}

fn number(entry: &Element) -> Option<i64> {
    entry.attribute("logid").and_then(|id| id.parse().ok())
}

/// Fields of one name stand in one column: every record of a log has the same.
fn csv(entries: &[Element], with_names: bool) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    if with_names && let Some(first) = entries.first() {
        writer.write_record(std::iter::once("logid").chain(first.elements().map(|field| &*field.name)))?;
    }
    for entry in entries {
        let number = entry.attribute("logid").unwrap_or_default().to_owned();
        writer.write_record(std::iter::once(number).chain(entry.elements().map(|field| plain(field.text()))))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// A spreadsheet takes what begins like this for a formula; an apostrophe keeps it a text (OWASP, "CSV Injection").
fn plain(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err() {
        format!("'{text}")
    } else {
        text
    }
}

fn json(entries: &[Element]) -> anyhow::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for entry in entries {
        let mut fields: IndexMap<String, String> = IndexMap::new();
        fields.insert("logid".to_owned(), entry.attribute("logid").unwrap_or_default().to_owned());
        fields.extend(entry.elements().map(|field| (field.name.to_string(), field.text())));
        serde_json::to_writer(&mut lines, &fields)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    #[test]
    fn records_are_rows_and_no_formulas() {
        let entry =
            xml::parse("<entry logid='7'><src>10.0.0.1</src><rule>a, \"b\"</rule><misc>=1+1</misc><n>-5</n></entry>");
        let entries = [entry.unwrap()];
        let text = String::from_utf8(csv(&entries, true).unwrap()).unwrap();
        assert_eq!(text, "logid,src,rule,misc,n\r\n7,10.0.0.1,\"a, \"\"b\"\"\",'=1+1,-5\r\n");
        let text = String::from_utf8(json(&entries).unwrap()).unwrap();
        assert_eq!(
            text,
            "{\"logid\":\"7\",\"src\":\"10.0.0.1\",\"rule\":\"a, \\\"b\\\"\",\"misc\":\"=1+1\",\"n\":\"-5\"}\n"
        );
    }
}
