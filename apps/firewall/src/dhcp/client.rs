//! Which message is due when, and which address may be used until when: the client of RFC 2131.
//!
//! One interface. It reads no clock and no socket: the time, and what servers say, come in; at most one
//! message comes out of each call. Whether the lease changed shows in [`Client::lease`].

use std::net::Ipv4Addr;

use bartizan_engine::settings::SECOND;
use bartizan_engine::verdict::Time;
use ipnet::Ipv4Net;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::wire::{Kind, Message, Offer, Reply};

/// First wait for an answer; doubled each time (RFC 2131 section 4.1).
const RETRY_S: u64 = 4;
/// Longest wait for an answer while there is no lease.
const RETRY_MAX_S: u64 = 64;
/// The jitter of both, either way.
const JITTER: u64 = SECOND;
/// Requests for one offer before another is looked for.
const REQUESTS_MAX: u32 = 4;
/// Requests for the lease of before the restart, before it is used unasked (RFC 2131 section 3.2).
const REBOOTS_MAX: u32 = 2;
/// Shortest wait between two renewals (RFC 2131 section 4.4.5).
const RENEWAL_RETRY: u64 = 60 * SECOND;
/// Shortest lease that is taken: less would be nothing but renewing.
pub const LEASE_MIN_S: u32 = 10;
/// The lease time that means for ever.
const FOR_EVER_S: u32 = u32::MAX;

/// An address with its terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address with the length of its network.
    pub network: Ipv4Net,
    /// The gateway, if the server names one.
    pub gateway: Option<Ipv4Addr>,
    /// Who gave it.
    pub server: Ipv4Addr,
    /// From then on the server is asked to renew it.
    pub renew_at: Time,
    /// From then on any server is asked.
    pub rebind_at: Time,
    /// From then on it may not be used; `None` is never.
    pub expires: Option<Time>,
}

/// Where the client stands, as an operator reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Waits before it looks for servers again.
    Init,
    /// Looks for servers.
    Selecting,
    /// Took an offer and waits for the confirmation.
    Requesting,
    /// Asks whether the lease of before the restart is still good.
    Rebooting,
    /// Has an address.
    Bound,
    /// Has an address, and asks its server for more time.
    Renewing,
    /// Has an address, and asks every server for more time.
    Rebinding,
    /// Gave its address back on command.
    Released,
}

impl Standing {
    /// The word of `show dhcp client state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "Init",
            Self::Selecting => "Selecting",
            Self::Requesting => "Requesting",
            Self::Rebooting => "Rebooting",
            Self::Bound => "Bound",
            Self::Renewing => "Renewing",
            Self::Rebinding => "Rebinding",
            Self::Released => "Released",
        }
    }
}

/// The client of one interface.
#[derive(Debug)]
pub struct Client {
    standing: Standing,
    lease: Option<Lease>,
    /// The offer asked for, while requesting.
    offer: Option<Offer>,
    /// The address to ask for after a restart.
    remembered: Option<Lease>,
    /// Identifies the answers.
    transaction: u32,
    /// When the present search began.
    since: Time,
    /// When the latest message went out.
    asked: Time,
    /// Messages of this standing so far.
    tries: u32,
    /// Refusals in a row.
    refusals: u32,
    due: Option<Time>,
    random: StdRng,
}

