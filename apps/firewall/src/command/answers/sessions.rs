//! Sessions for `show session` and `clear session`: which are meant, and how are they told?

use std::sync::Arc;

use bartizan_engine::settings::{SECOND, Timeouts};
use bartizan_engine::verdict::{FlowKey, SessionState, SessionView};
use bartizan_policy::tables::{Compiled, ZoneId};
use ipnet::IpNet;

use super::on_all;
use super::values::{network, number, optional_number, protocol};
use crate::command::Command;
use crate::command::answer::{Answer, Cleared, Direction, Session, SessionInfo, Sessions};
use crate::firewall::Firewall;

/// Sessions that one answer holds; `show session all` of PAN-OS stops at 1024 as well.
const SESSIONS_MAX: usize = 1024;

/// Which sessions are meant. Everything that is given must match.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    id: Option<u64>,
    source: Option<IpNet>,
    destination: Option<IpNet>,
    source_port: Option<u16>,
    destination_port: Option<u16>,
    protocol: Option<u8>,
    from: Option<String>,
    to: Option<String>,
    rule: Option<String>,
    nat_rule: Option<String>,
    state: Option<SessionState>,
}

impl Filter {
    /// One session.
    pub(super) fn of(id: u64) -> Self {
        Self { id: Some(id), ..Self::default() }
    }

    pub(super) fn read(command: &Command) -> Result<Self, String> {
        let text = |name: &str| command.value(name).map(str::to_owned);
        Ok(Self {
            id: None,
            source: network(command, "source")?,
            destination: network(command, "destination")?,
            source_port: optional_number(command, "source-port")?,
            destination_port: optional_number(command, "destination-port")?,
            protocol: command.value("protocol").map(|_| protocol(command)).transpose()?,
            from: text("from"),
            to: text("to"),
            rule: text("rule"),
            nat_rule: text("nat-rule"),
            state: command.value("state").map(state).transpose()?,
        })
    }

    fn matches(&self, view: &SessionView, tables: &Compiled) -> bool {
        let client = &view.client;
        let zone = |wanted: &Option<String>, id: Option<ZoneId>| {
            wanted.as_deref().is_none_or(|name| id.is_some_and(|id| tables.zone_name(id) == name))
        };
        self.id.is_none_or(|id| id == view.id)
            && self.source.is_none_or(|network| network.contains(&client.source))
            && self.destination.is_none_or(|network| network.contains(&client.destination))
            && self.source_port.is_none_or(|port| port == client.source_port)
            && self.destination_port.is_none_or(|port| port == client.destination_port)
            && self.protocol.is_none_or(|protocol| protocol == client.protocol)
            && zone(&self.from, view.from)
            && zone(&self.to, view.to)
            && self.rule.as_deref().is_none_or(|name| view.rule.is_some_and(|id| tables.rule_name(id) == name))
            && self
                .nat_rule
                .as_deref()
                .is_none_or(|name| view.nat_rule.is_some_and(|id| tables.nat_rule_name(id) == name))
            && self.state.is_none_or(|state| state == view.state)
    }
}

pub(super) async fn sessions(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let filter = Filter::read(command)?;
    let Some(running) = firewall.running() else { return Ok(Answer::Sessions(Sessions::default())) };
    let tables = Arc::clone(&running.compiled);
    let found = on_all(firewall, move |inside| {
        let mut total = 0;
        let mut first = Vec::new();
        for view in inside.engine.sessions().filter(|view| filter.matches(view, &tables)) {
            total += 1;
            if first.len() < SESSIONS_MAX {
                first.push(view);
            }
        }
        (total, first)
    })
    .await?;
    let total = found.iter().map(|(total, _)| total).sum();
    let mut views: Vec<_> = found.into_iter().flat_map(|(_, views)| views).collect();
    views.sort_by_key(|view| (view.start, view.id));
    views.truncate(SESSIONS_MAX);
    let sessions = views.iter().map(|view| describe(view, &running.compiled, firewall)).collect();
    Ok(Answer::Sessions(Sessions { total, sessions }))
}

pub(super) async fn session(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let id: u64 = number(command, "id")?;
    let found = on_all(firewall, move |inside| inside.engine.session(id)).await?;
    let view = found.into_iter().flatten().next().ok_or_else(|| format!("there is no session {id}"))?;
    let running = firewall.running().ok_or("no configuration is enforced yet")?;
    Ok(Answer::Session(Box::new(describe(&view, &running.compiled, firewall))))
}

fn describe(view: &SessionView, tables: &Compiled, firewall: &Firewall) -> Session {
    let clock = firewall.clock();
    let zone = |id: Option<ZoneId>| id.map_or_else(String::new, |id| tables.zone_name(id).to_owned());
    let direction = |flow: &FlowKey, (packets, bytes): (u64, u64)| Direction {
        source: flow.source.to_string(),
        source_port: flow.source_port,
        destination: flow.destination.to_string(),
        destination_port: flow.destination_port,
        packets,
        bytes,
    };
    let (client, server) = (&view.client, &view.server);
    // An echo's identifier stands in the source port of both directions; its other port is 0.
    let echo = matches!(client.protocol, 1 | 58);
    Session {
        id: view.id,
        state: state_name(view.state),
        protocol: client.protocol,
        client: direction(client, view.sent),
        server: direction(server, view.received),
        ingress: tables.interface_name(view.ingress).to_owned(),
        egress: view.egress.map_or_else(String::new, |id| tables.interface_name(id).to_owned()),
        from: zone(view.from),
        to: zone(view.to),
        rule: view.rule.map_or_else(String::new, |id| tables.rule_name(id).to_owned()),
        nat_rule: view.nat_rule.map_or_else(String::new, |id| tables.nat_rule_name(id).to_owned()),
        source_nat: server.destination != client.source || (!echo && server.destination_port != client.source_port),
        destination_nat: server.source != client.destination
            || (!echo && server.source_port != client.destination_port),
        action: view.action.as_str(),
        start: clock.wall(view.start).strftime("%a %b %e %H:%M:%S %Y").to_string(),
        expires_s: view.expires.since(clock.now()) / 1_000_000_000,
        application: if echo { "ping" } else { "undecided" },
    }
}

