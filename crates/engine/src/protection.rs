//! What does the protection profile of the zone refuse, and how often did it?
//!
//! What a header says is asked of every packet: one word of its oddities against one of the interface.
//! Where an address comes from is asked of the first packet of a session.

use std::net::IpAddr;
use std::sync::Arc;

use bartizan_model::device::{Check, ZoneProtection};
use bartizan_packet::answer::Problem;
use bartizan_packet::oddity::{Oddities, Oddity};
use bartizan_packet::parse::Packet;
use bartizan_policy::tables::{Compiled, IfaceId, Route, ZoneId};

use crate::engine::Engine;
use crate::pipeline::{Staged, drop};
use crate::verdict::DropReason;

/// What the engine keeps of each zone, by position of its id; outlives the tables.
#[derive(Debug, Default)]
pub(crate) struct Protection {
    zones: Vec<Zone>,
}

/// One zone.
#[derive(Clone, Debug)]
struct Zone {
    profile: Option<Arc<ZoneProtection>>,
    /// Packets that each check discarded.
    discarded: [u64; Check::ALL.len()],
}

impl Default for Zone {
    fn default() -> Self {
        Self { profile: None, discarded: [0; Check::ALL.len()] }
    }
}

/// What a zone's protection has done, on one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectionView {
    /// Packets that each check discarded since the start, in the order of [`Check::ALL`].
    pub discarded: [u64; Check::ALL.len()],
}

impl Protection {
    /// Zones keep their counts from one generation to the next.
    pub(crate) fn install(&mut self, tables: &Compiled) {
        let zones = tables.ids().zones.len();
        self.zones.resize(self.zones.len().max(zones), Zone::default());
        for (at, zone) in self.zones.iter_mut().enumerate() {
            zone.profile = tables.protection(ZoneId(at as u16)).cloned();
        }
    }

    /// What packets of a zone must not have.
    pub(crate) fn refused(&self, zone: Option<ZoneId>) -> Oddities {
        let mut refused = Oddities::default();
        let Some(profile) = zone.and_then(|zone| self.profile(zone)) else { return refused };
        for oddity in Oddity::ALL {
            if profile.checks.contains(check_of(*oddity)) {
                refused.insert(*oddity);
            }
        }
        refused
    }

    pub(crate) fn profile(&self, zone: ZoneId) -> Option<&Arc<ZoneProtection>> {
        self.zones.get(zone.index())?.profile.as_ref()
    }

    pub(crate) fn view(&self, zone: ZoneId) -> Option<ProtectionView> {
        let zone = self.zones.get(zone.index())?;
        Some(ProtectionView { discarded: zone.discarded })
    }

    /// Ends a packet by a check of the zone.
    fn discard<T>(&mut self, zone: ZoneId, check: Check, packets: u64) -> Staged<T> {
        if let Some(zone) = self.zones.get_mut(zone.index()) {
            zone.discarded[check as usize] += packets;
        }
        drop(reason_of(check))
    }
}

impl Engine {
    /// Ends a packet that has what the profile of its zone refuses.
    #[cold]
    pub(crate) fn refuse_oddity<T>(&mut self, zone: ZoneId, oddity: Oddity, packets: u64) -> Staged<T> {
        self.protection.discard(zone, check_of(oddity), packets)
    }

    /// Whether the first packet of a session may have the source it has; `back` is the route there.
    pub(crate) fn check_source(&mut self, iface: IfaceId, packet: &Packet, back: Route) -> Staged<()> {
        let Some(zone) = self.zone_of(iface) else { return Ok(()) };
        let Some(profile) = self.protection.profile(zone) else { return Ok(()) };
        let checks = profile.checks;
        let exit = match back {
            Route::Via { iface, .. } => Some(iface),
            Route::Local { .. } | Route::Discard | Route::None | Route::Loop => None,
        };
        let failed = if checks.contains(Check::SpoofedSource) && exit.and_then(|exit| self.zone_of(exit)) != Some(zone)
        {
            Check::SpoofedSource
        } else if checks.contains(Check::StrictAddress)
            && (exit != Some(iface) || self.is_network_end(iface, packet.source, true))
        {
            Check::StrictAddress
        } else if checks.contains(Check::AnycastSource) && self.is_network_end(iface, packet.source, false) {
            Check::AnycastSource
        } else {
            return Ok(());
        };
        self.protection.discard(zone, failed, 1)
    }

