//! Sessions for `show session` and `clear session`: which are meant, and how are they told?
//!
//! Tables are walked in steps, and workers handle frames in between: a million sessions are looked at without
//! a packet that waits for all of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bartizan_engine::settings::{SECOND, Timeouts};
use bartizan_engine::verdict::{FlowKey, SessionState, SessionView, Time};
use bartizan_policy::tables::{Compiled, IfaceId, ZoneId};
use ipnet::IpNet;

use super::on_all;
use super::values::{network, number, optional_number, protocol};
use crate::command::Command;
use crate::command::answer::{Answer, Cleared, Direction, Session, SessionInfo, Sessions};
use crate::firewall::Firewall;
use crate::worker::Inside;

/// Sessions that one answer holds; `show session all` of PAN-OS stops at 1024 as well.
const SESSIONS_MAX: usize = 1024;

/// Slots of a session table that a worker looks at between two bursts.
const STEP: u32 = 4096;

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
    /// Whether source and destination are translated.
    nat: Option<(bool, bool)>,
    state: Option<SessionState>,
    application: Option<String>,
    ingress: Option<String>,
    egress: Option<String>,
    min_age_s: Option<u64>,
    min_kb: Option<u64>,
    /// Sessions that are only expected do not exist here.
    predicted: bool,
    /// Ids from this one on.
    start_at: Option<u64>,
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
            nat: word(command, "nat", &NAT)?,
            state: command.value("state").map(state).transpose()?,
            application: text("application"),
            ingress: text("ingress-interface"),
            egress: text("egress-interface"),
            min_age_s: optional_number(command, "min-age")?,
            min_kb: optional_number(command, "min-kb")?,
            predicted: word(command, "type", &[("flow", false), ("predict", true)])?.unwrap_or(false),
            start_at: optional_number(command, "start-at")?,
        })
    }

    /// As [`Self::read`], for what is to be ended.
    pub(super) fn read_for_clear(command: &Command) -> Result<Self, String> {
        match ["count", "start-at"].into_iter().find(|name| command.value(name).is_some()) {
            Some(name) => {
                Err(format!("`{name}` is for `show session all`; `clear session all` says how many it ended"))
            }
            None => Self::read(command),
        }
    }

    fn matches(&self, view: &SessionView, tables: &Compiled, now: Time) -> bool {
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
            && self.matches_more(view, tables, now)
    }

    fn matches_more(&self, view: &SessionView, tables: &Compiled, now: Time) -> bool {
        let interface = |wanted: &Option<String>, id: Option<IfaceId>| {
            wanted.as_deref().is_none_or(|name| id.is_some_and(|id| tables.interface_name(id) == name))
        };
        let kb = (view.sent.1 + view.received.1) / 1024;
        !self.predicted
            && self.nat.is_none_or(|nat| nat == translated(view))
            && self.application.as_deref().is_none_or(|name| name == application(view))
            && interface(&self.ingress, Some(view.ingress))
            && interface(&self.egress, view.egress)
            && self.min_age_s.is_none_or(|least| now.since(view.start) / SECOND >= least)
            && self.min_kb.is_none_or(|least| kb >= least)
            && self.start_at.is_none_or(|first| view.id >= first)
    }
}

/// Looks at all tables in steps: `look` at some slots of each worker, `take` what it found. Ends early when
/// `take` says that it has enough. A session that comes or goes meanwhile may be missed.
async fn walk<T: Send + 'static>(
    firewall: &Firewall,
    look: impl Fn(&mut Inside<'_>, Range<u32>) -> T + Clone + Send + 'static,
    mut take: impl FnMut(T) -> bool,
) -> Result<(), String> {
    let (mut from, mut more) = (0_u32, true);
    while more {
        let to = from.saturating_add(STEP);
        let look = look.clone();
        let found =
            on_all(firewall, move |inside| (look(inside, from..to), inside.engine.session_slots() > to)).await?;
        more = false;
        let mut wanted = true;
        for (one, further) in found {
            more |= further;
            wanted &= take(one);
        }
        more &= wanted;
        from = to;
    }
    Ok(())
}

