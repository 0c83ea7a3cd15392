//! What is to be captured: which packets, at which stages, how much of each?

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bartizan_engine::look::Look;
use bartizan_engine::verdict::FlowKey;
use bartizan_packet::parse::Packet;
use bartizan_policy::tables::IfaceId;
use ipnet::IpNet;

/// Filters at a time, as PAN-OS has it.
pub const FILTERS_MAX: usize = 4;
/// Packets of a stage when none are named.
pub const PACKETS_DEFAULT: u64 = 10_000;
/// Packets of a stage at most.
pub const PACKETS_MAX: u64 = 1_000_000;
/// Bytes of a stage's file when none are named.
pub const BYTES_DEFAULT: u64 = 10 << 20;
/// Bytes of a stage's file at least: its head must fit.
pub const BYTES_MIN: u64 = 1_000;
/// Bytes of a stage's file at most: it travels to the manager in one message.
pub const BYTES_MAX: u64 = 25 << 20;
/// Bytes of captured packets on their way out of the workers.
const QUEUED_BYTES_MAX: usize = 16 << 20;

/// Where on its way a packet is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// As it came, before anything.
    Receive,
    /// Of a session, as it came.
    Firewall,
    /// As it leaves.
    Transmit,
    /// Dropped, as it came.
    Drop,
}

impl Stage {
    /// In the order of a packet's way.
    pub const ALL: [Self; 4] = [Self::Receive, Self::Firewall, Self::Transmit, Self::Drop];

    /// As PAN-OS calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Firewall => "firewall",
            Self::Transmit => "transmit",
            Self::Drop => "drop",
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The packets that are meant. Everything that is given must match; a filter has at least one condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The interface they come by; out of a tunnel the side of its traffic object.
    pub ingress: Option<(String, IfaceId)>,
    /// Source.
    pub source: Option<IpNet>,
    /// Destination.
    pub destination: Option<IpNet>,
    /// Source port.
    pub source_port: Option<u16>,
    /// Destination port.
    pub destination_port: Option<u16>,
    /// IP protocol number.
    pub protocol: Option<u8>,
}

impl Filter {
    /// Whether it has no condition.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn comes_by(&self, iface: Option<IfaceId>) -> bool {
        self.ingress.as_ref().is_none_or(|(_, wanted)| Some(*wanted) == iface)
    }

    fn wants_flow(&self, iface: Option<IfaceId>, flow: &FlowKey) -> bool {
        self.comes_by(iface)
            && self.source.is_none_or(|network| network.contains(&flow.source))
            && self.destination.is_none_or(|network| network.contains(&flow.destination))
            && self.source_port.is_none_or(|port| port == flow.source_port)
            && self.destination_port.is_none_or(|port| port == flow.destination_port)
            && self.protocol.is_none_or(|protocol| protocol == flow.protocol)
    }

    /// What is no IP packet has only the interface it comes by.
    fn wants(&self, look: &Look) -> bool {
        let Some(packet) = &look.packet else {
            return self.comes_by(look.iface) && Self { ingress: None, ..self.clone() }.is_empty();
        };
        self.wants_flow(look.iface, &flow(packet))
            || look.session.is_some_and(|session| {
                self.wants_flow(Some(session.ingress), &session.client)
                    || self.wants_flow(session.egress, &session.server)
            })
    }
}

fn flow(packet: &Packet) -> FlowKey {
    let (source_port, destination_port) = packet.ports();
    FlowKey {
        realm: 0,
        source: packet.source,
        destination: packet.destination,
        protocol: packet.protocol,
        source_port,
        destination_port,
    }
}

/// What the workers know of a capture.
#[derive(Debug)]
pub struct Plan {
    filters: Vec<Filter>,
    /// Bytes of each packet that are kept.
    pub(super) snaplen: usize,
    /// Stages that take no more packets, the ones that were not asked for among them.
    done: [AtomicBool; 4],
    queued_bytes: AtomicUsize,
    lost: AtomicU64,
}

