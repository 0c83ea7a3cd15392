//! Which tags are registered for which addresses, and what does a `uid-message` make of them?
//!
//! The messages are PAN-OS's: `register` and `unregister` with entries by address. Times are seconds since the Unix
//! epoch and come in as arguments.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::tree::{Child, Element};

/// Addresses with tags in one [`Registry`].
pub const ADDRESSES_MAX: usize = 100_000;
/// Tags of one address in one [`Registry`], as on PAN-OS; those of policies are not counted among them.
pub const TAGS_MAX: usize = 64;
/// Tags of policies of one address in one [`Registry`].
pub const POLICY_TAGS_MAX: usize = 1024;
/// Longest tag in characters, as on PAN-OS.
pub const TAG_CHARS_MAX: usize = 127;
/// Longest timeout: 30 days, as on PAN-OS.
pub const TIMEOUT_S_MAX: i64 = 2_592_000;
/// What the tags of a Kubernetes cluster begin with; its name follows, up to a dot.
const CLUSTER_PREFIX: &str = "k8s.cl_";
/// What the tags of the groups of a cluster's policies begin with; its name follows, a dot, and a digest.
const POLICY_PREFIX: &str = "np.";
/// Hex digits of that digest.
const POLICY_DIGITS: usize = 16;

/// When a tag goes by itself, in seconds since the Unix epoch; `None` for never.
pub type Expiry = Option<i64>;

/// An address with its tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Outlives a restart of whoever keeps it.
    pub persistent: bool,
    /// Its tags.
    pub tags: BTreeMap<String, Expiry>,
}

/// What became of one tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The address that has it, or had it.
    pub address: IpAddr,
    /// The tag.
    pub tag: String,
    /// It came; otherwise it went.
    pub came: bool,
    /// Seconds that it has; 0 for any time.
    pub timeout_s: i64,
}

/// One entry of a `uid-message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// `register`; otherwise `unregister`.
    pub register: bool,
    /// The address.
    pub address: IpAddr,
    /// What is registered outlives a restart.
    pub persistent: bool,
    /// Tags with their timeouts in seconds. None: with `unregister` all that the address has.
    pub tags: Vec<(String, Option<i64>)>,
}

/// The registered addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    entries: BTreeMap<IpAddr, Entry>,
}

impl Registry {
    /// With these addresses.
    pub fn of(entries: BTreeMap<IpAddr, Entry>) -> Self {
        Self { entries }
    }

    /// What is registered, in the order of addresses.
    pub fn entries(&self) -> &BTreeMap<IpAddr, Entry> {
        &self.entries
    }

    /// Gives an address these tags and no others; without an entry it has none any more.
    pub fn put(&mut self, address: IpAddr, entry: Option<Entry>) {
        match entry.filter(|entry| !entry.tags.is_empty()) {
            Some(entry) => self.entries.insert(address, entry),
            None => self.entries.remove(&address),
        };
    }

    /// Carries out one order.
    ///
    /// # Errors
    /// What of it could not be done. Where a tag is there already, or is not there, the others were done.
    pub fn carry_out(&mut self, order: &Order, now_s: i64, changes: &mut Vec<Change>) -> Result<(), String> {
        if order.register { self.register(order, now_s, changes) } else { self.unregister(order, changes) }
    }

    fn register(&mut self, order: &Order, now_s: i64, changes: &mut Vec<Change>) -> Result<(), String> {
        let Order { address, persistent, tags, .. } = order;
        if tags.is_empty() {
            return Err("there is no tag to register".to_owned());
        }
        if self.entries.len() >= ADDRESSES_MAX && !self.entries.contains_key(address) {
            return Err(format!("{ADDRESSES_MAX} addresses are registered, which is as many as there can be"));
        }
        let mut new = self.entries.get(address).cloned().unwrap_or_default();
        let mut again = None;
        let mut came = Vec::new();
        for (tag, timeout) in tags {
            let expiry = timeout.map(|seconds| now_s + seconds);
            // A tag that is there with no end in sight stays so; a timeout begins anew.
            if new.tags.get(tag).is_some_and(|known| known.is_none() && expiry.is_none()) {
                again = Some(tag);
                continue;
            }
            came.push(Change { address: *address, tag: tag.clone(), came: true, timeout_s: timeout.unwrap_or(0) });
            new.tags.insert(tag.clone(), expiry);
        }
        let of_policies = new.tags.keys().filter(|tag| is_policy_tag(tag)).count();
        if new.tags.len() - of_policies > TAGS_MAX {
            return Err(format!("an address has at most {TAGS_MAX} tags"));
        }
        if of_policies > POLICY_TAGS_MAX {
            return Err(format!("an address has at most {POLICY_TAGS_MAX} tags of policies"));
        }
        new.persistent = *persistent;
        self.entries.insert(*address, new);
        changes.extend(came);
        again.map_or(Ok(()), |tag| Err(format!("tag {tag} already exists, ignore")))
    }

