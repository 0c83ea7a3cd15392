//! A packet capture as it is told: whether it is on, its filters and stages, and the files that there are.

use bartizan_model::tree::Element;
use serde::Serialize;

use super::table::{pairs, table};
use super::xml::{leaves, node};

/// `debug dataplane packet-diag`: how it stands then.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PacketCapture {
    /// `on` or `off`.
    pub capture: &'static str,
    /// When the one that is on, or was last, began; UTC. Empty when there was none.
    pub started: String,
    /// When the one that is on ends by itself; empty when none is.
    pub ends: String,
    /// Why the last one ended.
    pub ended_because: String,
    /// Packets that found no room on their way to the files.
    pub lost: u64,
    /// Bytes of each packet that are kept; 0 for all.
    pub snaplen: u32,
    /// Whether filters count: `on` or `off`.
    pub filter: &'static str,
    /// The filters.
    pub filters: Vec<FilterRow>,
    /// The stages.
    pub stages: Vec<StageRow>,
    /// The files.
    pub files: Vec<FileRow>,
}

/// A filter; what is empty may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FilterRow {
    /// Interface.
    pub ingress_interface: String,
    /// Address or network.
    pub source: String,
    /// Address or network.
    pub destination: String,
    /// Port.
    pub source_port: String,
    /// Port.
    pub destination_port: String,
    /// IP protocol number.
    pub protocol: String,
}

/// A stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StageRow {
    /// `receive`, `firewall`, `transmit` or `drop`.
    pub stage: &'static str,
    /// Its file.
    pub file: String,
    /// Packets at most.
    pub packet_count: u64,
    /// Bytes of the file at most.
    pub byte_count: u64,
    /// Packets of the capture that is on, or was last.
    pub packets: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileRow {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was last written, UTC.
    pub modified: String,
}

impl PacketCapture {
    /// For people.
    pub(super) fn text(&self) -> String {
        let state = match (self.capture, self.started.as_str()) {
            ("on", started) => format!("on since {started}, until {} at the latest", self.ends),
            (off, "") => off.to_owned(),
            (off, started) => format!("{off}; the last one began {started} and ended because {}", self.ended_because),
        };
        let kept = if self.snaplen == 0 { "all bytes".to_owned() } else { format!("{} bytes", self.snaplen) };
        let mut text = pairs(&[
            ("capture", state),
            ("of each packet", kept),
            ("packets lost", self.lost.to_string()),
            ("filtering", self.filter.to_owned()),
        ]);
        let filters = self.filters.iter().map(|one| one.values().map(|(_, value)| value.to_owned()).to_vec());
        let stages = self.stages.iter().map(|one| {
            let (packets, bytes) = (one.packet_count.to_string(), one.byte_count.to_string());
            vec![one.stage.into(), one.file.clone(), one.packets.to_string(), packets, one.bytes.to_string(), bytes]
        });
        let files = self.files.iter().map(|one| vec![one.name.clone(), one.size.to_string(), one.modified.clone()]);
        for table in [
            (!self.filters.is_empty()).then(|| {
                table(&["INTERFACE", "SOURCE", "DESTINATION", "FROM PORT", "TO PORT", "PROTOCOL"], filters.collect())
            }),
            (!self.stages.is_empty())
                .then(|| table(&["STAGE", "FILE", "PACKETS", "AT MOST", "BYTES", "AT MOST"], stages.collect())),
            (!self.files.is_empty()).then(|| table(&["CAPTURED FILE", "BYTES", "WRITTEN"], files.collect())),
        ]
        .into_iter()
        .flatten()
        {
            text += "\n";
            text += &table;
        }
        text
    }

    /// As the inner XML of a `<result>`.
    pub(super) fn elements(&self) -> Vec<Element> {
        let mut all = leaves(&[
            ("capture", self.capture.to_owned()),
            ("started", self.started.clone()),
            ("ends", self.ends.clone()),
            ("ended-because", self.ended_because.clone()),
            ("lost", self.lost.to_string()),
            ("snaplen", self.snaplen.to_string()),
            ("filter", self.filter.to_owned()),
        ]);
        let filters = self.filters.iter().zip(1..).map(|(one, number): (_, u32)| {
            named(&number.to_string(), &one.values().map(|(name, value)| (name, value.to_owned())))
        });
        let stages = self.stages.iter().map(|one| {
            named(
                one.stage,
                &[
                    ("file", one.file.clone()),
                    ("packet-count", one.packet_count.to_string()),
                    ("byte-count", one.byte_count.to_string()),
                    ("packets", one.packets.to_string()),
                    ("bytes", one.bytes.to_string()),
                ],
            )
        });
        let files = self
            .files
            .iter()
            .map(|one| named(&one.name, &[("size", one.size.to_string()), ("modified", one.modified.clone())]));
        all.push(node("filters", filters.collect()));
        all.push(node("stages", stages.collect()));
        all.push(node("files", files.collect()));
        all
    }
}

impl FilterRow {
    fn values(&self) -> [(&'static str, &str); 6] {
        [
            ("ingress-interface", &self.ingress_interface),
            ("source", &self.source),
            ("destination", &self.destination),
            ("source-port", &self.source_port),
            ("destination-port", &self.destination_port),
            ("protocol", &self.protocol),
        ]
    }
}

fn named(name: &str, values: &[(&'static str, String)]) -> Element {
    let mut entry = Element::entry(name);
    entry.children.extend(node("entry", leaves(values)).children);
    entry
}