    /// Whether the profile of the sender's zone keeps a problem from it.
    pub(crate) fn is_untold(&self, iface: IfaceId, problem: Problem) -> bool {
        let profile = self.zone_of(iface).and_then(|zone| self.protection.profile(zone));
        profile.is_some_and(|profile| match problem {
            Problem::TimeExceeded => profile.suppress_time_exceeded,
            Problem::TooBig { .. } => profile.suppress_too_big,
            Problem::Prohibited => false,
        })
    }

    fn zone_of(&self, iface: IfaceId) -> Option<ZoneId> {
        self.links.get(iface.index())?.zone
    }

    /// Whether an address is the last of an IPv4 network of the interface (the broadcast address), or the
    /// first of an IPv6 one (the subnet-router anycast address, RFC 4291 section 2.6.1).
    fn is_network_end(&self, iface: IfaceId, address: IpAddr, last_v4: bool) -> bool {
        let interface = self.tables.as_ref().and_then(|tables| tables.interface(iface));
        let networks = interface.into_iter().flat_map(|interface| &interface.addresses);
        networks.into_iter().any(|network| {
            let host_bits = network.max_prefix_len() - network.prefix_len();
            let end = if last_v4 { network.broadcast() } else { network.network() };
            host_bits > 1 && last_v4 == address.is_ipv4() && end == address
        })
    }
}

/// The setting by which a profile refuses an oddity.
fn check_of(oddity: Oddity) -> Check {
    match oddity {
        Oddity::Fragment => Check::Fragment,
        Oddity::StrictSourceRouting => Check::StrictSourceRouting,
        Oddity::LooseSourceRouting => Check::LooseSourceRouting,
        Oddity::Timestamp => Check::Timestamp,
        Oddity::RecordRoute => Check::RecordRoute,
        Oddity::Security => Check::Security,
        Oddity::StreamId => Check::StreamId,
        Oddity::UnknownOption => Check::UnknownOption,
        Oddity::MalformedOption => Check::MalformedOption,
        Oddity::SynWithData => Check::SynWithData,
        Oddity::SynAckWithData => Check::SynAckWithData,
        Oddity::PingZeroId => Check::PingZeroId,
        Oddity::IcmpFragment => Check::IcmpFragment,
        Oddity::IcmpLarge => Check::IcmpLarge,
        Oddity::IcmpError => Check::IcmpError,
        Oddity::RoutingHeader0 => Check::RoutingHeader0,
        Oddity::RoutingHeader1 => Check::RoutingHeader1,
        Oddity::RoutingHeader3 => Check::RoutingHeader3,
        Oddity::RoutingHeader4To252 => Check::RoutingHeader4To252,
        Oddity::RoutingHeader253 => Check::RoutingHeader253,
        Oddity::RoutingHeader254 => Check::RoutingHeader254,
        Oddity::RoutingHeader255 => Check::RoutingHeader255,
        Oddity::RoutingHeader => Check::RoutingHeader,
        Oddity::HopByHopHeader => Check::HopByHopHeader,
        Oddity::DestinationOptions => Check::DestinationOptions,
        Oddity::Ipv4Compatible => Check::Ipv4Compatible,
        Oddity::NeedlessFragmentHeader => Check::NeedlessFragmentHeader,
        Oddity::ReservedField6 => Check::ReservedField6,
        Oddity::InvalidOption6 => Check::InvalidOption6,
        Oddity::TooBigSmallMtu => Check::TooBigSmallMtu,
    }
}

fn reason_of(check: Check) -> DropReason {
    match check {
        Check::SpoofedSource => DropReason::ZoneSpoofed,
        Check::StrictAddress | Check::AnycastSource => DropReason::ZoneAddress,
        Check::Fragment => DropReason::ZoneFragment,
        Check::StrictSourceRouting
        | Check::LooseSourceRouting
        | Check::Timestamp
        | Check::RecordRoute
        | Check::Security
        | Check::StreamId
        | Check::UnknownOption
        | Check::MalformedOption => DropReason::ZoneOption,
        Check::SynWithData | Check::SynAckWithData => DropReason::ZoneTcp,
        Check::PingZeroId | Check::IcmpFragment | Check::IcmpLarge | Check::IcmpError | Check::TooBigSmallMtu => {
            DropReason::ZoneIcmp
        }
        Check::RoutingHeader0
        | Check::RoutingHeader1
        | Check::RoutingHeader3
        | Check::RoutingHeader4To252
        | Check::RoutingHeader253
        | Check::RoutingHeader254
        | Check::RoutingHeader255
        | Check::Ipv4Compatible
        | Check::NeedlessFragmentHeader
        | Check::InvalidOption6
        | Check::ReservedField6
        | Check::HopByHopHeader
        | Check::RoutingHeader
        | Check::DestinationOptions => DropReason::ZoneIpv6,
    }
}
