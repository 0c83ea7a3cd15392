//! Who uses the manager at this time?
//!
//! Whoever made a request a short while ago. It is known for as long as the process lives, and only of so many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

use super::{Caller, Door};
use crate::lock;

/// After this time without a request somebody is gone.
const IDLE_US: i64 = 15 * 60_000_000;
/// So many are known; who asked longest ago makes room.
const PRESENT_MAX: usize = 1000;

type Who = (String, IpAddr, Door);

/// From when on, and when last.
type Times = (i64, i64);

/// Somebody who is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Present {
    /// Name.
    pub(crate) name: String,
    /// Where the requests come from.
    pub(crate) host: IpAddr,
    /// By which door.
    pub(crate) door: Door,
    /// When the first of them came.
    pub(crate) since_us: i64,
    /// When the last one came.
    pub(crate) last_us: i64,
}

/// Everybody who is there.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    seen: Mutex<HashMap<Who, Times>>,
}

impl Presence {
    /// Somebody made a request.
    pub(crate) fn note(&self, caller: &Caller, now_us: i64) {
        let mut seen = lock(&self.seen);
        let who = (caller.name.clone(), caller.host, caller.door);
        if let Some((since, last)) = seen.get_mut(&who) {
            if now_us - *last > IDLE_US {
                *since = now_us;
            }
            *last = now_us;
            return;
        }
        if seen.len() >= PRESENT_MAX {
            seen.retain(|_, (_, last)| now_us - *last <= IDLE_US);
            let oldest = seen.iter().min_by_key(|(_, (_, last))| *last).map(|(who, _)| who.clone());
            if let Some(oldest) = oldest.filter(|_| seen.len() >= PRESENT_MAX) {
                seen.remove(&oldest);
            }
        }
        seen.insert(who, (now_us, now_us));
    }

    /// Who is there, by name.
    pub(crate) fn list(&self, now_us: i64) -> Vec<Present> {
        let seen = lock(&self.seen);
        let there = seen.iter().filter(|(_, (_, last))| now_us - *last <= IDLE_US);
        let mut list: Vec<Present> = there
            .map(|((name, host, door), (since_us, last_us))| Present {
                name: name.clone(),
                host: *host,
                door: *door,
                since_us: *since_us,
                last_us: *last_us,
            })
            .collect();
        list.sort_by(|a, b| (&a.name, a.host, a.since_us).cmp(&(&b.name, b.host, b.since_us)));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Role;

    fn caller(number: u32) -> Caller {
        Caller {
            name: format!("admin-{number}"),
            role: Role::Superuser,
            host: IpAddr::V4(number.into()),
            door: Door::Json,
        }
    }

    #[test]
    fn somebody_is_there_until_nothing_was_asked_for_a_while() {
        let presence = Presence::default();
        presence.note(&caller(1), 0);
        presence.note(&caller(1), IDLE_US);
        presence.note(&caller(2), 2 * IDLE_US);
        let times = |now| presence.list(now).iter().map(|one| (one.since_us, one.last_us)).collect::<Vec<_>>();
        assert_eq!(times(2 * IDLE_US), [(0, IDLE_US), (2 * IDLE_US, 2 * IDLE_US)]);
        assert_eq!(times(2 * IDLE_US + 1), [(2 * IDLE_US, 2 * IDLE_US)]);
        presence.note(&caller(1), 3 * IDLE_US);
        assert_eq!(times(3 * IDLE_US)[0], (3 * IDLE_US, 3 * IDLE_US), "that was another time");
    }

    #[test]
    fn only_so_many_are_known() {
        let presence = Presence::default();
        for number in 0..=u32::try_from(PRESENT_MAX).unwrap() {
            presence.note(&caller(number), number.into());
        }
        let list = presence.list(0);
        assert_eq!(list.len(), PRESENT_MAX);
        assert!(!list.iter().any(|one| one.name == "admin-0"));
    }
}