    fn unregister(&mut self, order: &Order, changes: &mut Vec<Change>) -> Result<(), String> {
        let address = order.address;
        let gone = |tag: String| Change { address, tag, came: false, timeout_s: 0 };
        if order.tags.is_empty() {
            let entry =
                self.entries.remove(&address).ok_or_else(|| format!("ip {address} does not exist, ignore unreg"))?;
            changes.extend(entry.tags.into_keys().map(gone));
            return Ok(());
        }
        let mut missing = None;
        let mut empty = false;
        for (tag, _) in &order.tags {
            let Some(tags) = self.entries.get_mut(&address).map(|entry| &mut entry.tags) else {
                missing = Some(tag);
                continue;
            };
            match tags.remove(tag) {
                Some(_) => changes.push(gone(tag.clone())),
                None => missing = Some(tag),
            }
            empty = tags.is_empty();
        }
        if empty {
            self.entries.remove(&address);
        }
        missing.map_or(Ok(()), |tag| Err(format!("tag {tag} does not exist, ignore unreg")))
    }

    /// Lets go what has expired; the time of the next.
    pub fn expire(&mut self, now_s: i64, changes: &mut Vec<Change>) -> Expiry {
        self.entries.retain(|address, entry| {
            entry.tags.retain(|tag, expiry| {
                let stays = expiry.is_none_or(|at| at > now_s);
                if !stays {
                    changes.push(Change { address: *address, tag: tag.clone(), came: false, timeout_s: 0 });
                }
                stays
            });
            !entry.tags.is_empty()
        });
        self.entries.values().flat_map(|entry| entry.tags.values().flatten()).min().copied()
    }

    /// Forgets everything; how many addresses there were.
    pub fn clear(&mut self, changes: &mut Vec<Change>) -> usize {
        let entries = std::mem::take(&mut self.entries);
        for (address, entry) in &entries {
            let gone = |tag: &String| Change { address: *address, tag: tag.clone(), came: false, timeout_s: 0 };
            changes.extend(entry.tags.keys().map(gone));
        }
        entries.len()
    }
}

/// Carries out a `uid-message`: `run` is given each order that can be read.
///
/// # Errors
/// The `uid-response` with what could not be done; everything else was done.
pub fn respond(message: &Element, mut run: impl FnMut(Order) -> Result<(), String>) -> Result<Element, Element> {
    // Some clients put the payload inside the type.
    let payload = message.descend(&["payload"]).or_else(|| message.descend(&["type", "payload"]));
    let mut problems = Vec::new();
    for part in payload.into_iter().flat_map(|payload| payload.elements()) {
        let mut entries = Vec::new();
        for entry in part.elements() {
            if let Err(message) = order(&part.name, entry).and_then(&mut run) {
                let mut problem = Element::new("entry");
                problem.attributes = entry.attributes.clone();
                problem.attributes.retain(|(name, _)| &**name == "ip");
                // Parsers of clients expect the message to be the last attribute.
                problem.attributes.push(("message".into(), message.as_str().into()));
                entries.push(problem);
            }
        }
        if !entries.is_empty() {
            problems.push(node(&part.name, entries));
        }
    }
    let failed = !problems.is_empty();
    let response = node("uid-response", vec![Element::leaf("version", "2.0"), node("payload", problems)]);
    if failed { Err(response) } else { Ok(response) }
}

/// The Kubernetes cluster that a tag is of, by its beginning: `k8s.cl_prod.ns_shop` is of `prod`, and so is
/// `np.prod.0123456789abcdef`, the tag of a group of its policies.
pub fn cluster_of(tag: &str) -> Option<&str> {
    if let Some(cluster) = policy_cluster(tag) {
        return Some(cluster);
    }
    let rest = tag.strip_prefix(CLUSTER_PREFIX)?;
    rest.split('.').next().filter(|name| !name.is_empty())
}

/// Whether it is the tag of a group of a cluster's policies.
pub fn is_policy_tag(tag: &str) -> bool {
    policy_cluster(tag).is_some()
}

