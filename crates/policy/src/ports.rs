//! Which protocols and ports does a row of a rule base accept?

use bartizan_model::device::{Service, ServiceProtocol};

use crate::ranges::Ranges;

/// The ports a row accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ports {
    /// Every protocol.
    Any,
    /// These destination ports of each protocol, from these source ports.
    Of { source: Ranges<u16>, destination: [Ranges<u16>; PROTOCOLS.len()] },
}

/// The protocols that have ports, with the place of each in [`Ports::Of`].
pub(crate) const PROTOCOLS: [(u8, ServiceProtocol); 3] =
    [(6, ServiceProtocol::Tcp), (17, ServiceProtocol::Udp), (132, ServiceProtocol::Sctp)];

/// Source and destination ports of one protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortTerm {
    pub(crate) protocol: ServiceProtocol,
    pub(crate) ports: Ranges<u16>,
    pub(crate) source_ports: Ranges<u16>,
}

impl PortTerm {
    pub(crate) fn new(service: &Service) -> Self {
        let source_ports =
            if service.source_ports.is_empty() { Ranges::all() } else { Ranges::new(service.source_ports.clone()) };
        Self { protocol: service.protocol, ports: Ranges::new(service.ports.clone()), source_ports }
    }
}

impl Ports {
    pub(crate) fn accept(&self, protocol: u8, source_port: u16, destination_port: u16) -> bool {
        let Self::Of { source, destination } = self else { return true };
        let place = PROTOCOLS.iter().position(|(number, _)| *number == protocol);
        place
            .and_then(|place| destination.get(place))
            .is_some_and(|ports| ports.contains(destination_port) && source.contains(source_port))
    }

    /// The rows' ports for a list of services: one for each distinct set of source ports.
    pub(crate) fn of(terms: &[PortTerm]) -> Vec<Self> {
        let mut sources: Vec<&Ranges<u16>> = Vec::new();
        for term in terms.iter().filter(|term| !term.source_ports.is_none()) {
            if !sources.contains(&&term.source_ports) {
                sources.push(&term.source_ports);
            }
        }
        let row = |source: &Ranges<u16>| Self::Of {
            source: source.clone(),
            destination: PROTOCOLS.map(|(_, protocol)| {
                let terms = terms.iter().filter(|term| term.protocol == protocol && term.source_ports == *source);
                Ranges::new(terms.flat_map(|term| term.ports.as_slice()).copied().collect())
            }),
        };
        sources.into_iter().map(row).collect()
    }
}
