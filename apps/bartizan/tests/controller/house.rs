//! Manager, firewall and controller as processes, in a network of their own; the API server is whoever starts them.

use std::cell::OnceCell;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bartizan_lab::api::between;
use bartizan_lab::kubernetes::ApiServer;
use ureq::http::Request;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

const BINARY: &str = env!("CARGO_BIN_EXE_bartizan");
const PASSWORD: &str = "correct horse battery";
const MANAGER: &str = "127.0.0.1:8443";
/// How long something may take, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const LOCALHOST: &str = "/config/devices/entry[@name='localhost.localdomain']";
/// Set in the process that has its own network.
const INSIDE: &str = "BARTIZAN_TEST_INSIDE";

/// Runs the test of that name again, in a network of its own; whether this is that run.
pub(crate) fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    command.args(if is_root { &[][..] } else { &["--user", "--map-root-user"] });
    command.args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    let output = command.env(INSIDE, "yes").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

/// A process that ends with the test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) struct House {
    folder: tempfile::TempDir,
    key: String,
    pub(crate) manager: Option<Running>,
    pub(crate) firewall: Option<Running>,
    auth_key: String,
    /// For the JSON API: a connection stays, so that whoever asks all the time takes little of the machine.
    agent: OnceCell<ureq::Agent>,
    /// The firewall has ports.
    is_wired: bool,
}

/// Devices of the firewall's two ports.
pub(crate) const PORTS: [&str; 2] = ["fw1", "fw2"];

impl House {
    /// A manager, and a firewall that has two groups and a rule for each.
    pub(crate) fn start() -> Self {
        Self::of(false)
    }

    /// The same with a firewall between two networks of pods, 10.244.1.0/24 and 10.244.2.0/24, in the zone `pods`; the
    /// devices of [`PORTS`] are there.
    pub(crate) fn wired() -> Self {
        Self::of(true)
    }

