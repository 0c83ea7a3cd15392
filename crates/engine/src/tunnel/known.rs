//! What does a worker know of tunnels: of the packet in hand, and of those that sessions' ends are behind?

use std::net::IpAddr;

use bartizan_packet::ethernet;
use bartizan_packet::tunnel::{Capsule, Prefix};
use bartizan_policy::tables::IfaceId;
use bartizan_policy::tunnels::Unmapped;

use crate::verdict::{Port, Time, TunnelTraffic, UnmappedTunnel};

/// The headers of a session's tunnel, by position in [`Tunnels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReturnRef(pub(super) u32);

impl ReturnRef {
    /// The session came by no tunnel.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// How a session's packets get into the tunnel one of its ends is behind.
#[derive(Clone, Debug)]
pub(super) struct Return {
    pub(super) lower: IfaceId,
    pub(super) prefix: Prefix,
    learned: Option<Learned>,
}

/// A tunnel that a session did not know of when its packets first left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Learned {
    /// The side of its traffic object by which packets go into it.
    pub(crate) side: IfaceId,
    /// So many packets that left before are still on their way back.
    pub(crate) returning: u32,
    /// When something last came out of it.
    pub(crate) heard: Time,
}

/// The tunnel packet in hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) lower: IfaceId,
    /// The side of its traffic object.
    pub(super) iface: IfaceId,
    pub(super) capsule: Capsule,
    /// What is in it is for the pod it came from.
    pub(super) hairpin: bool,
}

/// Everything a worker knows of tunnels.
pub(crate) struct Tunnels {
    pub(super) current: Option<Current>,
    /// Headers of the packet in hand.
    pub(super) head: Vec<u8>,
    /// The packet in hand goes into this tunnel, not back into its own.
    pub(super) into: ReturnRef,
    pub(super) returns: Vec<Option<Return>>,
    free: Vec<u32>,
    returns_max: usize,
    pub(super) traffic: Vec<TunnelTraffic>,
    pub(super) unmapped: Vec<UnmappedTunnel>,
    unmapped_max: usize,
    /// The own address that tunnel packets came for last.
    pub(crate) own: Option<(u32, IfaceId, IpAddr)>,
}

impl Tunnels {
    pub(crate) fn new(returns_max: usize, unmapped_max: usize) -> Self {
        Self {
            current: None,
            head: Vec::new(),
            into: ReturnRef::NONE,
            returns: Vec::new(),
            free: Vec::new(),
            returns_max,
            traffic: Vec::new(),
            unmapped: Vec::new(),
            unmapped_max,
            own: None,
        }
    }

    /// Counts for so many interfaces.
    pub(crate) fn cover(&mut self, interfaces: usize) {
        self.traffic.resize(self.traffic.len().max(interfaces), TunnelTraffic::default());
    }

    /// Whether the packet in hand came out of a tunnel.
    #[inline]
    pub(crate) fn is_inside(&self) -> bool {
        self.current.is_some()
    }

    /// Whether it is for the pod whose tunnel that is.
    #[inline]
    pub(crate) fn is_hairpin(&self) -> bool {
        self.current.is_some_and(|current| current.hairpin)
    }

    /// Who sent the packet that was last opened: the pod, where a load balancer's tunnel is around its own.
    pub(crate) fn sender(&self, capsule: &Capsule) -> IpAddr {
        capsule.sender(&self.head)
    }

    /// The port the packet in hand really came by.
    pub(crate) fn lower(&self) -> Option<IfaceId> {
        self.current.map(|current| current.lower)
    }

    /// Whether there is no room for the headers of another session.
    pub(crate) fn is_full(&self) -> bool {
        self.free.is_empty() && self.returns.len() >= self.returns_max
    }

    /// Remembers the headers of the packet in hand.
    pub(crate) fn keep(&mut self) -> ReturnRef {
        let entry = self.answer(!self.is_hairpin());
        entry.map_or(ReturnRef::NONE, |entry| self.add(entry))
    }

    /// Remembers them for a session that did not know of the tunnel; `None` if there is no room.
    pub(crate) fn learn(&mut self, learned: Learned) -> Option<ReturnRef> {
        let entry = self.answer(!self.is_hairpin())?;
        let reference = self.add(Return { learned: Some(learned), ..entry });
        (reference != ReturnRef::NONE).then_some(reference)
    }

