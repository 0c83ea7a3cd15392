//! What happens to a packet at the pod's interface: tunnel, hairpin, straight through or drop?
//!
//! Three programs for each pod, put together from its settings: at the interface outwards, inwards, and
//! inwards at the tunnel device, from where inspected packets go to the interface as if they had come by it.
//! An outer packet that our own tunnel device made carries [`MARK`] in `tc_index`, which no socket option can
//! set; without it a pod could write outer packets itself.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::assembler::{Assembler, Helper, Label, Register, When, Width};
use crate::info::{Ports, Protocol, Subnets};
use crate::settings::{ClusterId, FailureMode};

use Register::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10};

/// The port of the tunnel at both ends.
pub(crate) const TUNNEL_PORT: u16 = 6080;

/// Value bit of the map `direct`: packets of and to this range go without a firewall.
pub(crate) const DIRECT: u32 = 1;
/// Value bit of the map `direct`: this range may send tunnel packets.
pub(crate) const FIREWALL: u32 = 2;

/// On a packet that the tunnel device made.
const MARK: u32 = 0xba27;
/// On a packet that came out of the tunnel device.
const INSPECTED: u32 = 0xba28;

/// What a pod's programs count, in the order of the counters' map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Counter {
    Tunnelled,
    Hairpinned,
    FromTunnel,
    Returned,
    Direct,
    ByPort,
    BySubnet,
    FailedOpen,
    DroppedNoFirewall,
    DroppedForged,
    DroppedVni,
    DroppedNotIpv4,
    PassedNotIpv4,
}

impl Counter {
    /// All, with the names that metrics and state show.
    pub(crate) const ALL: [(Self, &'static str); 13] = [
        (Self::Tunnelled, "tunnelled"),
        (Self::Hairpinned, "hairpinned"),
        (Self::FromTunnel, "from_tunnel"),
        (Self::Returned, "returned_to_node"),
        (Self::Direct, "direct"),
        (Self::ByPort, "bypassed_port"),
        (Self::BySubnet, "bypassed_subnet"),
        (Self::FailedOpen, "failed_open"),
        (Self::DroppedNoFirewall, "dropped_no_firewall"),
        (Self::DroppedForged, "dropped_forged_tunnel"),
        (Self::DroppedVni, "dropped_cluster_id"),
        (Self::DroppedNotIpv4, "dropped_not_ipv4"),
        (Self::PassedNotIpv4, "passed_not_ipv4"),
    ];
}

/// Descriptors of the maps that programs look into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptors {
    pub(crate) direct: i32,
    pub(crate) state: i32,
    pub(crate) counters: i32,
    /// Only where ports bypass the firewall.
    pub(crate) flows: Option<i32>,
}

/// What a pod's programs are made from.
#[derive(Clone, Debug)]
pub(crate) struct Steering {
    pub(crate) cluster_id: ClusterId,
    pub(crate) failure_mode: FailureMode,
    pub(crate) ports: Ports,
    pub(crate) subnets: Subnets,
}

/// Which way a packet goes at the pod's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Out,
    In,
}

// Fields of `struct __sk_buff`.
const SKB_PROTOCOL: i16 = 16;
const SKB_TC_INDEX: i16 = 44;

const PASS: i32 = 0;
const DROP: i32 = 2;
const PACKET_HOST: i32 = 0;
const ZERO_CHECKSUM: i32 = 1 << 1;
const REDIRECT_INWARDS: i32 = 1;

// The stack, from its end.
/// `struct bpf_tunnel_key`, its first two words: identifier and remote address in the machine's order.
const TUNNEL_KEY: i16 = -8;
const TUNNEL_KEY_BYTES: i32 = 8;
/// Prefix length and address.
const LPM_KEY: i16 = -16;
/// Source and destination port, as on the wire.
const PORTS: i16 = -20;
const INDEX: i16 = -24;
/// The IPv4 header without options.
const HEADER: i16 = -48;
/// Far address, near address, far port, near port, protocol.
const FLOW: i16 = -64;
const FLOW_VALUE: i16 = -72;
/// A hardware address that nobody has: 02:00:00:00:00:00.
const NOBODY: i16 = -72;

// Where hardware addresses are in a frame.
const DESTINATION_STATION: i32 = 0;
const SOURCE_STATION: i32 = 6;