pub(super) async fn sessions(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let filter = Filter::read(command)?;
    let counted = word(command, "count", &[("yes", true), ("no", false)])?.unwrap_or(false);
    let Some(running) = firewall.running() else { return Ok(Answer::Sessions(Sessions::default())) };
    let tables = Arc::clone(&running.compiled);
    let look = move |inside: &mut Inside<'_>, slots| -> Vec<SessionView> {
        inside.engine.sessions_in(slots).filter(|view| filter.matches(view, &tables, inside.now)).collect()
    };
    let mut total = 0;
    let mut first: BTreeMap<u64, SessionView> = BTreeMap::new();
    walk(firewall, look, |found| {
        total += found.len();
        for view in found.into_iter().filter(|_| !counted) {
            first.insert(view.id, view);
            if first.len() > SESSIONS_MAX {
                first.pop_last();
            }
        }
        true
    })
    .await?;
    let sessions = first.values().map(|view| describe(view, &running.compiled, firewall)).collect();
    Ok(Answer::Sessions(Sessions { total, sessions, counted }))
}

pub(super) async fn session(command: &Command, firewall: &Firewall) -> Result<Answer, String> {
    let id: u64 = number(command, "id")?;
    let mut found = None;
    let look = move |inside: &mut Inside<'_>, slots| inside.engine.sessions_in(slots).find(|view| view.id == id);
    walk(firewall, look, |view| {
        found = found.or(view);
        found.is_none()
    })
    .await?;
    let view = found.ok_or_else(|| format!("there is no session {id}"))?;
    let running = firewall.running().ok_or("no configuration is enforced yet")?;
    Ok(Answer::Session(Box::new(describe(&view, &running.compiled, firewall))))
}

/// Whether source and destination of a session are translated.
fn translated(view: &SessionView) -> (bool, bool) {
    let (client, server) = (&view.client, &view.server);
    // An echo's identifier stands in the source port of both directions; its other port is 0.
    let echo = matches!(client.protocol, 1 | 58);
    (
        server.destination != client.source || (!echo && server.destination_port != client.source_port),
        server.source != client.destination || (!echo && server.source_port != client.destination_port),
    )
}

/// What PAN-OS would call the application, as far as known.
fn application(view: &SessionView) -> &'static str {
    if matches!(view.client.protocol, 1 | 58) { "ping" } else { "undecided" }
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
    let (source_nat, destination_nat) = translated(view);
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
        source_nat,
        destination_nat,
        action: view.action.as_str(),
        start: clock.wall(view.start).strftime("%a %b %e %H:%M:%S %Y").to_string(),
        age_s: clock.now().since(view.start) / SECOND,
        timeout_s: view.expires.since(view.last) / SECOND,
        expires_s: view.expires.since(clock.now()) / SECOND,
        application: application(view),
        cluster_id: crate::logs::cluster(view, tables.ids()),
    }
}

/// What of a session may be translated: source, destination.
const NAT: [(&str, (bool, bool)); 4] =
    [("none", (false, false)), ("source", (true, false)), ("destination", (false, true)), ("both", (true, true))];

