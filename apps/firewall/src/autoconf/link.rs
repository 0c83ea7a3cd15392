//! Which addresses and which router does a link give by advertisement: the host's part of RFC 4861 and 4862.
//!
//! One interface. Time and advertisements come in; addresses and routers come out. What hosts on the link
//! could make grow is bounded.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use bartizan_engine::settings::SECOND;
use bartizan_engine::verdict::Time;
use bartizan_packet::ethernet::Mac;
use bartizan_packet::ndp::{Prefix, RouterAdvertisement, link_local};
use ipnet::Ipv6Net;

/// Questions at the start (RFC 4861's MAX_RTR_SOLICITATIONS).
const SOLICITATIONS: u8 = 3;
/// Time between two (RFC 4861's RTR_SOLICITATION_INTERVAL).
const SOLICITATION_INTERVAL: u64 = 4 * SECOND;
/// Networks and routers of a link that are kept; more are not looked at.
const KEPT_MAX: usize = 8;
/// An advertisement cannot shorten what is left of an address to less (RFC 4862 section 5.5.3).
const LIFETIME_MIN: u64 = 2 * 3600 * SECOND;
/// The only prefix length in which an interface identifier of 64 bits makes an address.
const PREFIX_BITS: u8 = 64;

/// What one link told.
#[derive(Debug)]
pub struct Link {
    mac: Mac,
    /// Until when each router may be the default one.
    routers: BTreeMap<Ipv6Addr, Time>,
    /// Until when an address may be used in each network, and whether its hosts are neighbours.
    networks: BTreeMap<Ipv6Net, (Time, bool)>,
    questions_left: u8,
    ask_at: Time,
}

impl Link {
    /// A link that is asked at once.
    pub fn new(mac: Mac, now: Time) -> Self {
        Self { mac, routers: BTreeMap::new(), networks: BTreeMap::new(), questions_left: SOLICITATIONS, ask_at: now }
    }

    /// Own addresses by what is known, and routers.
    pub fn learned(&self) -> (Vec<Ipv6Net>, Vec<Ipv6Addr>) {
        let identifier = u128::from(link_local(self.mac).to_bits() as u64);
        let own = self.networks.iter().filter_map(|(network, (_, on_link))| {
            let address = Ipv6Addr::from_bits(network.network().to_bits() | identifier);
            Ipv6Net::new(address, if *on_link { PREFIX_BITS } else { 128 }).ok()
        });
        (own.collect(), self.routers.keys().copied().collect())
    }

    /// When [`Link::tick`] has something to do.
    pub fn due(&self) -> Option<Time> {
        let ask = (self.questions_left > 0).then_some(self.ask_at);
        let ends = self.routers.values().copied().chain(self.networks.values().map(|(end, _)| *end));
        ask.into_iter().chain(ends.filter(|end| *end != Time(u64::MAX))).min()
    }

    /// Forgets what is over; whether the routers are to be asked now.
    pub fn tick(&mut self, now: Time) -> bool {
        self.routers.retain(|_, end| *end > now);
        self.networks.retain(|_, (end, _)| *end > now);
        if self.questions_left == 0 || self.ask_at > now {
            return false;
        }
        self.questions_left -= 1;
        self.ask_at = now.after(SOLICITATION_INTERVAL);
        true
    }

    /// Takes in what a router said.
    pub fn hear(&mut self, router: Ipv6Addr, said: &RouterAdvertisement, now: Time) {
        self.questions_left = 0;
        if said.lifetime_s == 0 {
            self.routers.remove(&router);
        } else if self.routers.contains_key(&router) || self.routers.len() < KEPT_MAX {
            self.routers.insert(router, now.after(u64::from(said.lifetime_s) * SECOND));
        }
        for prefix in &said.prefixes {
            self.hear_prefix(prefix, now);
        }
    }

    fn hear_prefix(&mut self, prefix: &Prefix, now: Time) {
        let scoped = prefix.network.is_unicast_link_local() || prefix.network.is_multicast();
        let usable = prefix.autonomous && prefix.length == PREFIX_BITS && prefix.preferred_s <= prefix.valid_s;
        let Ok(network) = Ipv6Net::new(prefix.network, PREFIX_BITS) else { return };
        if scoped || !usable {
            return;
        }
        let said = match prefix.valid_s {
            u32::MAX => Time(u64::MAX),
            seconds => now.after(u64::from(seconds) * SECOND),
        };
        let end = match self.networks.get(&network.trunc()) {
            None if prefix.valid_s == 0 || self.networks.len() >= KEPT_MAX => return,
            None => said,
            // Nobody on the link can take an address away at once.
            Some((known, _)) if said >= *known || said.since(now) > LIFETIME_MIN => said,
            Some((known, _)) => (*known).min(now.after(LIFETIME_MIN)),
        };
        self.networks.insert(network.trunc(), (end, prefix.on_link));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 5];