const ETHERNET_BYTES: i32 = 14;
const TCP: u32 = 6;
const UDP: u32 = 17;
const ICMPV6: u32 = 58;

/// The program at the pod's interface.
pub(crate) fn interface(direction: Direction, tunnel_index: u32, steering: &Steering, maps: Descriptors) -> Vec<u64> {
    Writer::new(direction, tunnel_index, steering, maps).write()
}

/// The pod's interface, as the program at the tunnel device knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near {
    pub(crate) index: u32,
    pub(crate) address: Ipv4Addr,
}

/// The program at the tunnel device, inwards: this cluster's packets go on to the pod's interface, where
/// reverse-path filters and the pod's own rules expect them. The pod's own, which a firewall has seen and gives back, leave
/// by it: only the node knows where a service's address leads.
pub(crate) fn tunnel(cluster_id: ClusterId, near: Near, maps: Descriptors) -> Vec<u64> {
    let mut code = Assembler::default();
    let (foreign, arrives) = (code.label(), code.label());
    code.copy(R6, R1);
    code.stack(R2, i32::from(TUNNEL_KEY));
    code.set(R3, TUNNEL_KEY_BYTES);
    code.set(R4, 0);
    code.call(Helper::GetTunnelKey);
    code.jump_if(R0, When::NotEqual, 0, foreign);
    code.load(Width::Word, R1, R10, TUNNEL_KEY);
    code.jump_if(R1, When::NotEqual, cluster_id.number(), foreign);
    code.load(Width::Word, R1, R6, SKB_PROTOCOL);
    code.jump_if(R1, When::NotEqual, ethertype(0x0800), arrives);
    load_bytes(&mut code, ETHERNET_BYTES + 12, HEADER, 4);
    code.jump_if(R0, When::NotEqual, 0, arrives);
    code.load(Width::Word, R1, R10, HEADER);
    code.jump_if(R1, When::NotEqual, wire(near.address), arrives);
    code.set_word(R1, MARK);
    code.store(Width::Word, R6, SKB_TC_INDEX, R1);
    count(&mut code, maps, Counter::Returned);
    // Whatever hardware addresses the firewall wrote: to the next hop of the pod's own routes.
    code.set_word(R1, near.index);
    code.set(R2, 0);
    code.set(R3, 0);
    code.set(R4, 0);
    code.call(Helper::RedirectNeighbor);
    code.exit();
    code.bind(arrives);
    code.set_word(R1, INSPECTED);
    code.store(Width::Word, R6, SKB_TC_INDEX, R1);
    count(&mut code, maps, Counter::FromTunnel);
    code.set_word(R1, near.index);
    code.set(R2, REDIRECT_INWARDS);
    code.call(Helper::Redirect);
    code.exit();
    code.bind(foreign);
    count(&mut code, maps, Counter::DroppedVni);
    leave(&mut code, DROP);
    code.finish()
}

/// The value of the map `state`: endpoint in the machine's order, and whether it is well.
pub(crate) fn state_value(endpoint: Option<Ipv4Addr>) -> [u8; 8] {
    let mut value = [0; 8];
    if let Some(endpoint) = endpoint {
        value[..4].copy_from_slice(&u32::from(endpoint).to_ne_bytes());
        value[4..].copy_from_slice(&1u32.to_ne_bytes());
    }
    value
}

struct Writer<'a> {
    code: Assembler,
    direction: Direction,
    tunnel_index: u32,
    steering: &'a Steering,
    maps: Descriptors,
    pass: Label,
    not_ipv4: Label,
    no_firewall: Label,
}

impl<'a> Writer<'a> {
    fn new(direction: Direction, tunnel_index: u32, steering: &'a Steering, maps: Descriptors) -> Self {
        let mut code = Assembler::default();
        let (pass, not_ipv4, no_firewall) = (code.label(), code.label(), code.label());
        Self { code, direction, tunnel_index, steering, maps, pass, not_ipv4, no_firewall }
    }

    fn write(mut self) -> Vec<u64> {
        self.code.copy(R6, R1);
        self.marked_packets();
        self.protocols();
        self.read_packet();
        self.tunnel_packets();
        self.direct_ranges();
        self.subnets();
        self.ports();
        self.send_through_tunnel();
        self.endings();
        self.code.finish()
    }

