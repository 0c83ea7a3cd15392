//! Which settings of the device are configured?

use super::super::random::Random;

/// Idle times, and from how many seconds to how many they are set.
const TIMEOUTS: [(&str, usize, usize); 12] = [
    ("tcp", 20, 200),
    ("tcphandshake", 3, 20),
    ("tcpinit", 2, 12),
    ("tcp-half-closed", 5, 60),
    ("tcp-time-wait", 2, 30),
    ("tcp-unverified-rst", 5, 30),
    ("udp", 3, 90),
    ("icmp", 2, 20),
    ("default", 3, 90),
    ("discard-tcp", 5, 120),
    ("discard-udp", 5, 120),
    ("discard-default", 5, 120),
];

pub(super) fn settings(random: &mut Random) -> String {
    if random.percent(40) {
        return String::new();
    }
    let ratio = *random.pick(&["", "1x", "2x", "4x"]);
    let nat = if ratio.is_empty() { String::new() } else { format!("<dipp-oversub>{ratio}</dipp-oversub>") };
    let mut session = String::new();
    for (name, least, most) in TIMEOUTS {
        if random.percent(25) {
            let seconds = least + random.below(most - least);
            session += &format!("<timeout-{name}>{seconds}</timeout-{name}>");
        }
    }
    if random.percent(25) {
        session += "<tcp-reject-non-syn>no</tcp-reject-non-syn>";
    }
    let tcp = if random.percent(25) { "<asymmetric-path>bypass</asymmetric-path>" } else { "" };
    format!(
        "<deviceconfig><setting><nat>{nat}</nat><session>{session}</session><tcp>{tcp}</tcp></setting></deviceconfig>"
    )
}

/// Idle times of a service, now and then.
pub(super) fn of_service(random: &mut Random, tcp: bool) -> String {
    if random.percent(75) {
        return String::new();
    }
    let mut own = format!("<timeout>{}</timeout>", 2 + random.below(100));
    if tcp && random.percent(60) {
        own += &format!("<halfclose-timeout>{}</halfclose-timeout>", 2 + random.below(60));
    }
    if tcp && random.percent(60) {
        own += &format!("<timewait-timeout>{}</timewait-timeout>", 2 + random.below(30));
    }
    format!("<override><yes>{own}</yes></override>")
}