    /// What is known of a tunnel that a session did not know at first.
    pub(crate) fn learned(&self, reference: ReturnRef) -> Option<&Learned> {
        self.get(reference)?.learned.as_ref()
    }

    /// Whether the packet in hand is one of those that are still on their way back, and one less is.
    pub(crate) fn take_returning(&mut self, reference: ReturnRef, packets: u64) -> bool {
        let entry = self.returns.get_mut(reference.0 as usize).and_then(Option::as_mut);
        let Some(learned) = entry.and_then(|entry| entry.learned.as_mut()) else { return false };
        let is_one = learned.returning > 0;
        learned.returning = learned.returning.saturating_sub(u32::try_from(packets).unwrap_or(u32::MAX));
        is_one
    }

    fn add(&mut self, entry: Return) -> ReturnRef {
        match self.free.pop() {
            Some(position) => {
                self.set(ReturnRef(position), Some(entry));
                ReturnRef(position)
            }
            None if self.returns.len() < self.returns_max => {
                self.returns.push(Some(entry));
                ReturnRef(self.returns.len() as u32 - 1)
            }
            None => ReturnRef::NONE,
        }
    }

    /// Forgets a session's headers.
    pub(crate) fn give_back(&mut self, reference: ReturnRef) {
        if reference != ReturnRef::NONE {
            self.set(reference, None);
            self.free.push(reference.0);
        }
    }

    /// A packet came out of a tunnel. It may come behind other headers now: a load balancer moved the flow.
    pub(crate) fn refresh(&mut self, reference: ReturnRef, now: Time) {
        let Some(Current { lower, capsule, hairpin, .. }) = self.current else { return };
        let Some(entry) = self.returns.get_mut(reference.0 as usize).and_then(Option::as_mut) else { return };
        if let Some(learned) = &mut entry.learned {
            learned.heard = now;
        }
        let learned = entry.learned;
        if entry.lower != lower || !entry.prefix.answers(&self.head, &capsule, !hairpin) {
            let entry = self.answer(!hairpin).map(|entry| Return { learned, ..entry });
            self.set(reference, entry);
        }
    }

    /// The packet in hand's headers, turned; with the inner addresses, if it goes to the inner sender.
    pub(super) fn answer(&self, inner_addresses: bool) -> Option<Return> {
        let Current { lower, capsule, .. } = self.current?;
        let prefix = Prefix::answering(&self.head, &capsule, inner_addresses);
        Some(Return { lower, prefix, learned: None })
    }

    /// The packet in hand has left.
    pub(crate) fn forget_way(&mut self) {
        self.into = ReturnRef::NONE;
    }

    /// The frame of an IP packet put back behind the headers in hand, and the port it came by.
    pub(crate) fn put_back(&self, frame: &[u8]) -> Option<(Port, Vec<u8>)> {
        let Current { lower, capsule, .. } = self.current?;
        let bytes = capsule.around(&self.head, frame.get(ethernet::HEADER_BYTES..)?)?;
        Some((Port::Data(lower), bytes))
    }

    pub(super) fn get(&self, reference: ReturnRef) -> Option<&Return> {
        self.returns.get(reference.0 as usize)?.as_ref()
    }

    pub(super) fn set(&mut self, reference: ReturnRef, entry: Option<Return>) {
        if let Some(place) = self.returns.get_mut(reference.0 as usize) {
            *place = entry;
        }
    }

    #[inline]
    pub(crate) fn count(&mut self, iface: IfaceId, (packets, bytes): (u64, u64), inwards: bool) {
        let Some(traffic) = self.traffic.get_mut(iface.index()) else { return };
        let direction = if inwards { &mut traffic.received } else { &mut traffic.sent };
        direction.0 += packets;
        direction.1 += bytes;
    }

    pub(super) fn note(&mut self, tunnel: Unmapped, peer: IpAddr, lower: IfaceId, now: Time) {
        if let Some(seen) = self.unmapped.iter_mut().find(|seen| seen.tunnel == tunnel && seen.lower == lower) {
            (seen.peer, seen.last) = (peer, now);
            seen.packets += 1;
            return;
        }
        // The one that was silent for longest makes room.
        if self.unmapped.len() >= self.unmapped_max
            && let Some(oldest) = (0..self.unmapped.len()).min_by_key(|at| self.unmapped[*at].last)
        {
            self.unmapped.swap_remove(oldest);
        }
        self.unmapped.push(UnmappedTunnel { tunnel, peer, lower, last: now, packets: 1 });
    }
}