    /// What the tunnel device made leaves, what came out of it arrives; nobody else's mark survives.
    fn marked_packets(&mut self) {
        let code = &mut self.code;
        let other = code.label();
        code.load(Width::Word, R7, R6, SKB_TC_INDEX);
        code.set_word(R1, 0);
        code.store(Width::Word, R6, SKB_TC_INDEX, R1);
        match self.direction {
            Direction::Out => code.jump_if(R7, When::Equal, MARK, self.pass),
            Direction::In => {
                code.jump_if(R7, When::NotEqual, INSPECTED, other);
                // Whatever hardware address the firewall wrote.
                code.copy(R1, R6);
                code.set(R2, PACKET_HOST);
                code.call(Helper::ChangeType);
                leave(code, PASS);
            }
        }
        code.bind(other);
    }

    /// ARP and neighbour discovery pass; of the rest only IPv4 goes on.
    fn protocols(&mut self) {
        let code = &mut self.code;
        let (ipv4, ipv6) = (code.label(), code.label());
        code.load(Width::Word, R7, R6, SKB_PROTOCOL);
        code.jump_if(R7, When::Equal, ethertype(0x0800), ipv4);
        code.jump_if(R7, When::Equal, ethertype(0x0806), self.pass);
        code.jump_if(R7, When::Equal, ethertype(0x86dd), ipv6);
        code.jump(self.not_ipv4);
        code.bind(ipv6);
        load_bytes(code, ETHERNET_BYTES + 6, HEADER, 1);
        code.jump_if(R0, When::NotEqual, 0, self.not_ipv4);
        code.load(Width::Byte, R1, R10, HEADER);
        code.jump_if(R1, When::NotEqual, ICMPV6, self.not_ipv4);
        load_bytes(code, ETHERNET_BYTES + 40, HEADER, 1);
        code.jump_if(R0, When::NotEqual, 0, self.not_ipv4);
        // RFC 4861: router solicitation to redirect.
        code.load(Width::Byte, R1, R10, HEADER);
        code.jump_if(R1, When::LessThan, 133, self.not_ipv4);
        code.jump_if(R1, When::GreaterThan, 137, self.not_ipv4);
        code.jump(self.pass);
        code.bind(ipv4);
    }

    /// Afterwards: far address in R7, protocol in R8, ports on the stack (zero where there are none), flags of
    /// the far address in R9.
    fn read_packet(&mut self) {
        let far = if self.direction == Direction::Out { 16 } else { 12 };
        let code = &mut self.code;
        let (read, no_range) = (code.label(), code.label());
        load_bytes(code, ETHERNET_BYTES, HEADER, 20);
        code.jump_if(R0, When::NotEqual, 0, self.not_ipv4);
        code.load(Width::Word, R7, R10, HEADER + far);
        code.load(Width::Byte, R8, R10, HEADER + 9);
        code.store_value(Width::Word, R10, PORTS, 0);
        let transport = code.label();
        code.jump_if(R8, When::Equal, TCP, transport);
        code.jump_if(R8, When::NotEqual, UDP, read);
        code.bind(transport);
        code.load(Width::Half, R1, R10, HEADER + 6);
        code.network_half(R1);
        code.jump_if(R1, When::AnyBit, 0x1fff, read);
        code.load(Width::Byte, R2, R10, HEADER);
        code.and(R2, 0xf);
        code.shift_left(R2, 2);
        code.add(R2, ETHERNET_BYTES);
        code.copy(R1, R6);
        code.stack(R3, i32::from(PORTS));
        code.set(R4, 4);
        code.call(Helper::LoadBytes);
        code.jump_if(R0, When::Equal, 0, read);
        code.store_value(Width::Word, R10, PORTS, 0);
        code.bind(read);

        code.store_value(Width::Word, R10, LPM_KEY, 32);
        code.store(Width::Word, R10, LPM_KEY + 4, R7);
        lookup(code, self.maps.direct, LPM_KEY);
        code.set_word(R9, 0);
        code.jump_if_null(R0, no_range);
        code.load(Width::Word, R9, R0, 0);
        code.bind(no_range);
    }

