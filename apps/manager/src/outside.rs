//! Which readers meet text and bytes from outside? One door to each, for the fuzz targets.
//!
//! Every function reads as a request would and says what then has to hold; a panic in one of them is a fault.

use std::sync::Arc;

use bartizan_model::tree::Element;

use crate::configuration::edit::{Applied, Edit};
use crate::http::parameters;
use crate::logs::filter;
use crate::store::db::sql;
use crate::xmlapi::{basic_credentials, multi};
use crate::{pki, times};

/// A log query: the SQL condition it becomes, in which no value stands, or what is wrong with it.
///
/// # Errors
/// The place of what cannot be read.
pub fn log_query(text: &str) -> Result<String, String> {
    let (traffic, config) = (filter::parse(text, filter::TRAFFIC), filter::parse(text, filter::CONFIG));
    let mut sql = sql("");
    traffic.or(config)?.push_to(&mut sql);
    Ok(sql.text().to_owned())
}

/// Carries out the edits of a `multi-config` one after the other, each alone, until one is refused; how many
/// were carried out.
///
/// # Errors
/// What is wrong with the text.
///
/// # Panics
/// When an edit that is refused, or says that it changed nothing, left another tree.
pub fn multi_config(text: &str, candidate: &mut Arc<Element>) -> Result<usize, String> {
    let edits = multi::read(text)?;
    for (done, (_, edit)) in edits.iter().enumerate() {
        let before = Arc::clone(candidate);
        let applied = edit.apply(candidate);
        assert!(matches!(applied, Ok(Applied::Changed)) || *candidate == before, "{edit:?}: {applied:?}");
        let kept = serde_json::to_string(edit).ok().and_then(|text| serde_json::from_str::<Edit>(&text).ok());
        assert_eq!(kept.as_ref(), Some(edit), "the journal gives back another edit");
        if applied.is_err() {
            return Ok(done);
        }
    }
    Ok(edits.len())
}

/// The pairs of an urlencoded form or query.
pub fn form(bytes: &[u8]) -> Vec<(String, String)> {
    parameters::decode(bytes)
}

/// Name and password of an `Authorization` header.
pub fn credentials(header: &str) -> Option<(String, String)> {
    basic_credentials(header)
}

/// A date of a log query, in microseconds since the Unix epoch.
pub fn date(text: &str) -> Option<i64> {
    times::parse_date_time(text)
}

/// Whether the bytes are a certificate signing request.
pub fn signing_request(der: &[u8]) -> bool {
    pki::read_request(der).is_ok()
}

/// The common name of a certificate in DER.
pub fn certificate_name(der: &[u8]) -> Option<String> {
    pki::subject_of(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_door_leads_to_its_reader() {
        assert_eq!(log_query("( rule eq 'x' )").unwrap(), "(rule = $1)");
        assert!(log_query("( rule eq").is_err());
        let mut tree = Arc::new(Element::new("config"));
        let text = "<multi-config><set xpath='/config/shared'><tag/></set><delete xpath='///'/></multi-config>";
        assert_eq!(multi_config(text, &mut tree), Ok(1));
        assert!(tree.descend(&["shared", "tag"]).is_some());
        assert_eq!(form(b"a=b%20c"), [("a".to_owned(), "b c".to_owned())]);
        assert_eq!(credentials("Basic YTpi"), Some(("a".to_owned(), "b".to_owned())));
        assert_eq!(date("1970/01/01"), Some(0));
        assert!(!signing_request(b"none") && certificate_name(b"none").is_none());
    }
}