    fn s(seconds: u64) -> Time {
        Time(seconds * SECOND)
    }

    fn router(last: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last)
    }

    fn prefix(network: &str, valid_s: u32) -> Prefix {
        Prefix {
            network: network.parse().unwrap(),
            length: 64,
            on_link: true,
            autonomous: true,
            valid_s,
            preferred_s: valid_s / 2,
        }
    }

    fn says(lifetime_s: u16, prefixes: Vec<Prefix>) -> RouterAdvertisement {
        RouterAdvertisement { lifetime_s, prefixes }
    }

    fn texts(link: &Link) -> (Vec<String>, Vec<String>) {
        let (own, routers) = link.learned();
        (own.iter().map(ToString::to_string).collect(), routers.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_link_is_asked_three_times_and_no_more_after_an_answer() {
        let mut link = Link::new(MAC, s(10));
        assert!(link.tick(s(10)));
        assert!(!link.tick(s(11)));
        assert!(link.tick(s(14)));
        assert!(link.tick(s(18)));
        assert_eq!(link.due(), None);
        let mut link = Link::new(MAC, s(10));
        link.tick(s(10));
        link.hear(router(1), &says(1800, Vec::new()), s(11));
        assert!(!link.tick(s(14)));
    }

    #[test]
    fn an_address_is_made_of_prefix_and_mac_and_ends_with_its_lifetime() {
        let mut link = Link::new(MAC, s(0));
        link.hear(router(1), &says(1800, vec![prefix("2001:db8:7::99", 7200)]), s(0));
        assert_eq!(texts(&link), (vec!["2001:db8:7::ff:fe00:5/64".into()], vec!["fe80::1".into()]));
        assert_eq!(link.due(), Some(s(1800)));
        link.tick(s(1800));
        assert_eq!(texts(&link).1, Vec::<String>::new(), "the router's time is over");
        link.tick(s(7200));
        assert_eq!((texts(&link).0, link.due()), (Vec::new(), None));
    }

    #[test]
    fn a_router_that_steps_down_is_none_at_once() {
        let mut link = Link::new(MAC, s(0));
        link.hear(router(1), &says(1800, Vec::new()), s(0));
        link.hear(router(2), &says(1800, Vec::new()), s(0));
        link.hear(router(1), &says(0, Vec::new()), s(1));
        assert_eq!(texts(&link).1, ["fe80::2"]);
    }

    #[test]
    fn nobody_can_take_an_address_away_at_once() {
        let mut link = Link::new(MAC, s(0));
        link.hear(router(1), &says(0, vec![prefix("2001:db8:7::", 86_400)]), s(0));
        link.hear(router(1), &says(0, vec![prefix("2001:db8:7::", 1)]), s(10));
        assert_eq!(link.due(), Some(s(10 + 7200)), "two hours are left to it");
        link.hear(router(1), &says(0, vec![prefix("2001:db8:7::", 1)]), s(20));
        assert_eq!(link.due(), Some(s(10 + 7200)), "and no more by saying it again");
        link.hear(router(1), &says(0, vec![prefix("2001:db8:7::", u32::MAX)]), s(30));
        assert_eq!(link.due(), None, "for ever");
    }

    #[test]
    fn networks_without_an_address_for_us_are_left_alone() {
        let mut link = Link::new(MAC, s(0));
        let good = prefix("2001:db8:7::", 7200);
        let bad = [
            Prefix { autonomous: false, ..good },
            Prefix { length: 63, ..good },
            Prefix { valid_s: 0, preferred_s: 0, ..good },
            Prefix { preferred_s: 7201, ..good },
            prefix("fe80::", 7200),
            prefix("ff05::", 7200),
        ];
        link.hear(router(1), &says(0, bad.to_vec()), s(0));
        assert_eq!(texts(&link).0, Vec::<String>::new());
        link.hear(router(1), &says(0, vec![Prefix { on_link: false, ..good }]), s(0));
        assert_eq!(texts(&link).0, ["2001:db8:7::ff:fe00:5/128"], "its hosts are not neighbours");
    }

    #[test]
    fn a_flood_of_routers_and_networks_is_bounded() {
        let mut link = Link::new(MAC, s(0));
        for number in 0..100 {
            let network = format!("2001:db8:{number:x}::");
            link.hear(router(number), &says(1800, vec![prefix(&network, 7200)]), s(0));
        }
        let (own, routers) = link.learned();
        assert_eq!((own.len(), routers.len()), (KEPT_MAX, KEPT_MAX));
        link.hear(router(0), &says(9000, Vec::new()), s(1));
        assert!(link.due() > Some(s(1800)) || link.routers[&router(0)] == s(9001), "those that are known may go on");
    }
}
