//! Several managers on one database: who leads, and what happens when that one dies?
//!
//! Both listen on one address, as behind a virtual one: who stands by does not take it.

use std::time::{Duration, Instant};

use bartizan_lab::api::{Api, between};
use bartizan_lab::postgres::{Durability, Postgres};
use bartizan_lab::process::eventually;
use bartizan_lab::{Lab, Namespace, Process};

use crate::{ADDRESS, BINARY, LIMIT, launch, login};

const ADDRESSES: &str = "/config/shared/address";
const LEADERS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";

#[test]
fn when_the_leader_dies_the_other_manager_goes_on_with_everything_and_with_the_firewalls() {
    let lab = Lab::new().unwrap();
    let host = lab.namespace("managers").unwrap();
    let server = Postgres::start(Durability::Full).unwrap();
    let url = server.database().unwrap();
    let mut first = launch(&lab, &host, "first", Some(&url));
    let api = login(&host);
    let (_firewall, serial) = enrol_firewall(&lab, &host, &api);

    let mut stranger = launch(&lab, &host, "second", Some(&url));
    assert_eq!(stranger.wait(LIMIT).unwrap(), Some(1));
    assert!(stranger.output().contains("copy `pki/ca.pem`"), "{}", stranger.output());
    std::fs::create_dir_all(lab.dir().join("second/pki")).unwrap();
    for name in ["pki/ca.pem", "pki/ca.key"] {
        std::fs::copy(lab.dir().join("first").join(name), lab.dir().join("second").join(name)).unwrap();
    }
    let mut second = launch(&lab, &host, "second", Some(&url));
    stands_by(&second);

    // Edits go on until the leader is gone; the key is good for the next one too.
    set(&api, 0).unwrap();
    let mut acknowledged = 1;
    let killed = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(500));
            first.signal("KILL").unwrap();
            Instant::now()
        });
        while set(&api, acknowledged).is_ok() {
            acknowledged += 1;
        }
        killer.join().unwrap()
    });
    let found = eventually("the second manager leads", LIMIT, || objects(&api)).unwrap();
    println!("led again {} ms after the kill, {acknowledged} edits acknowledged", killed.elapsed().as_millis());
    assert!((acknowledged..=acknowledged + 1).contains(&found), "{found} of {acknowledged}");
    first.wait(LIMIT).unwrap();
    connected(&api, &serial);
    api.commit().unwrap();

    // The first comes back and waits, until the server ends the session of the second.
    let mut first = launch(&lab, &host, "first", Some(&url));
    stands_by(&first);
    server.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'").unwrap();
    eventually("the second stops", LIMIT, || {
        anyhow::ensure!(second.output().contains("the database is lost"), "{}", second.output());
        Ok(())
    })
    .unwrap();
    assert_eq!(eventually("one of them leads", LIMIT, || objects(&api)).unwrap(), found);
    assert_eq!(server.sql("postgres", LEADERS).unwrap(), "1");
    connected(&api, &serial);

    // Asked to end, both do: who leads and who stands by.
    for manager in [&mut first, &mut second] {
        manager.signal("TERM").unwrap();
        assert_eq!(manager.wait(LIMIT).unwrap(), Some(0), "{}", manager.output());
    }

    // What they had moves to SQLite, and the firewall comes along.
    let at = |name: &str| lab.dir().join(name).to_string_lossy().into_owned();
    let (from, to, file) = (at("first"), at("third"), at("backup"));
    let manage = |words: &[&str]| host.run(&[&[BINARY, "manager"], words, &[&file]].concat()).unwrap();
    let written = manage(&["backup", "--data-dir", &from, "--database", &url]);
    let restored = manage(&["restore", "--data-dir", &to]);
    assert_eq!(written.replace("written", "restored"), restored);
    let _third = launch(&lab, &host, "third", None);
    assert_eq!(eventually("the third leads", LIMIT, || objects(&api)).unwrap(), found);
    connected(&api, &serial);
}

fn set(api: &Api, number: usize) -> anyhow::Result<()> {
    api.set(ADDRESSES, &format!("<entry name=\"kept-{number}\"><ip-netmask>10.0.0.1</ip-netmask></entry>"))
}

/// How many objects of [`set`] the candidate has.
fn objects(api: &Api) -> anyhow::Result<usize> {
    let answer = api.call(&[("type", "config"), ("action", "get"), ("xpath", ADDRESSES)])?;
    Ok(answer.matches("name=\"kept-").count())
}

fn stands_by(manager: &Process) {
    eventually("it stands by", LIMIT, || {
        let output = manager.output();
        anyhow::ensure!(output.contains(&format!("{ADDRESS}` leads")), "{output}");
        Ok(())
    })
    .unwrap();
}

fn enrol_firewall(lab: &Lab, host: &Namespace, api: &Api) -> (Process, String) {
    let answer = api
        .op("<request><bootstrap><vm-auth-key><generate><lifetime>24</lifetime></generate></vm-auth-key></bootstrap></request>")
        .unwrap();
    let key = between(&answer, "VM auth key ", " generated").unwrap();
    let state = lab.dir().join("firewall").to_string_lossy().into_owned();
    let words = [BINARY, "firewall", "--manager", ADDRESS, "--auth-key", key, "--state-dir", &state];
    let firewall = host.spawn(&words, &[], &lab.dir().join("firewall.log")).unwrap();
    let serial = eventually("the firewall enrols", LIMIT, || {
        let answer = api.op("<show><devices><connected/></devices></show>")?;
        between(&answer, "<serial>", "</serial>").map(str::to_owned).ok_or_else(|| anyhow::anyhow!(firewall.output()))
    });
    (firewall, serial.unwrap())
}

fn connected(api: &Api, serial: &str) {
    eventually("the firewall comes", LIMIT, || {
        let answer = api.op("<show><devices><connected/></devices></show>")?;
        anyhow::ensure!(answer.contains(&format!("<serial>{serial}</serial>")), "{answer}");
        Ok(())
    })
    .unwrap();
}
