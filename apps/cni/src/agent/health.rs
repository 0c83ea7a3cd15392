//! Is a firewall well? A connection, or an HTTP answer, once a second.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::settings::Health;

/// How long a firewall may take; with two misses a second apart, pods know in less than three.
const PATIENCE: Duration = Duration::from_millis(500);
/// Misses in a row that make a firewall unwell. One success makes it well again.
const MISSES: u32 = 2;

/// What each firewall answered lately.
#[derive(Debug)]
pub(crate) struct Watchers {
    health: Health,
    agent: ureq::Agent,
    found: BTreeMap<Ipv4Addr, Found>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Found {
    well: bool,
    misses: u32,
}

impl Watchers {
    pub(crate) fn new(health: &Health) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .proxy(None)
            .build();
        Self { health: health.clone(), agent: config.new_agent(), found: BTreeMap::new() }
    }

    /// Asks all at the same time.
    pub(crate) fn ask(&mut self, addresses: &[Ipv4Addr]) -> BTreeMap<Ipv4Addr, bool> {
        let answers: Vec<(Ipv4Addr, bool)> = std::thread::scope(|scope| {
            let asked: Vec<_> =
                addresses.iter().map(|address| (*address, scope.spawn(|| self.answers(*address)))).collect();
            asked.into_iter().map(|(address, thread)| (address, thread.join().unwrap_or(false))).collect()
        });
        self.found.retain(|address, _| addresses.contains(address));
        for (address, answered) in answers {
            self.found.entry(address).or_default().note(answered);
        }
        self.found.iter().map(|(address, found)| (*address, found.well)).collect()
    }

    fn answers(&self, address: Ipv4Addr) -> bool {
        let port = self.health.port;
        match &self.health.path {
            None => TcpStream::connect_timeout(&SocketAddr::from((address, port)), PATIENCE).is_ok(),
            Some(path) => {
                let answer = self.agent.get(format!("http://{address}:{port}{path}")).call();
                answer.is_ok_and(|answer| (200..400).contains(&answer.status().as_u16()))
            }
        }
    }
}

impl Found {
    fn note(&mut self, answered: bool) {
        self.misses = if answered { 0 } else { self.misses.saturating_add(1) };
        self.well = answered || self.well && self.misses < MISSES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn one_success_makes_well_and_two_misses_unwell() {
        let mut found = Found::default();
        let told: Vec<bool> = [false, true, false, true, false, false, true]
            .into_iter()
            .map(|answered| {
                found.note(answered);
                found.well
            })
            .collect();
        assert_eq!(told, [false, true, true, true, true, false, true]);
    }

    #[test]
    fn a_connection_or_a_good_answer_is_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            for answer in ["200 OK", "503 No"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                let read = stream.read(&mut request).unwrap();
                assert!(request[..read].starts_with(b"GET /unauth HTTP/1.1\r\n"));
                stream.write_all(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
            }
            let _connection_alone = listener.accept().unwrap();
        });
        let watchers = |path: Option<&str>| Watchers::new(&Health { port, path: path.map(str::to_owned) });
        let here = Ipv4Addr::LOCALHOST;
        assert_eq!(watchers(Some("/unauth")).ask(&[here]), BTreeMap::from([(here, true)]));
        assert_eq!(watchers(Some("/unauth")).ask(&[here]), BTreeMap::from([(here, false)]));
        assert_eq!(watchers(None).ask(&[here]), BTreeMap::from([(here, true)]));
        server.join().unwrap();
        assert_eq!(watchers(None).ask(&[here]), BTreeMap::from([(here, false)]));
    }
}