/// All states in the order of a session's life.
const STATES: [SessionState; 5] =
    [SessionState::Opening, SessionState::Active, SessionState::Closing, SessionState::Closed, SessionState::Discard];

fn state(text: &str) -> Result<SessionState, String> {
    STATES.into_iter().find(|state| state_name(*state).eq_ignore_ascii_case(text)).ok_or_else(|| {
        let names = STATES.map(|state| format!("`{}`", state_name(state).to_ascii_lowercase()));
        format!("`{text}` after `state` is no state of a session; they are {}", names.join(", "))
    })
}

fn state_name(state: SessionState) -> &'static str {
    match state {
        SessionState::Opening => "OPENING",
        SessionState::Active => "ACTIVE",
        SessionState::Closing => "CLOSING",
        SessionState::Closed => "CLOSED",
        SessionState::Discard => "DISCARD",
    }
}

pub(super) async fn session_info(firewall: &Firewall) -> Result<Answer, String> {
    let found = on_all(firewall, |inside| {
        let counters = inside.engine.counters();
        let timeouts_s = timeouts(inside.engine.timeouts());
        let mut info = SessionInfo { installed: counters.sessions_created, timeouts_s, ..SessionInfo::default() };
        for view in inside.engine.sessions() {
            info.active += 1;
            match (view.state, view.client.protocol) {
                (SessionState::Discard, _) => info.discard += 1,
                (_, 6) => info.tcp += 1,
                (_, 17) => info.udp += 1,
                (_, 1 | 58) => info.icmp += 1,
                _ => {}
            }
        }
        info
    })
    .await?;
    let mut sum = SessionInfo { max: firewall.dataplane().sessions_max() as u64, ..SessionInfo::default() };
    sum.reject_non_syn = firewall.running().is_none_or(|running| running.compiled.session.reject_non_syn);
    for one in found {
        sum.timeouts_s = one.timeouts_s;
        sum.active += one.active;
        sum.installed += one.installed;
        sum.tcp += one.tcp;
        sum.udp += one.udp;
        sum.icmp += one.icmp;
        sum.discard += one.discard;
    }
    Ok(Answer::SessionInfo(sum))
}

/// Idle times as `show session info` of PAN-OS names them.
fn timeouts(timeouts: &Timeouts) -> Vec<(&'static str, u64)> {
    [
        ("tmo-tcp", timeouts.tcp),
        ("tmo-tcpinit", timeouts.tcp_init),
        ("tmo-tcphandshake", timeouts.tcp_handshake),
        ("tmo-tcphalfclosed", timeouts.tcp_half_closed),
        ("tmo-tcptimewait", timeouts.tcp_time_wait),
        ("tmo-tcp-unverif-rst", timeouts.tcp_unverified_rst),
        ("tmo-udp", timeouts.udp),
        ("tmo-icmp", timeouts.icmp),
        ("tmo-def", timeouts.other),
        ("dis-tcp", timeouts.discard_tcp),
        ("dis-udp", timeouts.discard_udp),
        ("dis-def", timeouts.discard_other),
    ]
    .map(|(name, nanoseconds)| (name, nanoseconds / SECOND))
    .to_vec()
}

pub(super) async fn clear(filter: Filter, firewall: &Firewall) -> Result<Answer, String> {
    let running = firewall.running().ok_or("no configuration is enforced yet")?;
    let tables = Arc::clone(&running.compiled);
    let id = filter.id;
    let cleared = on_all(firewall, move |inside| inside.engine.clear(|view| filter.matches(view, &tables), inside.now));
    let cleared = cleared.await?.into_iter().sum();
    match id {
        Some(id) if cleared == 0 => Err(format!("there is no session {id}")),
        _ => Ok(Answer::Cleared(Cleared { cleared })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(line: &str) -> Result<Filter, String> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Filter::read(&crate::command::words::parse(&words).unwrap())
    }

    #[test]
    fn a_filter_knows_states_and_protocols_by_name_and_says_which() {
        let known = filter("show session all filter state DISCARD protocol udp").unwrap();
        assert_eq!((known.state, known.protocol), (Some(SessionState::Discard), Some(17)));
        assert_eq!(
            filter("show session all filter state bogus").unwrap_err(),
            "`bogus` after `state` is no state of a session; they are `opening`, `active`, `closing`, `closed`, `discard`"
        );
        assert_eq!(
            filter("show session all filter protocol 256").unwrap_err(),
            "`256` after `protocol` is neither a number from 0 to 255 nor `tcp`, `udp`, `icmp` or `icmp6`"
        );
    }
}
