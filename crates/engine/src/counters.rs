//! How often did what happen?

use crate::verdict::DropReason;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $field:ident = $name:literal,)*) => {
        /// Counters of one worker; they only grow, except `sessions_active`.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $field: u64,)*
            drops: [u64; DropReason::ALL.len()],
        }

        impl Default for Counters {
            fn default() -> Self {
                Self { $($field: 0,)* drops: [0; DropReason::ALL.len()] }
            }
        }

        impl Counters {
            /// Name and value of each counter, the drop reasons last.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($name, self.$field)),*]
                    .into_iter()
                    .chain(DropReason::ALL.iter().map(|reason| (reason.as_str(), self.dropped(*reason))))
            }

            /// One sentence about a counter, drop reasons included.
            pub fn describe(name: &str) -> Option<&'static str> {
                match name {
                    $($name => Some(concat!($($doc),+).trim_ascii()),)*
                    _ => DropReason::ALL.iter().find(|reason| reason.as_str() == name).map(|reason| reason.describe()),
                }
            }

            /// Adds those of another worker.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
                for (mine, theirs) in self.drops.iter_mut().zip(other.drops) {
                    *mine += theirs;
                }
            }
        }
    };
}

counters! {
    /// Packets that came in (each segment of an offloaded frame counts).
    rx_packets = "rx-packets",
    /// Bytes that came in, by IP length.
    rx_bytes = "rx-bytes",
    /// Packets sent.
    tx_packets = "tx-packets",
    /// Bytes sent, by IP length.
    tx_bytes = "tx-bytes",
    /// Sessions now in the table, the refused among them.
    sessions_active = "sessions-active",
    /// Sessions installed.
    sessions_created = "sessions-created",
    /// Sessions removed.
    sessions_closed = "sessions-closed",
    /// Sessions installed as refused.
    sessions_refused = "sessions-refused",
    /// Sessions that were asked again after a commit.
    sessions_rematched = "sessions-rematched",
    /// Sessions ended because the firewall's address that they were opened to is gone.
    sessions_address_lost = "sessions-address-lost",
    /// Frames handed to another worker.
    handoffs = "handoffs",
    /// Sessions with a direction that arrives at another worker.
    steered = "steered",
    /// Flows that could not be steered because the table for it was full.
    steer_overflow = "steer-overflow",
    /// Alarms raised because most or all ports of a NAT pool address were in use.
    nat_pool_alarms = "nat-pool-alarms",
    /// Sessions ended because their interface lost the address they were translated to.
    nat_address_gone = "nat-address-gone",
    /// Packets that an offloaded frame was cut into on its way into a tunnel.
    tunnel_segments = "tunnel-segments",
    /// The firewall's own packets to pods that came back and went into the pods' tunnels.
    hairpins_returned = "hairpins-returned",
    /// Fragments that came in.
    fragments_received = "fragments-received",
    /// Fragments that came twice.
    fragments_repeated = "fragments-repeated",
    /// Datagrams put together from their fragments.
    datagrams_reassembled = "datagrams-reassembled",
    /// Packets and datagrams that left in fragments.
    datagrams_fragmented = "datagrams-fragmented",
    /// Fragments that left.
    fragments_sent = "fragments-sent",
    /// Neighbour questions asked.
    neighbor_requests = "neighbor-requests",
    /// ARP and NDP questions answered.
    neighbor_answers = "neighbor-answers",
    /// Echo requests answered by the firewall itself.
    echo_answers = "echo-answers",
    /// Answers to the firewall's own echo requests.
    echoes_heard = "echoes-heard",
    /// DHCP replies and router advertisements handed to the interface's client.
    notices = "notices",
    /// TCP handshakes whose segment size was lowered to what an interface allows.
    mss_lowered = "mss-lowered",
    /// Resets and ICMP errors sent.
    rejections = "rejections",
    /// Resets and ICMP errors not sent because there were too many.
    rejections_suppressed = "rejections-suppressed",
    /// Frames of our own lost because the queue was full.
    transmit_overflow = "transmit-overflow",
    /// Log lines lost because the queue was full.
    log_overflow = "log-overflow",
    /// Messages to other workers lost because the queue was full.
    message_overflow = "message-overflow",
    /// Log lines for drops held back because there were too many.
    drop_logs_suppressed = "drop-logs-suppressed",
    /// Floods and scans that were told about.
    alarms = "alarms",
    /// Floods and scans not told about because there were too many.
    alarms_suppressed = "alarms-suppressed",
    /// SYNs answered with a cookie.
    cookies_sent = "syn-cookies-sent",
    /// SYN cookies that came back and opened a session.
    cookies_accepted = "syn-cookies-accepted",
    /// Acknowledgments without a session that brought no valid SYN cookie.
    cookies_refused = "syn-cookies-refused",
    /// Counts of a possible scanner that had to make way for others.
    scan_evictions = "scan-evictions",
    /// Blocked sources that had to make way for others.
    block_evictions = "block-evictions",
}

impl Counters {
    /// Packets dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Packets dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.drops.iter().sum()
    }

    pub(crate) fn drop_packets(&mut self, reason: DropReason, packets: u64) {
        self.drops[reason as usize] += packets;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_sentence_that_says_more_than_its_name() {
        for (name, _) in Counters::default().all() {
            let sentence = Counters::describe(name).unwrap();
            assert!(sentence.ends_with('.') && sentence.contains(' '), "{name}: {sentence}");
            assert_ne!(sentence.to_lowercase(), format!("{}.", name.replace('-', " ")));
        }
        assert_eq!(Counters::describe("rx-bytes"), Some("Bytes that came in, by IP length."));
        assert_eq!(Counters::describe("nothing"), None);
    }
}