    /// Inwards, only a firewall may put packets into the tunnel. Outwards, an outer packet to a firewall that
    /// the tunnel device did not make is forged.
    fn tunnel_packets(&mut self) {
        let code = &mut self.code;
        let (ordinary, forged) = (code.label(), code.label());
        code.jump_if(R8, When::NotEqual, UDP, ordinary);
        code.load(Width::Half, R1, R10, PORTS + 2);
        code.network_half(R1);
        code.jump_if(R1, When::NotEqual, u32::from(TUNNEL_PORT), ordinary);
        match self.direction {
            Direction::In => code.jump_if(R9, When::AnyBit, FIREWALL, self.pass),
            Direction::Out => {
                code.jump_if(R9, When::AnyBit, FIREWALL, forged);
                code.jump(ordinary);
            }
        }
        code.bind(forged);
        count(code, self.maps, Counter::DroppedForged);
        leave(code, DROP);
        code.bind(ordinary);
    }

    fn direct_ranges(&mut self) {
        let code = &mut self.code;
        let other = code.label();
        let direct = code.label();
        code.jump_if(R9, When::AnyBit, DIRECT, direct);
        code.jump(other);
        code.bind(direct);
        count(code, self.maps, Counter::Direct);
        leave(code, PASS);
        code.bind(other);
    }

    /// The ranges of a SubnetInfo: these go without a firewall, or all others do.
    fn subnets(&mut self) {
        let (ranges, listed_bypass) = match &self.steering.subnets {
            Subnets::All => return,
            Subnets::Bypass(ranges) => (ranges, true),
            Subnets::Inspect(ranges) => (ranges, false),
        };
        let code = &mut self.code;
        let (bypass, inspect) = (code.label(), code.label());
        let listed = if listed_bypass { bypass } else { inspect };
        for range in ranges {
            code.copy(R1, R7);
            code.and(R1, wire(range.netmask()));
            code.jump_if(R1, When::Equal, wire(range.network()), listed);
        }
        if listed_bypass {
            code.jump(inspect);
        }
        code.bind(bypass);
        count(code, self.maps, Counter::BySubnet);
        leave(code, PASS);
        code.bind(inspect);
    }

    /// The ports of a PortInfo: what the pod opens to them passes, and so do the answers to that and nothing else.
    fn ports(&mut self) {
        let Some(flows) = self.maps.flows else { return };
        let (far_port, near_port, near) = if self.direction == Direction::Out { (2, 0, 12) } else { (0, 2, 16) };
        let code = &mut self.code;
        let (other, bypass) = (code.label(), code.label());
        code.load(Width::Word, R1, R10, PORTS);
        code.jump_if(R1, When::Equal, 0, other);
        // A first fragment has ports, the others have none: all go the same way.
        code.load(Width::Half, R1, R10, HEADER + 6);
        code.network_half(R1);
        code.jump_if(R1, When::AnyBit, 0x3fff, other);
        code.store(Width::Word, R10, FLOW, R7);
        code.load(Width::Word, R1, R10, HEADER + near);
        code.store(Width::Word, R10, FLOW + 4, R1);
        code.load(Width::Half, R1, R10, PORTS + far_port);
        code.store(Width::Half, R10, FLOW + 8, R1);
        code.load(Width::Half, R1, R10, PORTS + near_port);
        code.store(Width::Half, R10, FLOW + 10, R1);
        code.store(Width::Word, R10, FLOW + 12, R8);
        match self.direction {
            Direction::In => {
                lookup(code, flows, FLOW);
                code.jump_if_null(R0, other);
                code.jump(bypass);
                code.bind(bypass);
            }
            Direction::Out => {
                code.load(Width::Half, R1, R10, PORTS + 2);
                code.network_half(R1);
                for (protocol, port) in self.steering.ports.iter() {
                    let next = code.label();
                    code.jump_if(R8, When::NotEqual, if protocol == Protocol::Tcp { TCP } else { UDP }, next);
                    code.jump_if(R1, When::Equal, u32::from(port.get()), bypass);
                    code.bind(next);
                }
                code.jump(other);
                code.bind(bypass);
                code.store_value(Width::Double, R10, FLOW_VALUE, 1);
                code.map(R1, flows);
                code.stack(R2, i32::from(FLOW));
                code.stack(R3, i32::from(FLOW_VALUE));
                code.set(R4, 0);
                code.call(Helper::MapUpdate);
            }
        }
        count(code, self.maps, Counter::ByPort);
        leave(code, PASS);
        code.bind(other);
    }