fn policy_cluster(tag: &str) -> Option<&str> {
    let (cluster, digest) = tag.strip_prefix(POLICY_PREFIX)?.split_once('.')?;
    let is_digest = digest.len() == POLICY_DIGITS && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_digest && is_cluster_name(cluster)).then_some(cluster)
}

/// Whether it is a name for a cluster: 1 to 20 letters, digits, `_` and `-`. A dot would end it within a tag.
pub fn is_cluster_name(name: &str) -> bool {
    (1..=20).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The lines that two who keep the same tags of the same addresses both have: sorted, one a tag.
pub fn lines<'a>(tags: impl IntoIterator<Item = (&'a IpAddr, &'a String)>, mut each: impl FnMut(&[u8])) {
    for (address, tag) in tags {
        each(format!("{address} {tag}\n").as_bytes());
    }
}

fn node(name: &str, children: Vec<Element>) -> Element {
    let mut element = Element::new(name);
    element.children.extend(children.into_iter().map(|child| Child::Element(child.into())));
    element
}

fn order(part: &str, entry: &Element) -> Result<Order, String> {
    if !matches!(part, "register" | "unregister") {
        return Err(format!("`{part}` is not supported: only addresses can be registered"));
    }
    let text = entry.attribute("ip").unwrap_or_default();
    let address = text.parse().map_err(|_| format!("`{text}` is not an address"))?;
    let persistent = entry.attribute("persistent") != Some("0");
    Ok(Order { register: part == "register", address, persistent, tags: tags(entry)? })
}

