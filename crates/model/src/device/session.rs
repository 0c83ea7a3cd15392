//! How long do sessions live, and how strictly is TCP followed? `deviceconfig/setting/session` and
//! `deviceconfig/setting/tcp`.

use std::ops::RangeInclusive;

use super::context::Context;
use super::node::Node;

/// Settings of all sessions of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// Idle times that are configured.
    pub timeouts: SessionTimeouts,
    /// TCP sessions begin with a SYN only.
    pub reject_non_syn: bool,
    /// TCP segments outside of the window pass, because the firewall may not see both directions.
    pub bypass_asymmetric: bool,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { timeouts: SessionTimeouts::default(), reject_non_syn: true, bypass_asymmetric: false }
    }
}

/// Idle times in seconds; `None` where the configuration leaves the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionTimeouts {
    /// TCP, both sides spoke.
    pub tcp: Option<u32>,
    /// TCP, SYN answered but not yet acknowledged.
    pub tcp_handshake: Option<u32>,
    /// TCP, SYN not yet answered.
    pub tcp_init: Option<u32>,
    /// TCP, one side finished.
    pub tcp_half_closed: Option<u32>,
    /// TCP, both sides finished.
    pub tcp_time_wait: Option<u32>,
    /// TCP, a reset that was not certain.
    pub tcp_unverified_rst: Option<u32>,
    /// UDP.
    pub udp: Option<u32>,
    /// ICMP echo.
    pub icmp: Option<u32>,
    /// Other protocols.
    pub other: Option<u32>,
    /// Refused TCP.
    pub discard_tcp: Option<u32>,
    /// Refused UDP.
    pub discard_udp: Option<u32>,
    /// Refused others.
    pub discard_other: Option<u32>,
}

/// Seconds of most idle times (PAN-OS).
const LONG: RangeInclusive<u32> = 1..=15_999_999;
/// Seconds of a handshake.
const HANDSHAKE: RangeInclusive<u32> = 1..=60;
/// Seconds of one direction that is still open.
const HALF_CLOSED: RangeInclusive<u32> = 1..=604_800;
/// Seconds that are spent on what is over.
const LATE: RangeInclusive<u32> = 1..=600;

/// Reads the settings of a `deviceconfig`.
pub(super) fn read(context: &mut Context, deviceconfig: &Node<'_>) -> SessionSettings {
    let mut settings = SessionSettings::default();
    let Some(node) = deviceconfig.child("setting") else { return settings };
    if let Some(session) = node.child("session") {
        let mut seconds = |tag: &str, range| context.number(&session, tag, range);
        settings.timeouts = SessionTimeouts {
            tcp: seconds("timeout-tcp", LONG),
            tcp_handshake: seconds("timeout-tcphandshake", HANDSHAKE),
            tcp_init: seconds("timeout-tcpinit", HANDSHAKE),
            tcp_half_closed: seconds("timeout-tcp-half-closed", HALF_CLOSED),
            tcp_time_wait: seconds("timeout-tcp-time-wait", LATE),
            tcp_unverified_rst: seconds("timeout-tcp-unverified-rst", LATE),
            udp: seconds("timeout-udp", LONG),
            icmp: seconds("timeout-icmp", LONG),
            other: seconds("timeout-default", LONG),
            discard_tcp: seconds("timeout-discard-tcp", LONG),
            discard_udp: seconds("timeout-discard-udp", LONG),
            discard_other: seconds("timeout-discard-default", LONG),
        };
        settings.reject_non_syn = context.yes_no(&session, "tcp-reject-non-syn").unwrap_or(true);
    }
    if let Some(tcp) = node.child("tcp") {
        let words = [("drop", false), ("bypass", true)];
        settings.bypass_asymmetric = context.word(&tcp, "asymmetric-path", &words).unwrap_or(false);
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::super::{Scope, read};
    use crate::xml;

    fn report(setting: &str) -> super::super::Report {
        let text = format!(
            "<config><devices><entry name='localhost.localdomain'><deviceconfig><setting>{setting}</setting>\
             </deviceconfig></entry></devices></config>"
        );
        read(&xml::parse(&text).unwrap(), Scope::Device)
    }

    #[test]
    fn what_is_not_written_is_left_to_the_defaults() {
        let read = report("<session><timeout-udp>45</timeout-udp></session>");
        assert_eq!(read.diagnostics, []);
        let session = read.config.unwrap().session.clone();
        assert_eq!((session.timeouts.udp, session.timeouts.tcp), (Some(45), None));
        assert_eq!((session.reject_non_syn, session.bypass_asymmetric), (true, false));
        let loose = "<session><tcp-reject-non-syn>no</tcp-reject-non-syn></session>\
                     <tcp><asymmetric-path>bypass</asymmetric-path></tcp>";
        let session = report(loose).config.unwrap().session.clone();
        assert_eq!((session.reject_non_syn, session.bypass_asymmetric), (false, true));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let read = report(
            "<session><timeout-tcp>0</timeout-tcp><timeout-tcphandshake>61</timeout-tcphandshake>\
             <timeout-tcp-time-wait>601</timeout-tcp-time-wait><tcp-reject-non-syn>maybe</tcp-reject-non-syn>\
             <accelerated-aging-enable>yes</accelerated-aging-enable></session>\
             <tcp><asymmetric-path>ignore</asymmetric-path></tcp>",
        );
        let codes: Vec<_> = read.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
        let number = "invalid-number";
        assert_eq!(codes, [number, number, number, "invalid-enum", "not-enforced", "invalid-enum"]);
        assert!(read.config.is_none());
    }
}