impl Client {
    /// A client that begins now: with the lease it had before a restart, if there is one.
    pub fn new(seed: u64, now: Time, remembered: Option<Lease>) -> Self {
        let remembered = remembered.filter(|lease| lease.expires.is_none_or(|expires| expires > now));
        Self {
            standing: if remembered.is_some() { Standing::Rebooting } else { Standing::Init },
            lease: None,
            offer: None,
            remembered,
            transaction: 0,
            since: now,
            asked: now,
            tries: 0,
            refusals: 0,
            due: Some(now),
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Where it stands.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The address that may be used now.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// When [`Client::tick`] has something to do.
    pub fn due(&self) -> Option<Time> {
        self.due
    }

    /// Does what has become due.
    pub fn tick(&mut self, now: Time) -> Option<Message> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        if self.lease.as_ref().and_then(|lease| lease.expires).is_some_and(|expires| expires <= now) {
            return Some(self.discover(now));
        }
        match self.standing {
            Standing::Released => None,
            Standing::Init | Standing::Selecting => Some(self.discover(now)),
            Standing::Requesting if self.tries < REQUESTS_MAX => Some(self.request(now)),
            Standing::Requesting => Some(self.discover(now)),
            Standing::Rebooting if self.tries < REBOOTS_MAX => Some(self.reboot(now)),
            Standing::Rebooting => self.use_unasked(now),
            Standing::Bound | Standing::Renewing | Standing::Rebinding => self.extend(now),
        }
    }

    /// Takes in what a server said.
    pub fn hear(&mut self, reply: &Reply, now: Time) -> Option<Message> {
        if reply.transaction != self.transaction {
            return None;
        }
        match (reply.kind, self.standing) {
            (Kind::Offer, Standing::Selecting) => {
                self.offer = Some(reply.offer.clone()?);
                self.enter(Standing::Requesting);
                Some(self.request(now))
            }
            // Only the server that was asked is heard, and all of them once all were asked (RFC 2131
            // section 4.4.5).
            (Kind::Ack | Kind::Nak, Standing::Renewing | Standing::Requesting) if reply.server != self.asked_of() => {
                None
            }
            (Kind::Ack, Standing::Requesting | Standing::Rebooting | Standing::Renewing | Standing::Rebinding) => {
                let offer = reply.offer.as_ref()?;
                self.bind(offer);
                None
            }
            (Kind::Nak, Standing::Requesting | Standing::Rebooting | Standing::Renewing | Standing::Rebinding) => {
                self.start_over(now)
            }
            _ => None,
        }
    }

    /// Asks for more time at once, or for an address where there is none.
    pub fn renew(&mut self, now: Time) -> Option<Message> {
        match self.standing {
            Standing::Bound | Standing::Renewing => {
                self.enter(Standing::Renewing);
                self.since = now;
                self.transaction = self.random.random();
                Some(self.ask_for_more(now))
            }
            Standing::Rebinding => Some(self.ask_for_more(now)),
            Standing::Init | Standing::Selecting | Standing::Requesting | Standing::Rebooting | Standing::Released => {
                self.refusals = 0;
                self.enter(Standing::Init);
                Some(self.discover(now))
            }
        }
    }

    /// Gives the address back and asks for none until [`Client::renew`].
    pub fn release(&mut self, now: Time) -> Option<Message> {
        let lease = self.lease.take();
        self.remembered = None;
        self.enter(Standing::Released);
        self.due = None;
        self.asked = now;
        self.transaction = self.random.random();
        let lease = lease?;
        Some(Message {
            kind: Kind::Release,
            transaction: self.transaction,
            seconds: 0,
            client: Some(lease.network.addr()),
            requested: None,
            server: Some(lease.server),
            to: Some(lease.server),
        })
    }

    /// The one server whose answer is awaited.
    fn asked_of(&self) -> Option<Ipv4Addr> {
        let offered = self.offer.as_ref().map(|offer| offer.server);
        offered.or(self.lease.as_ref().map(|lease| lease.server))
    }

    fn enter(&mut self, standing: Standing) {
        self.standing = standing;
        self.tries = 0;
    }

    /// Looks for servers, without an address.
    fn discover(&mut self, now: Time) -> Message {
        if self.standing != Standing::Selecting {
            self.lease = None;
            self.offer = None;
            self.remembered = None;
            self.enter(Standing::Selecting);
            self.since = now;
            self.transaction = self.random.random();
        }
        self.wait_for_answer(now);
        Message { kind: Kind::Discover, ..self.message(now) }
    }

    /// Asks for the address that was offered.
    fn request(&mut self, now: Time) -> Message {
        self.wait_for_answer(now);
        let offer = self.offer.as_ref();
        Message {
            requested: offer.map(|offer| offer.network.addr()),
            server: offer.map(|offer| offer.server),
            ..self.message(now)
        }
    }

    /// Asks for the address of before the restart.
    fn reboot(&mut self, now: Time) -> Message {
        if self.tries == 0 {
            self.transaction = self.random.random();
            self.since = now;
        }
        self.wait_for_answer(now);
        Message { requested: self.remembered.as_ref().map(|lease| lease.network.addr()), ..self.message(now) }
    }

    /// No server answered after a restart: the lease is good until it ends.
    fn use_unasked(&mut self, now: Time) -> Option<Message> {
        self.lease = self.remembered.take();
        self.enter(Standing::Bound);
        self.extend(now)
    }

    /// Moves on from bound to renewing to rebinding as time goes by.
    fn extend(&mut self, now: Time) -> Option<Message> {
        let lease = self.lease.as_ref()?;
        let wanted = if now >= lease.rebind_at {
            Standing::Rebinding
        } else if now >= lease.renew_at || self.standing == Standing::Renewing {
            Standing::Renewing
        } else {
            self.due = Some(lease.renew_at);
            return None;
        };
        if self.standing != wanted {
            if self.standing == Standing::Bound {
                self.since = now;
                self.transaction = self.random.random();
            }
            self.enter(wanted);
        }
        Some(self.ask_for_more(now))
    }

    fn ask_for_more(&mut self, now: Time) -> Message {
        let rebinding = self.standing == Standing::Rebinding;
        let message = self.message(now);
        self.asked = now;
        self.tries += 1;
        let Some(lease) = &self.lease else { return message };
        // Half of what is left, but not more often than once a minute, and never beyond the next step.
        let end = if rebinding { lease.expires } else { Some(lease.rebind_at) };
        self.due = end.map(|end| end.min(now.after((end.since(now) / 2).max(RENEWAL_RETRY))));
        Message { client: Some(lease.network.addr()), to: (!rebinding).then_some(lease.server), ..message }
    }

    /// The address is ours, counted from when it was asked for.
    fn bind(&mut self, offer: &Offer) {
        let from = self.asked;
        let end = |seconds: u32| from.after(u64::from(seconds) * SECOND);
        let never = Time(u64::MAX);
        let (renew_at, rebind_at, expires) = match offer.lease_s {
            FOR_EVER_S => (never, never, None),
            lease_s => {
                let (renew_s, rebind_s) = terms(lease_s, offer.renew_s, offer.rebind_s);
                (end(renew_s), end(rebind_s), Some(end(lease_s)))
            }
        };
        self.lease = Some(Lease {
            network: offer.network,
            gateway: offer.gateway,
            server: offer.server,
            renew_at,
            rebind_at,
            expires,
        });
        self.offer = None;
        self.remembered = None;
        self.refusals = 0;
        self.enter(Standing::Bound);
        self.due = expires.map(|_| renew_at);
    }

    /// A server refused: at once again the first time, then ever more slowly.
    fn start_over(&mut self, now: Time) -> Option<Message> {
        self.refusals += 1;
        self.lease = None;
        self.remembered = None;
        self.enter(Standing::Init);
        if self.refusals == 1 {
            return Some(self.discover(now));
        }
        self.due = Some(self.back_off(now, self.refusals - 2));
        None
    }

    fn wait_for_answer(&mut self, now: Time) {
        self.due = Some(self.back_off(now, self.tries));
        self.asked = now;
        self.tries = self.tries.saturating_add(1);
    }

    fn back_off(&mut self, now: Time, step: u32) -> Time {
        let seconds = RETRY_S.checked_shl(step.min(16)).unwrap_or(RETRY_MAX_S).min(RETRY_MAX_S);
        now.after(seconds * SECOND - JITTER + self.random.random_range(0..=2 * JITTER))
    }

    fn message(&self, now: Time) -> Message {
        Message {
            kind: Kind::Request,
            transaction: self.transaction,
            seconds: u16::try_from(now.since(self.since) / SECOND).unwrap_or(u16::MAX),
            client: None,
            requested: None,
            server: None,
            to: None,
        }
    }
}

/// When to renew and rebind: as the server says, if that makes sense, else at 1/2 and 7/8 of the lease.
fn terms(lease_s: u32, renew_s: Option<u32>, rebind_s: Option<u32>) -> (u32, u32) {
    let rebind_s = rebind_s.filter(|rebind_s| (1..lease_s).contains(rebind_s)).unwrap_or(lease_s - lease_s / 8);
    let renew_s = renew_s.filter(|renew_s| (1..=rebind_s).contains(renew_s)).unwrap_or((lease_s / 2).min(rebind_s));
    (renew_s, rebind_s)
}

#[cfg(test)]
#[path = "client/tests.rs"]
mod tests;
