//! Every class of pan-os-python lives its whole life at a firewall: by its own address, and as a manager's device.

use std::path::Path;

use bartizan_lab::Lab;
use bartizan_lab::managed::{MANAGER, Managed};

use crate::alone::Alone;
use crate::python::{Client, run};
use crate::{BINARY, PASSWORD};

/// Where the manager's tests have it.
const SCRIPT: &str = "../../../manager/tests/manager/python/every_class.py";

#[test]
fn every_class_lives_at_a_firewalls_own_address() {
    let alone = Alone::start();
    run(&alone.host, Client::PanOsPython, SCRIPT, &[Alone::PORT, PASSWORD]);
}

#[test]
fn every_class_lives_at_a_firewall_behind_its_manager() {
    let lab = Lab::new().unwrap();
    let [manager, firewall] = ["manager", "fw"].map(|name| lab.namespace(name).unwrap());
    let house = Managed::start(&lab, &manager, &firewall, Path::new(BINARY)).unwrap();
    run(&manager, Client::PanOsPython, SCRIPT, &[MANAGER, &house.password, &house.serial]);
}
