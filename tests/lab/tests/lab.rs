//! Does the lab carry packets, keep hosts apart, and leave nothing behind?

use std::time::Duration;

use bartizan_lab::Lab;

#[test]
fn two_hosts_reach_one_another_and_nothing_is_left_behind() {
    let lab = Lab::new().unwrap();
    let (left, right) = (lab.namespace("left").unwrap(), lab.namespace("right").unwrap());
    lab.link((&left, "eth0"), (&right, "eth0")).unwrap();
    left.address("eth0", "10.9.0.1/24").unwrap();
    right.address("eth0", "10.9.0.2/24").unwrap();
    let answer = left.run(&["ping", "-c", "1", "-W", "2", "10.9.0.2"]).unwrap();
    assert!(answer.contains("1 received"), "{answer}");

    let dir = lab.dir().to_owned();
    lab.sh(&format!("mkdir {0}/mounted && mount -t tmpfs lab {0}/mounted", dir.display())).unwrap();
    let mut server = right.spawn(&["sleep", "600"], &[], &dir.join("sleep.log")).unwrap();
    let id = server.id().unwrap();
    drop(lab);
    assert_eq!(server.wait(Duration::from_secs(5)).unwrap(), None, "a signal ended the program with its lab");
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    assert!(!dir.exists());
}

#[test]
fn a_signal_reaches_the_program_itself() {
    let lab = Lab::new().unwrap();
    let host = lab.namespace("host").unwrap();
    let log = lab.dir().join("trap.log");
    let mut program = host
        .spawn(&["sh", "-c", "trap 'echo hung up; exit 3' HUP; echo waiting; while :; do sleep 0.05; done"], &[], &log)
        .unwrap();
    program.wait_for("waiting", Duration::from_secs(5)).unwrap();
    program.signal("HUP").unwrap();
    assert_eq!(program.wait(Duration::from_secs(5)).unwrap(), Some(3));
    assert!(program.output().contains("hung up"));
}