    fn of(is_wired: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (key, auth_key) = (String::new(), String::new());
        let mut house = Self { folder, key, manager: None, firewall: None, auth_key, agent: OnceCell::new(), is_wired };
        house.start_manager();
        let answer = house.api(&[("type", "keygen"), ("user", "admin"), ("password", PASSWORD)]);
        house.key = between(&answer, "<key>", "</key>").unwrap().to_owned();
        let answer = house.op("<request><bootstrap><vm-auth-key><generate><lifetime>24</lifetime></generate></vm-auth-key></bootstrap></request>");
        house.auth_key = between(&answer, "VM auth key ", " generated").unwrap().to_owned();
        house.start_firewall();
        house.configure();
        house
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spawn(&self, log: &str, arguments: &[&str]) -> Running {
        let log = fs::File::options().create(true).append(true).open(self.path(log)).unwrap();
        let mut command = Command::new(BINARY);
        command.args(arguments).env("BARTIZAN_ADMIN_PASSWORD", PASSWORD).stdin(Stdio::null());
        Running(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    pub(crate) fn start_manager(&mut self) {
        let data = self.path("manager").display().to_string();
        self.manager = Some(self.spawn("manager.log", &["manager", "--data-dir", &data, "--listen", MANAGER]));
        self.until("the manager answers", || self.api(&[("type", "version")]).contains("<response"));
    }

    pub(crate) fn start_firewall(&mut self) {
        let (state, socket) = (self.path("state").display().to_string(), self.path("sock").display().to_string());
        let key = self.auth_key.clone();
        let words = ["firewall", "--manager", MANAGER, "--auth-key", &key, "--state-dir", &state, "--control", &socket];
        let ports: Vec<String> =
            PORTS.iter().zip(1..).map(|(device, number)| format!("ethernet1/{number}={device}")).collect();
        let ports = ports.iter().filter(|_| self.is_wired).flat_map(|port| ["--port", port.as_str()]);
        let words: Vec<&str> = words.into_iter().chain(["--workers", "1"]).chain(ports).collect();
        self.firewall = Some(self.spawn("firewall.log", &words));
    }

    pub(crate) fn start_controller(&self, api: &ApiServer) -> Running {
        fs::write(self.path("kubeconfig"), api.kubeconfig()).unwrap();
        fs::write(self.path("key"), &self.key).unwrap();
        let path = |name: &str| self.path(name).display().to_string();
        let (ca, key, kubeconfig) = (path("manager/pki/ca.pem"), path("key"), path("kubeconfig"));
        let manager = format!("https://{MANAGER}");
        let place = ["controller", "--manager", &manager, "--ca", &ca, "--api-key-file", &key];
        let cluster = ["--cluster", "lab", "--cluster-id", "7", "--kubeconfig", &kubeconfig, "--identity", "one"];
        self.spawn("controller.log", &[&place[..], &cluster, &["--listen", "127.0.0.1:9405"]].concat())
    }

    pub(crate) fn api(&self, parameters: &[(&str, &str)]) -> String {
        let mut command = Command::new("curl");
        command.args(["-sSk", "--max-time", "30", "-H", &format!("X-PAN-KEY: {}", self.key)]);
        for (name, value) in parameters {
            command.args(["--data-urlencode", &format!("{name}={value}")]);
        }
        let output = command.arg(format!("https://{MANAGER}/api/")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn op(&self, command: &str) -> String {
        self.api(&[("type", "op"), ("cmd", command)])
    }

    /// The JSON API.
    pub(crate) fn json(&self, path: &str) -> serde_json::Value {
        self.send("GET", path, &serde_json::Value::Null)
    }

    /// The same with a body.
    pub(crate) fn send(&self, method: &str, path: &str, body: &serde_json::Value) -> serde_json::Value {
        let url = format!("https://{MANAGER}/api/v1{path}");
        let request = Request::builder().method(method).uri(url).header("X-PAN-KEY", &self.key);
        let answer = match body.is_null() {
            true => self.agent().run(request.body(()).unwrap()),
            false => {
                self.agent().run(request.header("Content-Type", "application/json").body(body.to_string()).unwrap())
            }
        };
        // One that does not come is as one that says nothing: whoever waits for something asks again.
        let text = answer.ok().and_then(|mut answer| answer.body_mut().read_to_vec().ok()).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn agent(&self) -> &ureq::Agent {
        self.agent.get_or_init(|| {
            let authority = fs::read(self.path("manager/pki/ca.pem")).unwrap();
            let roots = parse_pem(&authority).filter_map(|item| match item.unwrap() {
                PemItem::Certificate(certificate) => Some(certificate),
                _ => None,
            });
            let tls = TlsConfig::builder()
                .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
                .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .build();
            let config = ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false).proxy(None);
            config.timeout_global(Some(Duration::from_secs(40))).build().new_agent()
        })
    }

    /// The cluster's policies become rules of the device group, by these settings.
    pub(crate) fn automate(&self, settings: &str) {
        let entry = format!("{LOCALHOST}/plugins/kubernetes/policy-automation/entry[@name='lab']");
        self.set(&entry, &format!("<device-group>cloud</device-group>{settings}"));
        self.job(&[("type", "commit"), ("cmd", "<commit/>")]);
    }

    /// What the running configuration has at an XPath.
    pub(crate) fn running(&self, xpath: &str) -> String {
        self.api(&[("type", "config"), ("action", "show"), ("xpath", xpath)])
    }

    /// What `bartizan k8s` says in JSON, and its exit code.
    pub(crate) fn tell(&self, words: &[&str]) -> (i32, serde_json::Value) {
        let mut command = Command::new(BINARY);
        command.arg("k8s").args(words).args(["-o", "json"]);
        command.env("BARTIZAN_SERVER", format!("https://{MANAGER}")).env("BARTIZAN_KEY", &self.key);
        command.env("BARTIZAN_CA", self.path("manager/pki/ca.pem")).env("KUBECONFIG", self.path("kubeconfig"));
        let output = command.output().unwrap();
        let told = serde_json::from_slice(&output.stdout);
        let told = told.unwrap_or_else(|_| panic!("{words:?}: {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code().unwrap(), told)
    }

    pub(crate) fn set(&self, xpath: &str, element: &str) {
        let answer = self.api(&[("type", "config"), ("action", "set"), ("xpath", xpath), ("element", element)]);
        assert!(answer.contains("success"), "{answer}");
    }

    pub(crate) fn job(&self, parameters: &[(&str, &str)]) -> String {
        let answer = self.api(parameters);
        let id = between(&answer, "<job>", "</job>").unwrap_or_else(|| panic!("{answer}")).to_owned();
        let command = format!("<show><jobs><id>{id}</id></jobs></show>");
        self.until("the job ends", || self.op(&command).contains("<status>FIN</status>"));
        let job = self.op(&command);
        assert!(job.contains("<result>OK</result>"), "{job}");
        job
    }

    fn configure(&self) {
        let connected = || self.op("<show><devices><connected/></devices></show>");
        self.until("the firewall enrols", || connected().contains("<serial>"));
        let serial = between(&connected(), "<serial>", "</serial>").unwrap().to_owned();
        let device = format!("<devices><entry name='{serial}'/></devices>");
        let interfaces = if self.is_wired { "<member>ethernet1/1</member><member>ethernet1/2</member>" } else { "" };
        let zones = format!(
            "<import><network><interface>{interfaces}</interface></network></import><zone><entry name='pods'><network><layer3>\
             {interfaces}</layer3></network></entry><entry name='trust'><network><layer3/></network></entry>\
             <entry name='untrust'><network><layer3/></network></entry></zone>"
        );
        let wires = format!(
            "<network><interface><ethernet><entry name='ethernet1/1'><layer3><ip><entry name='10.244.1.1/24'/></ip></layer3>\
             </entry><entry name='ethernet1/2'><layer3><ip><entry name='10.244.2.1/24'/></ip></layer3></entry></ethernet>\
             </interface><virtual-router><entry name='default'><interface>{interfaces}</interface></entry></virtual-router>\
             </network>"
        );
        let wires = if self.is_wired { wires.as_str() } else { "" };
        let template = |network: &str, objects: &str| {
            format!(
                "<config><devices><entry name='localhost.localdomain'>{network}<vsys><entry name='vsys1'>{zones}{objects}</entry></vsys></entry></devices></config>"
            )
        };
        self.set(&format!("{LOCALHOST}/template/entry[@name='base']"), &template(wires, ""));
        // Of a template that no firewall has: the manager looks for it, and it takes no device here.
        let object = "<traffic-object><entry name='lab'><k8s-cluster><cluster-id>7</cluster-id><network>\
            <logical-router>lr</logical-router><zone-ingress>trust</zone-ingress></network></k8s-cluster></entry></traffic-object>";
        let network = "<network><logical-router><entry name='lr'><vrf><entry name='default'/></vrf></entry></logical-router></network>";
        self.set(&format!("{LOCALHOST}/template/entry[@name='apart']"), &template(network, object));
        let stack = format!("<templates><member>base</member></templates>{device}");
        self.set(&format!("{LOCALHOST}/template-stack/entry[@name='stack']"), &stack);
        let group = |name: &str, tier: &str| {
            format!(
                "<entry name='{name}'><dynamic><filter>'k8s.cl_lab.ns_shop.tier.{tier}' and 'k8s.cl_lab.ns_shop.svc_web'</filter></dynamic></entry>"
            )
        };
        let rule = |name: &str| {
            format!(
                "<entry name='{name}'><from><member>trust</member></from><to><member>untrust</member></to><source><member>{name}</member></source>\
                 <destination><member>any</member></destination><application><member>any</member></application>\
                 <service><member>any</member></service><action>allow</action></entry>"
            )
        };
        let contents = format!(
            "{device}<address-group>{}{}</address-group><pre-rulebase><security><rules>{}{}</rules></security></pre-rulebase>",
            group("web-pods", "web"),
            group("db-pods", "db"),
            rule("web-pods"),
            rule("db-pods")
        );
        self.set(&format!("{LOCALHOST}/device-group/entry[@name='cloud']"), &contents);
        let plugin = "<setup><notify-group><entry name='all'><device-group><member>cloud</member></device-group></entry></notify-group></setup>\
            <monitoring-definition><entry name='lab'><cluster>lab</cluster><notify-group>all</notify-group><enable>yes</enable></entry></monitoring-definition>";
        self.set(&format!("{LOCALHOST}/plugins/kubernetes"), plugin);
        self.job(&[("type", "commit"), ("cmd", "<commit/>")]);
        let push = "<commit-all><shared-policy><device-group><entry name='cloud'/></device-group><include-template>yes</include-template></shared-policy></commit-all>";
        self.job(&[("type", "commit"), ("action", "all"), ("cmd", push)]);
    }

    /// A command at the firewall.
    pub(crate) fn ask(&self, words: &str) -> String {
        let mut command = Command::new(BINARY);
        command.args(words.split_whitespace()).arg("--socket").arg(self.path("sock"));
        let output = command.output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }

    /// The rule that decides about a pod, by the tables in force.
    pub(crate) fn rule_of(&self, address: &str) -> String {
        self.ask(&format!(
            "test security-policy-match from trust to untrust source {address} destination 192.0.2.9 protocol 6 destination-port 443"
        ))
    }

    pub(crate) fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            let logs = || {
                let read = |name: &str| fs::read_to_string(self.path(name)).unwrap_or_default();
                ["manager.log", "firewall.log", "controller.log"].map(read).join("\n---\n")
            };
            assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}\n{}", logs());
            sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn until_decided(&self, address: &str, rule: &str) {
        self.until(&format!("{rule} decides about {address}"), || self.rule_of(address).contains(rule));
    }
}
