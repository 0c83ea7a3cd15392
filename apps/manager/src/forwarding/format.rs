//! What does a log record look like to a syslog server?
//!
//! A template with `$field`, the fields by the names they have in the XML API (and in custom formats of PAN-OS). Built
//! in are the comma-separated form of PAN-OS, and CEF and LEEF, which a profile asks for by that word.

use bartizan_model::tree::Element;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::logs::query::Log;

/// Syslog's severities (RFC 5424, 6.2.1) by those of PAN-OS.
const SEVERITIES: [(&str, u8); 5] = [("critical", 2), ("high", 3), ("medium", 4), ("low", 5), ("informational", 6)];

/// A text between fields, or the name of one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(String),
}

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
    /// Characters that get another one before them.
    escaped: String,
    escape: char,
}

impl Template {
    /// The one of a profile: its text, `CEF`, `LEEF`, or nothing for the usual one.
    pub(super) fn new(text: &str, log: Log, (escape, escaped): (&str, &str)) -> Self {
        let given = (escape.chars().next().unwrap_or('\\'), escaped);
        let (text, (escape, escaped)) = match text.trim() {
            "" => (comma_separated(log), ('"', "")),
            "CEF" => (cef(log), ('\\', "\\=|")),
            "LEEF" => (leef(log), ('\\', "\\|")),
            text => (text.to_owned(), given),
        };
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find('$') {
            let name: String =
                rest[at + 1..].chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect();
            // A trailing hyphen is text.
            let name = name.trim_end_matches('-');
            let end = at + 1 + name.len();
            if name.is_empty() {
                pieces.push(Piece::Text(rest[..end].to_owned()));
            } else {
                pieces.push(Piece::Text(rest[..at].to_owned()));
                pieces.push(Piece::Field(name.to_owned()));
            }
            rest = &rest[end..];
        }
        pieces.push(Piece::Text(rest.to_owned()));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Self { pieces, escaped: escaped.to_owned(), escape }
    }

    /// A record; a field that it does not have is empty. Line ends become blanks: a message is one line.
    pub(super) fn fill(&self, entry: &Element) -> String {
        self.fill_with(entry, |value| {
            let mut line = String::with_capacity(value.len());
            for c in value.chars() {
                if self.escaped.contains(c) {
                    line.push(self.escape);
                }
                line.push(if c.is_control() { ' ' } else { c });
            }
            line
        })
    }

    /// Whether it is written as JSON.
    pub(super) fn is_json(&self) -> bool {
        matches!(self.pieces.first(), Some(Piece::Text(text)) if text.trim_start().starts_with(['{', '[']))
    }

    /// The same with every value written by `write`.
    pub(super) fn fill_with(&self, entry: &Element, write: impl Fn(&str) -> String) -> String {
        let mut line = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => line.push_str(text),
                Piece::Field(name) => {
                    let value = entry.child(name).map(|field| field.text()).unwrap_or_default();
                    line.push_str(&write(&value));
                }
            }
        }
        line
    }
}

/// The form that PAN-OS sends by itself (its administrator's guide, "Syslog Field Descriptions"): fields of places that
/// nothing is known of stay empty.
fn comma_separated(log: Log) -> String {
    match log {
        Log::Traffic => "1,$receive_time,$serial,TRAFFIC,$subtype,2816,$time_generated,$src,$dst,$natsrc,$natdst,$rule,\
            $srcuser,$dstuser,$app,$vsys,$from,$to,$inbound_if,$outbound_if,$logset,$receive_time,$sessionid,$repeatcnt,\
            $sport,$dport,$natsport,$natdport,,$proto,$action,$bytes,$bytes_sent,$bytes_received,$packets,$start,\
            $elapsed,$category,,,,,,,$pkts_sent,$pkts_received,$session_end_reason,,,,,$vsys_name,,$action_source\
            ,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,$k8s_cluster_id",
        Log::Threat => "1,$receive_time,$serial,THREAT,$subtype,2816,$time_generated,$src,$dst,,,$rule,,,,$vsys,$from,,,,,\
            $receive_time,,1,,,,,,,$action,\"$misc\",$threatid,,$severity",
        Log::IpTag => "1,$receive_time,$serial,IPTAG,$subtype,2816,$time_generated,$vsys,$ip,$tag_name,$event_id,$repeatcnt,\
            $timeout,,$datasource_type",
        Log::System => "1,$receive_time,$serial,SYSTEM,$subtype,2816,$time_generated,$vsys,$eventid,$object,,,,$severity,\
            \"$opaque\"",
        Log::Config => "1,$receive_time,$serial,CONFIG,0,2816,$time_generated,$host,,$cmd,$admin,$client,$result,$path",
    }
    .to_owned()
}

