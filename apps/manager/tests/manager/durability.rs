//! A manager that is killed at any moment comes back with the old or the new configuration, whole.
//!
//! The manager runs in a process of its own: this test binary, started again to run only [`serve`].

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::{PASSWORD, Server, between};
use bartizan_manager::{Manager, Settings};
use rand::{Rng as _, SeedableRng as _};

const DIRECTORY: &str = "BARTIZAN_TEST_SERVE";
const ADDRESS: &str = "BARTIZAN_TEST_LISTEN";
const KILLS: u32 = 20;
const ENTRIES: u32 = 40;

/// Not a test: the process that is killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the test below"]
async fn serve() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let mut settings = Settings::new(directory, "127.0.0.1:0".parse().unwrap());
    settings.admin_password = Some(PASSWORD.to_owned());
    let manager = Manager::start(settings).await.unwrap();
    println!("\nlistening on {}", manager.local_addr().unwrap());
    manager.serve(std::future::pending()).await.unwrap();
}

/// Not a test: the process that is asked to end.
#[test]
#[ignore = "started by the test below"]
fn run() {
    let (Ok(directory), Ok(address)) = (std::env::var(DIRECTORY), std::env::var(ADDRESS)) else {
        return;
    };
    let settings = Settings::new(directory, address.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(bartizan_manager::run(settings)).unwrap();
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Child::kill is SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(directory: &Path) -> (Process, std::net::SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durability::serve", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let process = Process(child);
    let line = lines.find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned));
    // Whatever it prints later must find a reader.
    std::thread::spawn(move || lines.count());
    (process, line.expect("it ended before it listened").parse().unwrap())
}

/// All entries carry the same generation: a half-written configuration would show two.
fn generation(addresses: &str) -> u32 {
    if addresses.contains("code=\"7\"") || addresses.contains("No such node") {
        return 0;
    }
    let first: u32 = between(addresses, "<fqdn>g", ".example</fqdn>").parse().unwrap();
    let count = addresses.matches(&format!("<fqdn>g{first}.example</fqdn>")).count();
    assert_eq!(count, ENTRIES as usize, "torn: {addresses}");
    assert_eq!(addresses.matches("<fqdn>").count(), ENTRIES as usize, "torn: {addresses}");
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_configuration_is_the_old_or_the_new_one() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut server = Server::start().await;
    server.stop().await;
    // What was answered as done, and what may have been done.
    let (mut committed, mut edited) = (0, 0);
    for round in 1..=KILLS {
        let (process, address) = spawn(server.directory.path());
        server.address = address;
        let running = generation(
            &server.body(&[("type", "config"), ("action", "show"), ("xpath", "/config/shared/address")]).await,
        );
        let candidate = generation(&server.get("/config/shared/address").await);
        assert!(running >= committed, "round {round}: version with generation {committed} was lost, found {running}");
        assert!(candidate >= edited, "round {round}: edit {edited} was lost, found {candidate}");
        let delay = Duration::from_micros(random.random_range(0..60_000));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(delay);
            drop(process);
        });
        (committed, edited) = (running, candidate);
        for next in candidate + 1.. {
            if !edit(&server, next).await {
                break;
            }
            edited = next;
            match commit(&server).await {
                Some(()) => committed = next,
                None => break,
            }
        }
        killer.join().unwrap();
    }
    let (_process, address) = spawn(server.directory.path());
    server.address = address;
    let versions = server.op("<show><config><versions/></config></show>").await;
    println!("generations committed: {committed}; {} versions kept", versions.matches("<digest>").count());
    assert!(committed > 0, "nothing was ever committed: the test kills too early");
    let jobs = server.op("<show><jobs><all/></jobs></show>").await;
    assert!(!jobs.contains("<status>ACT</status>") && !jobs.contains("<status>PEND</status>"), "{jobs}");
}

/// Whether the edit was answered as done.
async fn edit(server: &Server, generation: u32) -> bool {
    let entries: String = (0..ENTRIES)
        .map(|entry| format!("<entry name='a{entry}'><fqdn>g{generation}.example</fqdn></entry>"))
        .collect();
    let element = format!("<address>{entries}</address>");
    let parameters =
        [("type", "config"), ("action", "edit"), ("xpath", "/config/shared/address"), ("element", element.as_str())];
    server.try_api(&parameters).await.is_some_and(|answer| answer.body.contains("command succeeded"))
}

/// `None` when the process died before it said that the job is done.
async fn commit(server: &Server) -> Option<()> {
    let body = server.try_api(&[("type", "commit"), ("cmd", "<commit/>")]).await?.body;
    let job = between(&body, "<job>", "</job>");
    let command = format!("<show><jobs><id>{job}</id></jobs></show>");
    loop {
        let body = server.try_api(&[("type", "op"), ("cmd", &command)]).await?.body;
        if body.contains("<status>FIN</status>") {
            assert!(body.contains("<result>OK</result>"), "{body}");
            return Some(());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_it_ends_and_the_candidate_is_kept() {
    let mut server = Server::start().await;
    server.stop().await;
    // Free a moment ago; the port of the stopped server would do as well.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durability::run", "--ignored"])
        .env(DIRECTORY, server.directory.path())
        .env(ADDRESS, address.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut process = Process(child);
    server.address = address;
    while std::net::TcpStream::connect(address).is_err() {
        assert!(process.0.try_wait().unwrap().is_none(), "it ended before it listened");
        tokio::task::yield_now().await;
    }
    assert!(edit(&server, 1).await);
    let asked = Command::new("kill").arg("-TERM").arg(process.0.id().to_string()).status().unwrap();
    assert!(asked.success());
    let ended = tokio::task::spawn_blocking(move || process.0.wait().unwrap()).await.unwrap();
    assert!(ended.success(), "{ended}");
    let (_process, address) = spawn(server.directory.path());
    server.address = address;
    assert_eq!(generation(&server.get("/config/shared/address").await), 1);
}
