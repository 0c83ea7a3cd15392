//! Is anything acknowledged lost, or anything half-done visible, when the manager is killed again and again?
//!
//! A script of mixed operations runs against a real manager, and `kill -9` ends it at random, or ends the
//! database server under it. What the manager then shows must be what a plain model (`model.rs`) says: all
//! acknowledged operations, and the one under way either whole or not at all.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on panics, and tells its seed")]

mod handover;
mod model;
mod policies;

use std::sync::mpsc;
use std::time::Duration;

use bartizan_lab::api::Api;
use bartizan_lab::postgres::{Durability, Postgres};
use bartizan_lab::process::eventually;
use bartizan_lab::{Lab, Namespace, Process};

use model::{Operation, State};

const BINARY: &str = env!("CARGO_BIN_EXE_bartizan");
const OPERATIONS: usize = 200;
const ADDRESS: &str = "127.0.0.1:8443";
const PASSWORD: &str = "correct horse battery";
const LIMIT: Duration = Duration::from_secs(30);
/// Operations of a round before the kill, and from the last of them to the kill, which takes its time too.
const OPERATIONS_MAX: u64 = 16;
const DELAY_MAX_US: u64 = 30_000;

/// xorshift64
pub(crate) struct Random(u64);

impl Random {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A manager that is killed, and what it should hold.
struct Trial {
    lab: Lab,
    host: Namespace,
    postgres: Option<(Postgres, String)>,
    manager: Process,
    api: Api,
    state: State,
    random: Random,
    /// Acknowledged, interrupted and undone, interrupted and whole.
    counts: [usize; 3],
}

#[test]
fn on_sqlite_nothing_acknowledged_is_lost_and_nothing_half_done_is_visible() {
    Trial::start(None).run();
}

#[test]
fn on_postgresql_nothing_acknowledged_is_lost_and_nothing_half_done_is_visible() {
    let server = Postgres::start(Durability::Full).unwrap();
    let url = server.database().unwrap();
    Trial::start(Some((server, url))).run();
}

impl Trial {
    fn start(postgres: Option<(Postgres, String)>) -> Self {
        let lab = Lab::new().unwrap();
        let host = lab.namespace("manager").unwrap();
        let manager = launch(&lab, &host, "manager", url_of(&postgres));
        let api = login(&host);
        let seed = u64::from(std::process::id());
        println!("seed {seed}");
        model::set_up(&api).unwrap();
        let state = State::of(&api, 0);
        Self { lab, host, postgres, manager, api, state, random: Random(seed | 1), counts: [0; 3] }
    }

    fn run(mut self) {
        let mut kills = 0;
        while self.counts.iter().sum::<usize>() < OPERATIONS {
            self.round(kills);
            kills += 1;
        }
        let [done, undone, whole] = self.counts;
        println!("killed {kills} times: {done} acknowledged; of those under way {undone} undone, {whole} whole");
        assert!(done > OPERATIONS / 2 && undone + whole > 0, "the kills hit nothing: {:?}", self.counts);
    }

    /// Operations until one is interrupted; then the manager comes back and is compared with the model.
    fn round(&mut self, number: usize) {
        let (operations, delay) = (1 + self.random.below(OPERATIONS_MAX), self.random.below(DELAY_MAX_US));
        let end_server = number % 3 == 2;
        let (strike, struck) = mpsc::channel();
        let Self { postgres, manager, api, state, random, counts, .. } = self;
        let under_way = std::thread::scope(|scope| {
            scope.spawn(move || {
                struck.recv().unwrap();
                std::thread::sleep(Duration::from_micros(delay));
                match postgres {
                    Some((server, _)) if end_server => server.crash().unwrap(),
                    _ => manager.signal("KILL").unwrap(),
                }
            });
            let mut left = operations;
            operate(api, state, random, || {
                counts[0] += 1;
                left = left.wrapping_sub(1);
                if left == 0 {
                    strike.send(()).unwrap();
                }
            })
        });
        // A manager whose server was gone comes back by itself.
        if !(self.postgres.is_some() && end_server) {
            self.manager.wait(LIMIT).unwrap();
            self.manager = launch(&self.lab, &self.host, "manager", url_of(&self.postgres));
        }
        self.api = login(&self.host);
        self.compare(under_way);
    }

    fn compare(&mut self, (operation, job): (Operation, Option<String>)) {
        let found = State::of(&self.api, self.state.count());
        let after = self.state.after(&operation);
        assert!(
            found == self.state || found == after,
            "{operation:?} was under way\nbefore: {:#?}\nfound: {found:#?}\nlog: {}",
            self.state,
            self.manager.output()
        );
        if let Some(job) = job {
            let answer = self.api.op(&format!("<show><jobs><id>{job}</id></jobs></show>")).unwrap();
            assert!(answer.contains("<status>FIN</status>"), "{answer}");
            let done = answer.contains("<result>OK</result>");
            // A push to a device that is away never succeeds, and may be interrupted after it was written down.
            let done = if matches!(operation, Operation::Push) { found == after } else { done };
            assert_eq!(done, found == after, "job {job} and the running configuration differ: {answer}");
        }
        let whole = found == after && found != self.state;
        self.counts[if whole { 2 } else { 1 }] += 1;
        self.state = found;
    }
}

/// Runs random operations until one is not acknowledged: that one, and its job if it got one.
fn operate(api: &Api, state: &mut State, random: &mut Random, mut done: impl FnMut()) -> (Operation, Option<String>) {
    loop {
        let operation = state.next(random);
        let mut job = None;
        match operation.run(api, &mut job) {
            Ok(()) => {
                *state = state.after(&operation);
                done();
            }
            Err(error) => {
                let text = format!("{error:#}");
                // The model makes no operation that is refused for what it asks.
                assert!(!text.contains("code=\"12\"") && !text.contains("code=\"7\""), "{operation:?}: {text}");
                return (operation, job);
            }
        }
    }
}

fn url_of(postgres: &Option<(Postgres, String)>) -> Option<&str> {
    postgres.as_ref().map(|(_, url)| url.as_str())
}

/// Starts a manager whose data directory has that name.
fn launch(lab: &Lab, host: &Namespace, name: &str, database: Option<&str>) -> Process {
    let data = lab.dir().join(name).to_string_lossy().into_owned();
    let mut variables = vec![("BARTIZAN_ADMIN_PASSWORD", PASSWORD)];
    variables.extend(database.map(|url| ("BARTIZAN_DATABASE", url)));
    let words = [BINARY, "manager", "--data-dir", &data, "--listen", ADDRESS];
    host.spawn(&words, &variables, &lab.dir().join(format!("{name}.log"))).unwrap()
}

fn login(host: &Namespace) -> Api {
    eventually("the manager answers", LIMIT, || Api::login(host, ADDRESS, "admin", PASSWORD)).unwrap()
}
