//! The verbs of the manager, as a shell runs them: what do they say, and do their exit codes tell the truth?

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_bartizan");
const PASSWORD: &str = "correct horse battery";
/// A manager that is built for tests starts within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// A manager of its own, and somebody who is logged in to it.
struct House {
    manager: Child,
    folder: tempfile::TempDir,
    server: String,
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.manager.kill();
        let _ = self.manager.wait();
    }
}

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl House {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let manager = Command::new(BINARY)
            .args(["manager", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
            .arg(folder.path().join("data"))
            .env("BARTIZAN_ADMIN_PASSWORD", PASSWORD)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let house = Self { manager, folder, server: format!("https://127.0.0.1:{port}") };
        let until = Instant::now() + PATIENCE;
        let ca = house.path("data/pki/ca.pem");
        loop {
            let said = house.run(&["login", "--server", &house.server, "--ca", ca.to_str().unwrap()]);
            if said.code == Some(0) {
                assert!(said.out.contains("as `admin` (superuser)"), "{}", said.out);
                return house;
            }
            assert!(Instant::now() < until, "{}", said.err);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let output: Output = Command::new(BINARY)
            .args(arguments)
            .env("BARTIZAN_LOGIN", self.path("login.json"))
            .env("BARTIZAN_PASSWORD", PASSWORD)
            .env_remove("BARTIZAN_KEY")
            .env_remove("BARTIZAN_SERVER")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What is said by a command that must do what it says.
    #[track_caller]
    fn done(&self, line: &str) -> String {
        self.ends(line, 0).out
    }

    #[track_caller]
    fn ends(&self, line: &str, code: i32) -> Said {
        let words: Vec<&str> = line.split(' ').collect();
        let said = self.run(&words);
        assert_eq!(said.code, Some(code), "{line}: {}{}", said.out, said.err);
        said
    }
}

#[test]
fn an_operator_edits_checks_commits_and_goes_back() {
    let house = House::start();
    assert_eq!(house.done("set shared address web ip-netmask 10.0.0.1"), "changed\n");
    assert_eq!(house.done("set shared address web ip-netmask 10.0.0.1"), "unchanged\n");
    house.done("set shared address web tag [ a b ]");
    house.done("set shared tag a");
    let shown = house.done("get shared address web");
    let shown: Vec<Vec<&str>> =
        shown.lines().map(|line| line.split("  ").filter(|part| !part.is_empty()).map(str::trim).collect()).collect();
    assert_eq!(
        shown,
        [
            vec!["PATH", "VALUE"],
            vec!["shared address web ip-netmask", "10.0.0.1"],
            vec!["shared address web tag", "a, b"]
        ]
    );
    assert!(house.done("get shared address web -o json").contains("\"tag\": \"ip-netmask\""));
    assert!(house.done("get shared address web -o yaml").contains("tag: ip-netmask"));
    assert!(house.ends("set shared adress web", 2).err.contains("did you mean `address`?"));
    assert!(house.ends("set shared address web fqdn x y", 2).err.contains("nothing can follow the value"));
    assert!(house.ends("get shared address nobody", 1).err.contains("nothing is at"));
    house.ends("delete shared address nobody", 1);
    house.ends("get --no-such-option", 2);
    let refused = house.ends(&format!("set shared address web description {}", "x".repeat(2000)), 3);
    assert!(refused.err.contains("can be at most 1023 characters"), "{}", refused.err);

    let diff = house.ends("diff --set", 4);
    assert!(diff.out.contains("set shared address web ip-netmask 10.0.0.1\n") && diff.err.is_empty(), "{}", diff.out);
    assert!(house.done("validate").contains("warning[unknown-tag]: no tag `b` is defined"));
    house.done("set shared address-group g static nobody");
    let invalid = house.ends("validate", 3);
    assert!(invalid.out.contains("`nobody`") && invalid.out.ends_with("the candidate is refused\n"), "{}", invalid.out);
    let failed = house.ends("commit --wait", 3);
    assert!(failed.out.contains("Validation Error:"), "{}", failed.out);
    house.done("delete shared address-group g");
    house.done("set shared tag b");
    assert_eq!(house.done("validate"), "the candidate is valid\n");
    assert!(house.done("commit --wait -m tags").contains("done, ok"));
    assert_eq!(house.done("commit --wait"), "there is nothing to commit\n");
    assert_eq!(house.done("diff"), "");
    let jobs = house.done("jobs");
    assert!(jobs.starts_with("ID") && jobs.contains("Commit") && jobs.contains("tags"), "{jobs}");
    // The first job is the commit that was refused.
    assert!(house.ends("jobs 1 -o json", 3).out.contains("\"id\": 1"));

    house.done("delete shared address web");
    assert!(house.ends("rollback", 1).err.contains("1 edit(s) are pending"));
    house.done("commit --wait");
    house.ends("get shared address web", 1);
    assert!(house.done("rollback 2").contains("done, ok"));
    assert!(house.done("export -o set").contains("set shared address web ip-netmask 10.0.0.1\n"));
    assert!(house.done("export").contains("<ip-netmask>10.0.0.1</ip-netmask>"));
    assert_eq!(
        house.done("devices"),
        "SERIAL  HOSTNAME  ADDRESS  GROUP  STACK  CONNECTED  POLICY IN SYNC  TEMPLATES IN SYNC\n"
    );
    house.ends("devices 0", 1);
    house.ends("push nowhere", 3);
    let log = house.done("logs config -n 200");
    assert!(log.contains("commit") && log.contains("Succeeded"), "{log}");
    let file = house.run(&["logs", "config", "--export", "csv", "-q", "(cmd eq commit)"]);
    let rows: Vec<&str> = file.out.lines().collect();
    assert!(rows[0].starts_with("logid,receive_time,") && rows.len() > 2, "{}{}", file.out, file.err);
    assert!(rows[1..].iter().all(|row| row.contains(",commit,")), "{}", file.out);
    house.ends("logs nothing --export json", 1);
    assert!(house.ends("logs traffic -q nonsense", 3).err.contains("cannot be read at character"));
    house.done("logout");
    assert!(house.ends("get shared", 2).err.contains("which manager?"));
}

#[test]
fn a_log_is_followed_as_it_is_written() {
    let house = House::start();
    house.done("set shared address before ip-netmask 10.0.0.1");
    let mut following = Command::new(BINARY)
        .args(["logs", "config", "-f", "-n", "1", "-o", "json", "-q", "(cmd eq set)"])
        .env("BARTIZAN_LOGIN", house.path("login.json"))
        .env_remove("BARTIZAN_KEY")
        .env_remove("BARTIZAN_SERVER")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("before"), "{first}");
    // The stream begins after the first line was told; whoever writes on is heard.
    let (sender, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(lines.next()));
    let until = Instant::now() + PATIENCE;
    let next = loop {
        house.done("set shared address after ip-netmask 10.0.0.2");
        house.done("delete shared address after");
        match heard.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => break line.unwrap().unwrap(),
            Err(_) => assert!(Instant::now() < until, "nothing is heard"),
        }
    };
    following.kill().unwrap();
    following.wait().unwrap();
    assert!(next.contains("after") && next.contains("\"cmd\":\"set\""), "{next}");
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

#[test]
fn files_are_applied_once_and_only_what_they_declared_goes() {
    let house = House::start();
    let files = house.path("files");
    std::fs::create_dir(&files).unwrap();
    let apply = format!("apply -f {}", files.display());
    house.done("set shared address theirs fqdn theirs.example");
    write(&files, "a.set", "set shared address ours fqdn ours.example\nset shared tag red\n");
    write(
        &files,
        "b.xml",
        "<config><shared><address-group><entry name='g'><static><member>ours</member><member>theirs</member></static></entry></address-group></shared></config>",
    );
    let planned = house.ends(&format!("{apply} --dry-run"), 4);
    assert!(planned.out.contains("set shared address ours fqdn ours.example\n"), "{}", planned.out);
    house.ends("get shared address ours", 1);
    assert!(house.done(&apply).contains("edit(s) are made"));
    assert_eq!(house.done(&apply), "nothing to do\n");
    assert_eq!(house.done(&format!("{apply} --dry-run")), "nothing to do\n");
    // Somebody changes what is declared, and something else.
    house.done("set shared address ours fqdn drift.example");
    house.done("set shared tag blue");
    assert_eq!(house.done(&apply), "set shared address ours fqdn ours.example\n1 edit(s) are made\n");
    write(&files, "a.set", "set shared tag red\n");
    std::fs::remove_file(files.join("b.xml")).unwrap();
    let pruned = house.done(&format!("{apply} --commit -m pruned"));
    assert!(pruned.contains("delete shared address ours\n") && pruned.contains("done, ok"), "{pruned}");
    assert!(house.done("get shared address theirs").contains("theirs.example"));
    house.done("get shared tag blue");
    house.ends("get shared address-group g", 1);
    assert_eq!(house.done(&apply), "nothing to do\n");
    // Another owner's files know nothing of these.
    assert!(house.done(&format!("{apply} --owner other -o json")).contains("\"edits\":0"));
    write(&files, "c.set", "set shared adress x\n");
    assert!(house.ends(&apply, 3).err.contains("c.set:1: word 3"), "the file and the line are named");
}

#[test]
fn policies_of_a_folder_differ_from_the_manager_until_they_are_applied() {
    let house = House::start();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/policy/shop");
    let folder = house.path("manifests");
    std::fs::create_dir(&folder).unwrap();
    for name in ["workloads.yaml", "policies.yaml"] {
        std::fs::copy(example.join(name), folder.join(name)).unwrap();
    }
    let folder = folder.to_str().unwrap();
    let diff = format!("policy diff {folder} --cluster c1 --device-group dg");
    assert!(house.ends(&diff, 1).err.contains("the manager has no device group `dg`"));
    house.done("set device-group dg description pods");
    // What is there already, and nobody's of the cluster, stays.
    house.done("set device-group dg tag mine");
    house.done("commit --wait");
    let all = house.ends(&diff, 4).out;
    assert!(all.lines().all(|line| line.starts_with("set ") || line.starts_with("move ")), "{all}");
    assert!(all.contains("set    tag/entry[@name='k8s-np.c1'] <comments>"), "{all}");

    let files = house.path("files");
    std::fs::create_dir(&files).unwrap();
    // The profiles that the policies name.
    let objects = "set device-group dg profiles vulnerability strict\nset device-group dg profiles url-filtering default\n\
                   set device-group dg log-settings profiles default\n";
    write(&files, "objects.set", objects);
    let rendered = house.done(&format!("policy render {folder} --cluster c1 --device-group dg -o xml"));
    write(&files, "rules.xml", &rendered);
    let applied = house.done(&format!("apply -f {} --commit -m policies", files.display()));
    assert!(applied.contains("done, ok"), "{applied}");
    assert_eq!(house.done(&diff), "");
    assert!(house.done("get device-group dg tag mine").contains("mine"));

    // Somebody edits a rule; a policy goes.
    let rule = rendered.split("entry name=\"").find(|part| part.starts_with("np.c1.shop.web-out.e1.")).unwrap();
    let rule = rule.split('"').next().unwrap();
    house.done(&format!("set device-group dg pre-rulebase security rules {rule} action deny"));
    house.done("commit --wait");
    let drift = house.ends(&diff, 4).out;
    let lines: Vec<&str> = drift.lines().collect();
    assert_eq!(lines.len(), 1, "{drift}");
    assert!(drift.starts_with(&format!("edit   pre-rulebase/security/rules/entry[@name='{rule}'] <entry")), "{drift}");
    std::fs::write(house.path("manifests/policies.yaml"), "").unwrap();
    let gone = house.ends(&diff, 4).out;
    assert!(gone.contains(&format!("delete pre-rulebase/security/rules/entry[@name='{rule}']")), "{gone}");
    assert!(!gone.contains("mine"), "{gone}");
}

#[test]
fn a_manager_is_known_by_its_authority_or_it_is_not_asked() {
    let house = House::start();
    let zeros = "0".repeat(64);
    let server = &house.server;
    let other = house.ends(&format!("get shared --server {server} --fingerprint {zeros}"), 1);
    let fingerprint = other.err.split("has the fingerprint ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert_eq!(fingerprint.len(), 64, "{}", other.err);
    house.done(&format!("get mgt-config --server {server} --fingerprint {fingerprint}"));
    house.done(&format!("login --server {server} --fingerprint {fingerprint}"));
    house.done("get mgt-config");
    house.ends("get mgt-config --fingerprint short", 2);
    let path = house.path("login.json");
    let mode = |mode| std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    mode(0o644);
    assert!(house.ends("get mgt-config", 1).err.contains("is open to others"));
    mode(0o600);
    // Without the authority the host's own are asked, which do not know it.
    std::fs::remove_file(&path).unwrap();
    let stranger = house.run(&["login", "--server", server]);
    assert_eq!(stranger.code, Some(1));
    assert!(!path.exists(), "{}", stranger.err);
    assert!(house.done("completions bash").contains("bartizan"));
}