impl Plan {
    /// No filters are for every packet; `snaplen` 0 is for all bytes.
    pub(super) fn new(filters: Vec<Filter>, snaplen: usize, wanted: impl Fn(Stage) -> bool) -> Self {
        Self {
            filters,
            snaplen: if snaplen == 0 { usize::MAX } else { snaplen },
            done: Stage::ALL.map(|stage| AtomicBool::new(!wanted(stage))),
            queued_bytes: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// Whether a packet is among those that are meant, as far as it or its session tells.
    pub(super) fn wants(&self, look: &Look) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| filter.wants(look))
    }

    pub(super) fn has_filters(&self) -> bool {
        !self.filters.is_empty()
    }

    pub(super) fn is_open(&self, stage: Stage) -> bool {
        !self.done[stage.index()].load(Ordering::Relaxed)
    }

    pub(super) fn is_over(&self) -> bool {
        Stage::ALL.into_iter().all(|stage| !self.is_open(stage))
    }

    pub(super) fn close(&self, stage: Stage) {
        self.done[stage.index()].store(true, Ordering::Relaxed);
    }

    /// Whether so many bytes have room on the way to the files; they have taken it then.
    pub(super) fn enqueue(&self, bytes: usize) -> bool {
        let before = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= QUEUED_BYTES_MAX;
        if !fits {
            self.dequeue(bytes);
        }
        fits
    }

    pub(super) fn dequeue(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn lose(&self, packets: usize) {
        self.lost.fetch_add(packets as u64, Ordering::Relaxed);
    }

    /// Packets that found no room on the way to the files.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use bartizan_packet::frame::Meta;
    use bartizan_packet::parse::{Parsed, parse};

    use super::*;

    fn udp() -> Packet {
        let link = bartizan_packet::answer::Link { source: [2; 6], destination: [4; 6] };
        let frame = bartizan_packet::answer::udp_frame(
            link,
            ("10.0.0.5".parse().unwrap(), 5000),
            ("192.0.2.1".parse().unwrap(), 53),
            b"hello",
        );
        match parse(&frame, Meta::default()) {
            Ok(Parsed::Ip(packet)) => packet,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_filter_wants_what_all_of_its_conditions_are_true_of() {
        let look = Look { iface: Some(IfaceId(3)), packet: Some(udp()), session: None };
        let network = |text: &str| Some(text.parse().unwrap());
        let interface = |id| Some(("ethernet1/1".to_owned(), IfaceId(id)));
        for (filter, wanted) in [
            (Filter { source: network("10.0.0.0/8"), ..Filter::default() }, true),
            (Filter { source: network("192.0.2.1/32"), ..Filter::default() }, false),
            (Filter { destination: network("192.0.2.1/32"), protocol: Some(17), ..Filter::default() }, true),
            (Filter { destination: network("192.0.2.1/32"), protocol: Some(6), ..Filter::default() }, false),
            (Filter { source_port: Some(5000), destination_port: Some(53), ..Filter::default() }, true),
            (Filter { destination_port: Some(5000), ..Filter::default() }, false),
            (Filter { ingress: interface(3), ..Filter::default() }, true),
            (Filter { ingress: interface(4), ..Filter::default() }, false),
        ] {
            let plan = Plan::new(vec![filter.clone()], 0, |_| true);
            assert_eq!(plan.wants(&look), wanted, "{filter:?}");
        }
        assert!(Plan::new(Vec::new(), 0, |_| true).wants(&look), "no filter is for everything");
    }

    #[test]
    fn what_is_no_ip_is_wanted_by_its_interface_alone() {
        let look = Look { iface: Some(IfaceId(3)), ..Look::default() };
        let ingress = Some(("ethernet1/1".to_owned(), IfaceId(3)));
        let by_interface = Filter { ingress: ingress.clone(), ..Filter::default() };
        assert!(Plan::new(vec![by_interface], 0, |_| true).wants(&look));
        let more = Filter { ingress, protocol: Some(17), ..Filter::default() };
        assert!(!Plan::new(vec![more], 0, |_| true).wants(&look));
    }

    #[test]
    fn the_way_to_the_files_holds_so_much_and_no_more() {
        let plan = Plan::new(Vec::new(), 0, |_| true);
        assert!(plan.enqueue(QUEUED_BYTES_MAX));
        assert!(!plan.enqueue(1));
        plan.dequeue(10);
        assert!(plan.enqueue(10));
    }
}