/// `CEF:0|vendor|product|version|class|name|severity|extension` (ArcSight, "Common Event Format", 25).
fn cef(log: Log) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let (class, name, severity, extension) = match log {
        Log::Traffic => (
            "$subtype",
            "TRAFFIC",
            "3",
            "rt=$receive_time deviceExternalId=$serial src=$src dst=$dst sourceTranslatedAddress=$natsrc \
             destinationTranslatedAddress=$natdst spt=$sport dpt=$dport cs1Label=Rule cs1=$rule app=$app \
             cs4Label=Source Zone cs4=$from cs5Label=Destination Zone cs5=$to deviceInboundInterface=$inbound_if \
             deviceOutboundInterface=$outbound_if cn1Label=SessionID cn1=$sessionid proto=$proto act=$action \
             in=$bytes_received out=$bytes_sent reason=$session_end_reason start=$start \
             K8sClusterId=$k8s_cluster_id SourceTags=$src_tags DestinationTags=$dst_tags",
        ),
        Log::Threat => (
            "$threatid",
            "THREAT",
            "7",
            "rt=$receive_time deviceExternalId=$serial src=$src dst=$dst cs4Label=Source Zone cs4=$from act=$action \
             msg=$misc",
        ),
        Log::IpTag => {
            ("$event_id", "IPTAG", "3", "rt=$receive_time deviceExternalId=$serial src=$ip cs1Label=Tag cs1=$tag_name")
        }
        Log::System => {
            ("$eventid", "SYSTEM", "3", "rt=$receive_time deviceExternalId=$serial fname=$object msg=$opaque")
        }
        Log::Config => (
            "$cmd",
            "CONFIG",
            "3",
            "rt=$receive_time deviceExternalId=$serial dvchost=$host suser=$admin outcome=$result msg=$path",
        ),
    };
    format!("CEF:0|Bartizan|Bartizan|{version}|{class}|{name}|{severity}|{extension}")
}

/// `LEEF:2.0|vendor|product|version|event|^|attributes` (IBM, "LEEF event components").
fn leef(log: Log) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let (event, attributes) = match log {
        Log::Traffic => (
            "$subtype",
            "cat=TRAFFIC^devTime=$receive_time^SerialNumber=$serial^src=$src^dst=$dst^srcPostNAT=$natsrc^\
             dstPostNAT=$natdst^srcPort=$sport^dstPort=$dport^RuleName=$rule^Application=$app^SourceZone=$from^\
             DestinationZone=$to^SessionID=$sessionid^proto=$proto^action=$action^srcBytes=$bytes_sent^\
             dstBytes=$bytes_received^SessionEndReason=$session_end_reason^\
             K8sClusterId=$k8s_cluster_id^SourceTags=$src_tags^DestinationTags=$dst_tags",
        ),
        Log::Threat => (
            "$threatid",
            "cat=THREAT^devTime=$receive_time^SerialNumber=$serial^src=$src^dst=$dst^SourceZone=$from^action=$action^\
             sev=$severity^msg=$misc",
        ),
        Log::IpTag => {
            ("$event_id", "cat=IPTAG^devTime=$receive_time^SerialNumber=$serial^src=$ip^Tag=$tag_name^timeout=$timeout")
        }
        Log::System => (
            "$eventid",
            "cat=SYSTEM^devTime=$receive_time^SerialNumber=$serial^sev=$severity^Object=$object^msg=$opaque",
        ),
        Log::Config => (
            "$cmd",
            "cat=CONFIG^devTime=$receive_time^SerialNumber=$serial^usrName=$admin^identHostName=$host^Result=$result^\
             msg=$path",
        ),
    };
    format!("LEEF:2.0|Bartizan|Bartizan|{version}|{event}|^|{attributes}")
}

/// Facility times eight plus severity.
pub(super) fn priority(facility: u8, entry: &Element) -> u8 {
    let severity = entry.child("severity").map(|severity| severity.text()).unwrap_or_default();
    let number = SEVERITIES.iter().find(|(name, _)| *name == severity).map_or(6, |(_, number)| *number);
    facility * 8 + number
}

/// The header of RFC 5424, without a message identifier or structured data.
pub(super) fn ietf(priority: u8, host: &str, message: &str) -> String {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
    format!("<{priority}>1 {now} {host} bartizan - - - {message}")
}

/// The header of RFC 3164.
pub(super) fn bsd(priority: u8, host: &str, message: &str) -> String {
    let now = Timestamp::now().to_zoned(TimeZone::UTC).strftime("%b %e %H:%M:%S").to_string();
    format!("<{priority}>{now} {host} {message}")
}
