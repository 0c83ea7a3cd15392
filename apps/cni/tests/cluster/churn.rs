//! Many pods come and go: is any packet of theirs not inspected, and is anything left of them?

use std::collections::VecDeque;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bartizan_lab::process::eventually;
use serde_json::json;

use super::world::{INTERNET, OUTSIDE, Pod, World, inside, world};

/// Pods that are started; so many more by the variable.
const PODS: usize = 100;
const VARIABLE: &str = "BARTIZAN_K8S_PODS";
/// Pods started in a second, as long as the machine keeps up.
const RATE: usize = 50;
/// Pods that run at the same time.
const ALIVE: usize = 40;
/// Runtimes call plugins for several pods at once.
const CALLERS: usize = 16;
const SINK: u16 = 9999;

#[test]
fn pods_that_come_and_go_leave_nothing_behind_and_send_nothing_uninspected() {
    let Some(world) = world() else { return };
    let count = std::env::var(VARIABLE).map_or(PODS, |text| text.parse().unwrap());
    world.namespace("shop", &json!({"paloaltonetworks.com/firewall": "pan-fw"}));
    let names: Vec<String> = (0..count).map(|at| format!("p{at}")).collect();
    names.iter().for_each(|name| world.announce("shop", name, &json!({})));
    let batch = names.iter().map(|name| format!("netns add {name}\n")).collect::<String>();
    std::fs::write(world.lab.dir().join("batch"), batch).unwrap();
    world.lab.sh(&format!("ip -batch {}", world.lab.dir().join("batch").display())).unwrap();
    // The bridge is the primary plugin's, and stays.
    let first = world.pod(0, "shop", "first", &json!({}));
    world.delete(&first);
    let node = &world.nodes[0];
    let before = world.links("node1");
    let addresses = addresses(&world);
    node.watch_for_plain_packets();
    let sink = inside(&world.entrance("internet"), || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SINK)).unwrap());
    sink.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let begun = Instant::now();
    let running: Mutex<VecDeque<Pod>> = Mutex::default();
    let next = AtomicUsize::new(0);
    let started = AtomicBool::new(false);
    let (heard, took) = std::thread::scope(|scope| {
        let listener = scope.spawn(|| listen(&sink, &started));
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(name) = names.get(at) else { break };
                        start(&world, (at, name), begun, &running);
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        let took = begun.elapsed();
        started.store(true, Ordering::Relaxed);
        (listener.join().unwrap(), took)
    });
    let left: Vec<Pod> = running.into_inner().unwrap().into();
    left.iter().for_each(|pod| world.delete(pod));
    let rate = count as f64 / took.as_secs_f64();
    super::say(&format!(
        "{count} pods added, and deleted meanwhile, in {:.1} s: {rate:.0} a second",
        took.as_secs_f64()
    ));
    assert_eq!(heard, count, "the first packet of every pod");
    assert_eq!(node.plain_packets(), 0, "packets that left the node outside of a tunnel");
    assert_eq!(world.links("node1"), before);
    assert_eq!(self::addresses(&world), addresses);
    // The installer's lock is there for moments, while it looks after the node's files.
    eventually("nothing is left", Duration::from_secs(5), || {
        let left = [node.files("state/pods"), node.files("state/locks"), node.pinned()].concat();
        anyhow::ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .unwrap();
}

/// Counts what comes through the firewall, until all pods have started and nothing comes any more.
fn listen(sink: &UdpSocket, started: &AtomicBool) -> usize {
    let mut heard = 0;
    loop {
        match sink.recv_from(&mut [0; 64]) {
            Ok((_, from)) => {
                assert_eq!(from.ip(), OUTSIDE, "through the firewall");
                heard += 1;
            }
            Err(_) if started.load(Ordering::Relaxed) => return heard,
            Err(_) => {}
        }
    }
}

/// A pod starts at its time, and sends at once; the oldest one makes room.
fn start(world: &World, (at, name): (usize, &str), begun: Instant, running: &Mutex<VecDeque<Pod>>) {
    let due = Duration::from_secs(at as u64) / RATE as u32;
    std::thread::sleep(due.saturating_sub(begun.elapsed()));
    let pod = world.add(0, "shop", name);
    let socket = inside(&world.entrance(name), || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    socket.send_to(name.as_bytes(), (INTERNET, SINK)).unwrap();
    let oldest = {
        let mut running = running.lock().unwrap();
        running.push_back(pod);
        (running.len() > ALIVE).then(|| running.pop_front()).flatten()
    };
    if let Some(oldest) = oldest {
        world.delete(&oldest);
    }
}

/// Addresses that the primary plugin has given out.
fn addresses(world: &World) -> Vec<String> {
    let mut names = world.nodes[0].files("ipam/pods");
    names.retain(|name| name.starts_with("10."));
    names
}
