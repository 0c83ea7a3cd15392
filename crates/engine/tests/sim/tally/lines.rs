//! What does the simulation cover, and in which columns?
//!
//! A column is an address family, plain or inside of a kind of tunnel. Numbers below eight in ten thousand scenarios
//! are not relied upon: a change of the dice may lose them.

/// Columns, a bit each: IPv4 and IPv6 in turn; plain, VXLAN of pods, that inside of GENEVE, GENEVE of AWS and of
/// Google Cloud, Azure's pair.
pub(super) type Columns = u16;

/// All of them.
const ALL: Columns = 0xfff;
/// Plain, or what is around a packet does not matter.
const PLAIN: Columns = 0b11;
const V4: Columns = 0x555;
const V6: Columns = ALL & !V4;
const PLAIN_V4: Columns = PLAIN & V4;
const PLAIN_V6: Columns = PLAIN & V6;
const PLAIN_AND_V4: Columns = PLAIN | V4;
/// Inside of tunnels only.
const INSIDE: Columns = ALL & !PLAIN;
/// Nothing is routed inside of Azure's pair: what comes by one tunnel leaves by the other.
const NOT_AZURE: Columns = 0x3ff;
const V4_NOT_AZURE: Columns = V4 & NOT_AZURE;
/// Back into the tunnel goes what came out of a load balancer's. Pods' packets are routed.
const LOAD_BALANCERS: Columns = 0xfc0;
/// Of pods.
const PODS: Columns = 0x3c;
const PODS_V4: Columns = PODS & V4;
/// It may be met, but hardly ever is.
const RARE: Columns = 0;

/// Names, and where each has to be met in a whole run.
pub(super) const LINES: &[(&str, Columns)] = &[
    // Reasons for which packets are dropped, by the names of `DropReason`.
    ("flood-icmp", V4),
    ("flood-icmpv6", PLAIN_V6),
    ("flood-other-ip", PLAIN),
    ("flood-tcp-syn", ALL),
    ("flood-udp", ALL),
    ("fragment-count", ALL),
    ("fragment-memory", PLAIN_AND_V4),
    ("fragment-overlap", ALL),
    ("fragment-source", ALL),
    ("fragment-table-full", PLAIN_AND_V4),
    ("fragment-timeout", ALL),
    ("handshake-pending", PLAIN),
    ("hairpin-translated", PODS_V4),
    ("icmp-unrelated", ALL),
    ("land", ALL),
    ("link-local", V6),
    ("local-service", NOT_AZURE),
    ("local-unrelated", PLAIN),
    ("nat-collision", PLAIN),
    ("nat-pool-exhausted", PLAIN_AND_V4),
    ("neighbor-unresolved", PLAIN),
    ("no-egress-zone", NOT_AZURE),
    ("no-route", NOT_AZURE),
    ("no-zone", ALL),
    ("policy-deny", ALL),
    ("queue-full", RARE),
    ("route-discard", NOT_AZURE),
    ("session-table-full", ALL),
    ("spoofed-source", PLAIN),
    ("tcp-not-syn", ALL),
    ("tcp-out-of-window", ALL),
    ("tcp-state", ALL),
    ("too-big", NOT_AZURE),
    ("ttl-expired", NOT_AZURE),
    ("tunnel-table-full", INSIDE),
    ("zone-blocked-source", PLAIN),
    ("zone-fragment", ALL),
    ("zone-icmp", ALL),
    ("zone-spoofed-source", PLAIN),
    ("zone-strict-ip", PLAIN),
    ("zone-tcp-data", PLAIN_V4),
    // What else is met.
    ("another firewall's packet to a pod", PODS),
    ("client turned out to be behind a tunnel", PODS),
    ("own packet came back", PODS),
    ("own packet came back late", PODS_V4),
    ("pod was silent for long", RARE),
    ("session opened on the way to a pod", PODS),
    ("translated away from its pod", PODS_V4),
    ("address of one's own", PLAIN_AND_V4),
    ("address of the fallback", PLAIN_V4),
    ("closed connection reopened", PLAIN),
    ("connection agreed to", ALL),
    ("connection closed", PLAIN_AND_V4),
    ("connection half closed", PLAIN),
    ("connection open", ALL),
    ("connection picked up", ALL),
    ("connection with a doubtful reset", PLAIN),
    ("cookie brought back", PLAIN),
    ("datagram handed to another worker", ALL),
    ("destination port translated", RARE),
    ("destination translated", ALL),
    ("dropped in silence", ALL),
    ("echo answered", NOT_AZURE),
    ("flows of two workers look the same", RARE),
    ("forwarded", ALL),
    ("forwarded with its class", ALL),
    ("handed to another worker", ALL),
    ("health check", V4_NOT_AZURE),
    ("ICMP error about a session", ALL),
    ("left in fragments", ALL),
    ("left into the tunnel", LOAD_BALANCERS),
    ("left to the card to cut", PLAIN),
    ("left to the card to sum", ALL),
    ("packet around another in fragments", INSIDE),
    ("packet in fragments", ALL),
    ("ping of the firewall", V4_NOT_AZURE),
    ("pool of addresses ran dry", PLAIN_V4),
    ("pool of ports ran dry", PLAIN_V4),
    ("refused flow not remembered", ALL),
    ("refused flow remembered", ALL),
    ("segment size lowered", NOT_AZURE),
    ("server of a cookie answered", PLAIN),
    ("session aged out", ALL),
    ("session ended with the address it was opened to", RARE),
    ("session ended with the address it was translated to", PLAIN_V4),
    ("session kept by a commit", ALL),
    ("session opened", ALL),
    ("session refused by a commit", ALL),
    ("source of a persistent pool", ALL),
    ("source of a pool", ALL),
    ("source that the client keeps", PLAIN_V4),
    ("source translated one to one", PLAIN_AND_V4),
    ("spread by ip-hash", PLAIN_AND_V4),
    ("spread by ip-modulo", PLAIN_AND_V4),
    ("spread by least-sessions", PLAIN),
    ("spread by round-robin", PLAIN_AND_V4),
    ("spread by source-ip-hash", PLAIN_AND_V4),
    ("SYN answered with a cookie", PLAIN),
    ("table of pool addresses is full", PLAIN_AND_V4),
    ("told by a reset", ALL),
    ("told that it is too big", PLAIN),
    ("told that it is unreachable", ALL),
    ("told that its time is exceeded", NOT_AZURE),
    ("what is around it left in fragments", LOAD_BALANCERS),
];