fn tags(entry: &Element) -> Result<Vec<(String, Option<i64>)>, String> {
    let mut tags = Vec::new();
    for member in entry.child("tag").into_iter().flat_map(|tags| tags.elements()) {
        let tag = member.text().trim().to_owned();
        if tag.is_empty() || tag.chars().count() > TAG_CHARS_MAX {
            return Err(format!("a tag has 1 to {TAG_CHARS_MAX} characters"));
        }
        let timeout = match member.attribute("timeout").map(str::parse) {
            None | Some(Ok(0)) => None,
            Some(Ok(seconds)) if (0..=TIMEOUT_S_MAX).contains(&seconds) => Some(seconds),
            Some(_) => return Err(format!("a timeout is a number of seconds from 0 to {TIMEOUT_S_MAX}")),
        };
        tags.push((tag, timeout));
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use crate::xml::{parse, write};

    use super::*;

    fn message(payload: &str) -> Element {
        parse(&format!(
            "<uid-message><version>2.0</version><type>update</type><payload>{payload}</payload></uid-message>"
        ))
        .unwrap()
    }

    fn update(registry: &mut Registry, payload: &str, now_s: i64) -> (Result<String, String>, Vec<Change>) {
        let mut changes = Vec::new();
        let answer = respond(&message(payload), |order| registry.carry_out(&order, now_s, &mut changes));
        (answer.map(|ok| write(&ok)).map_err(|error| write(&error)), changes)
    }

    fn told(registry: &Registry) -> String {
        let line = |(ip, entry): (&IpAddr, &Entry)| {
            format!("{ip} {}", entry.tags.keys().cloned().collect::<Vec<_>>().join(","))
        };
        registry.entries().iter().map(line).collect::<Vec<_>>().join("; ")
    }

    const REGISTER: &str = "<register><entry ip='10.0.0.1' persistent='0'><tag><member timeout='60'>web</member><member>test</member></tag>\
        </entry><entry ip='2001:db8::1'><tag><member>web</member></tag></entry></register>";

    #[test]
    fn tags_come_go_and_expire() {
        let mut known = Registry::default();
        let (answer, mut changes) = update(&mut known, REGISTER, 0);
        assert_eq!(answer.unwrap(), "<uid-response><version>2.0</version><payload/></uid-response>");
        assert_eq!(told(&known), "10.0.0.1 test,web; 2001:db8::1 web");
        assert_eq!(known.expire(59, &mut changes), Some(60));
        assert_eq!(known.expire(60, &mut changes), None);
        assert_eq!(told(&known), "10.0.0.1 test; 2001:db8::1 web");
        let gone = "<unregister><entry ip='10.0.0.1'><tag><member>test</member></tag></entry><entry ip='2001:db8::1'/></unregister>";
        changes.extend(update(&mut known, gone, 61).1);
        assert_eq!(told(&known), "");
        let line =
            |one: Change| format!("{} {} {} {}", if one.came { "+" } else { "-" }, one.address, one.tag, one.timeout_s);
        assert_eq!(
            changes.into_iter().map(line).collect::<Vec<_>>(),
            [
                "+ 10.0.0.1 web 60",
                "+ 10.0.0.1 test 0",
                "+ 2001:db8::1 web 0",
                "- 10.0.0.1 web 0",
                "- 10.0.0.1 test 0",
                "- 2001:db8::1 web 0",
            ]
        );
    }

    #[test]
    fn what_cannot_be_done_is_told_and_the_rest_is_done() {
        let mut known = Registry::default();
        update(&mut known, REGISTER, 0).0.unwrap();
        let payload = "<register><entry ip='2001:db8::1'><tag><member>web</member><member>new</member></tag></entry>\
            <entry ip='10.0.0.x'><tag><member>web</member></tag></entry><entry ip='10.0.0.3'/></register>\
            <unregister><entry ip='10.0.0.1'><tag><member>no</member></tag></entry></unregister>\
            <login><entry name='bob' ip='10.0.0.3'/></login>";
        let refusal = update(&mut known, payload, 0).0.unwrap_err();
        for expected in [
            r#"<register><entry ip="2001:db8::1" message="tag web already exists, ignore"/>"#,
            r#"<entry ip="10.0.0.x" message="`10.0.0.x` is not an address"/>"#,
            r#"<entry ip="10.0.0.3" message="there is no tag to register"/></register>"#,
            r#"<unregister><entry ip="10.0.0.1" message="tag no does not exist, ignore unreg"/></unregister>"#,
            r#"<login><entry ip="10.0.0.3" message="`login` is not supported: only addresses can be registered"/></login>"#,
        ] {
            assert!(refusal.contains(expected), "{expected}\n{refusal}");
        }
        assert_eq!(told(&known), "10.0.0.1 test,web; 2001:db8::1 new,web");
    }

    #[test]
    fn addresses_and_tags_are_bounded() {
        let mut known = Registry::default();
        let many: String = (0..=TAGS_MAX).map(|at| format!("<member>t{at}</member>")).collect();
        let register =
            |ip: &str, tags: &str| format!("<register><entry ip='{ip}'><tag>{tags}</tag></entry></register>");
        assert!(update(&mut known, &register("10.0.0.1", &many), 0).0.is_err());
        let of_policies =
            |count: usize| -> String { (0..count).map(|at| format!("<member>np.prod.{at:016x}</member>")).collect() };
        let full = of_policies(POLICY_TAGS_MAX) + &many.replacen("<member>t0</member>", "", 1);
        assert!(update(&mut known, &register("10.0.0.1", &full), 0).0.is_ok(), "those of policies do not take room");
        assert!(update(&mut known, &register("10.0.0.2", &of_policies(POLICY_TAGS_MAX + 1)), 0).0.is_err());
        let entry = Entry { persistent: true, tags: [("t".to_owned(), None)].into() };
        let all = (0..u32::try_from(ADDRESSES_MAX).unwrap()).map(|at| (IpAddr::V4(at.into()), entry.clone()));
        let mut known = Registry::of(all.collect());
        assert!(update(&mut known, &register("10.0.0.1", "<member>t</member>"), 0).0.is_err());
        assert_eq!(known.clear(&mut Vec::new()), ADDRESSES_MAX);
        let long = "x".repeat(TAG_CHARS_MAX + 1);
        for wrong in [format!("<member>{long}</member>"), "<member timeout='-1'>t</member>".into()] {
            assert!(update(&mut known, &register("10.0.0.1", &wrong), 0).0.is_err());
        }
    }

    #[test]
    fn a_tag_tells_its_cluster() {
        assert_eq!(cluster_of("k8s.cl_prod.ns_shop.app.web"), Some("prod"));
        assert_eq!(cluster_of("k8s.cl_prod"), Some("prod"));
        assert_eq!(cluster_of("k8s.cl_.ns_shop"), None);
        assert_eq!(cluster_of("web"), None);
        assert_eq!(cluster_of("np.prod.0123456789abcdef"), Some("prod"));
        for other in ["np.prod", "np.prod.0123456789abcde", "np.prod.0123456789abcdef.x", "np.0123456789abcdef"] {
            assert!(cluster_of(other).is_none() && !is_policy_tag(other), "{other}");
        }
        assert!(is_cluster_name("aks-cluster_1") && !is_cluster_name("a.b") && !is_cluster_name(&"x".repeat(21)));
    }
}