    fn send_through_tunnel(&mut self) {
        let code = &mut self.code;
        code.store_value(Width::Word, R10, INDEX, 0);
        lookup(code, self.maps.state, INDEX);
        code.jump_if_null(R0, self.no_firewall);
        code.load(Width::Word, R1, R0, 4);
        code.jump_if(R1, When::Equal, 0, self.no_firewall);
        code.load(Width::Word, R1, R0, 0);
        code.store(Width::Word, R10, TUNNEL_KEY + 4, R1);
        code.store_value(Width::Word, R10, TUNNEL_KEY, self.steering.cluster_id.number() as i32);
        code.copy(R1, R6);
        code.stack(R2, i32::from(TUNNEL_KEY));
        code.set(R3, TUNNEL_KEY_BYTES);
        code.set(R4, ZERO_CHECKSUM);
        code.call(Helper::SetTunnelKey);
        code.jump_if(R0, When::NotEqual, 0, self.no_firewall);
        // The tunnel device takes what seems to come from itself for a loop. A firewall may give a packet back as it is,
        // and may turn the hardware addresses round.
        let of_pod = if self.direction == Direction::Out { SOURCE_STATION } else { DESTINATION_STATION };
        code.store_value(Width::Word, R10, NOBODY, i32::from_ne_bytes([2, 0, 0, 0]));
        code.store_value(Width::Word, R10, NOBODY + 4, 0);
        code.copy(R1, R6);
        code.set(R2, of_pod);
        code.stack(R3, i32::from(NOBODY));
        code.set(R4, 6);
        code.set(R5, 0);
        code.call(Helper::StoreBytes);
        code.jump_if(R0, When::NotEqual, 0, self.no_firewall);
        code.set_word(R1, MARK);
        code.store(Width::Word, R6, SKB_TC_INDEX, R1);
        let counter = if self.direction == Direction::Out { Counter::Tunnelled } else { Counter::Hairpinned };
        count(code, self.maps, counter);
        code.set_word(R1, self.tunnel_index);
        code.set(R2, 0);
        code.call(Helper::Redirect);
        code.exit();
    }

    fn endings(&mut self) {
        let (action, lost, strange) = match self.steering.failure_mode {
            FailureMode::Open => (PASS, Counter::FailedOpen, Counter::PassedNotIpv4),
            FailureMode::Closed => (DROP, Counter::DroppedNoFirewall, Counter::DroppedNotIpv4),
        };
        let code = &mut self.code;
        code.bind(self.no_firewall);
        count(code, self.maps, lost);
        leave(code, action);
        code.bind(self.not_ipv4);
        count(code, self.maps, strange);
        leave(code, action);
        code.bind(self.pass);
        leave(code, PASS);
    }
}

/// `R0 = 0` when that many bytes from an offset on are now on the stack.
fn load_bytes(code: &mut Assembler, offset: i32, to: i16, bytes: i32) {
    code.copy(R1, R6);
    code.set(R2, offset);
    code.stack(R3, i32::from(to));
    code.set(R4, bytes);
    code.call(Helper::LoadBytes);
}

/// `R0` is the value for the key on the stack, or null.
fn lookup(code: &mut Assembler, map: i32, key: i16) {
    code.map(R1, map);
    code.stack(R2, i32::from(key));
    code.call(Helper::MapLookup);
}

/// One more, on this processor's copy.
fn count(code: &mut Assembler, maps: Descriptors, counter: Counter) {
    let missing = code.label();
    code.store_value(Width::Word, R10, INDEX, counter as i32);
    lookup(code, maps.counters, INDEX);
    code.jump_if_null(R0, missing);
    code.load(Width::Double, R1, R0, 0);
    code.add(R1, 1);
    code.store(Width::Double, R0, 0, R1);
    code.bind(missing);
}

fn leave(code: &mut Assembler, action: i32) {
    code.set(R0, action);
    code.exit();
}

/// An Ethernet type as `__sk_buff` shows it.
fn ethertype(number: u16) -> u32 {
    u32::from(number.to_be())
}

/// An address as a word that was loaded from a packet.
fn wire(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

/// The key of the map `direct`.
pub(crate) fn range_key(range: Ipv4Net) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&u32::from(range.prefix_len()).to_ne_bytes());
    key[4..].copy_from_slice(&range.network().octets());
    key
}