/// A value that is one of these words.
fn word<T: Copy>(command: &Command, name: &str, words: &[(&str, T)]) -> Result<Option<T>, String> {
    let Some(text) = command.value(name) else { return Ok(None) };
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| Some(*value));
    found.ok_or_else(|| {
        let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        format!("`{text}` after `{name}` is not one of {}", known.join(", "))
    })
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
    let mut sum = SessionInfo { max: firewall.dataplane().sessions_max() as u64, ..SessionInfo::default() };
    sum.reject_non_syn = firewall.running().is_none_or(|running| running.compiled.session.reject_non_syn);
    let look = |inside: &mut Inside<'_>, slots: Range<u32>| {
        let mut info = SessionInfo::default();
        if slots.start == 0 {
            info.installed = inside.engine.counters().sessions_created;
            info.timeouts_s = timeouts(inside.engine.timeouts());
        }
        for view in inside.engine.sessions_in(slots) {
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
    };
    walk(firewall, look, |one| {
        if !one.timeouts_s.is_empty() {
            sum.timeouts_s = one.timeouts_s;
        }
        sum.active += one.active;
        sum.installed += one.installed;
        sum.tcp += one.tcp;
        sum.udp += one.udp;
        sum.icmp += one.icmp;
        sum.discard += one.discard;
        true
    })
    .await?;
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
    let look = move |inside: &mut Inside<'_>, slots| {
        let now = inside.now;
        inside.engine.clear(slots, |view| filter.matches(view, &tables, now), now)
    };
    let mut cleared = 0;
    walk(firewall, look, |one| {
        cleared += one;
        // An id is there once.
        id.is_none() || cleared == 0
    })
    .await?;
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
            filter("show session all filter nat some").unwrap_err(),
            "`some` after `nat` is not one of `none`, `source`, `destination`, `both`"
        );
        assert_eq!(
            filter("show session all filter min-age long").unwrap_err(),
            "`long` after `min-age` is no number in its range"
        );
        assert_eq!(
            filter("show session all filter protocol 256").unwrap_err(),
            "`256` after `protocol` is neither a number from 0 to 255 nor `tcp`, `udp`, `icmp` or `icmp6`"
        );
    }

    const CONFIG: &str = include_str!("../../../../../crates/model/tests/fixtures/azure-firewall.xml");

    fn tables() -> Compiled {
        let root = bartizan_model::xml::parse(CONFIG).unwrap();
        let config = bartizan_model::device::read(&root, bartizan_model::device::Scope::Device).config.unwrap();
        let facts = bartizan_policy::facts::Facts::default();
        bartizan_policy::compile::compile(&config, &facts, &mut Default::default(), 1).unwrap()
    }

    /// A session from ethernet1/1 to ethernet1/2 that is 100 s old, with 3 KiB and a translated source.
    fn view(tables: &Compiled) -> SessionView {
        let flow = |source: &str, destination: &str, ports: (u16, u16)| FlowKey {
            realm: 0,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            protocol: 6,
            source_port: ports.0,
            destination_port: ports.1,
        };
        SessionView {
            id: 7,
            state: SessionState::Active,
            client: flow("10.1.0.10", "8.8.8.8", (4000, 443)),
            server: flow("8.8.8.8", "10.0.2.4", (443, 9999)),
            ingress: tables.interface_id("ethernet1/1").unwrap(),
            egress: tables.interface_id("ethernet1/2"),
            learned: None,
            from: None,
            to: None,
            rule: None,
            nat_rule: None,
            action: bartizan_model::device::Action::Allow,
            start: Time(5 * SECOND),
            last: Time(100 * SECOND),
            expires: Time(3700 * SECOND),
            sent: (10, 1024),
            received: (20, 2048),
        }
    }

    #[test]
    fn every_criterion_picks_and_passes_over() {
        let tables = tables();
        let view = view(&tables);
        for (criterion, picks) in [
            ("nat source", true),
            ("nat both", false),
            ("nat none", false),
            ("application undecided", true),
            ("application ping", false),
            ("ingress-interface ethernet1/1", true),
            ("ingress-interface ethernet1/2", false),
            ("egress-interface ethernet1/2", true),
            ("egress-interface ethernet1/1", false),
            ("min-age 100", true),
            ("min-age 101", false),
            ("min-kb 3", true),
            ("min-kb 4", false),
            ("type flow", true),
            ("type predict", false),
            ("start-at 7", true),
            ("start-at 8", false),
            ("source 10.1.0.0/16 destination-port 443 state active", true),
            ("source 10.1.0.0/16 destination-port 444 state active", false),
        ] {
            let filter = filter(&format!("show session all filter {criterion}")).unwrap();
            assert_eq!(filter.matches(&view, &tables, Time(105 * SECOND)), picks, "{criterion}");
        }
    }
}
