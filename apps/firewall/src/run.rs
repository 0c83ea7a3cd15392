//! The life of a firewall process, from its settings to its last log line.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bartizan_api::fleet::{LogRecord, log_record};
use bartizan_engine::settings::LocalLink;
use bartizan_engine::verdict::Port;
use bartizan_policy::facts::Facts;
use bartizan_policy::names::Ids;
use bartizan_policy::tables::IfaceId;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::api::{Api, Start};
use crate::clock::Clock;
use crate::control::Socket;
use crate::dataplane::{self, Attachment, Dataplane, Outlets};
use crate::firewall::{Firewall, Parts};
use crate::load::load;
use crate::local::{ENGINE_END, HOST_ADDRESS, HOST_ADDRESS_V6, HOST_END, Link as LocalPair};
use crate::logs::spool::{BYTES_MAX, RECORDS_MAX, Spool};
use crate::logs::{LineWriter, events, record};
use crate::manager::{self, LogQueue};
use crate::port::claim::{Claim, once_free};
use crate::port::netdev::Netdevs;
use crate::settings::{PortName, Settings, Source};
use crate::store::{Enforced, Store};
use crate::worker::Line;
use crate::{autoconf, boot_id, capture, dhcp, hex, pathmon, responder, snippet};

/// How long the last logs may take to reach the manager.
const LAST_LOGS_LIMIT: Duration = Duration::from_secs(3);
/// Tags that come or go are in the log within this time.
const TAGS_INTERVAL: Duration = Duration::from_millis(250);
/// Log lines that are taken from the workers at once.
const LINES_AT_ONCE: usize = 512;
/// Threads beside the workers; they wait most of the time.
const THREADS: usize = 2;
/// Where in the state directory captured packets are.
const CAPTURES: &str = "captures";

/// The configuration file is refused; the snippets say why.
#[derive(Debug)]
pub struct Refused(pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Runs a firewall until SIGTERM or SIGINT, with its XML API if there is one.
///
/// # Errors
/// When it cannot start: [`Refused`] for a configuration file that is wrong, anything else in words.
pub fn run(settings: &Settings, api: Option<Start>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("service")
        .enable_all()
        .build()
        .context("start the service threads")?;
    runtime.block_on(async {
        let running = start(settings, api).await?;
        let outcome = running.wait(settings).await;
        running.end().await;
        outcome
    })
}

/// Everything that runs.
struct Process {
    firewall: Arc<Firewall>,
    socket: Socket,
    local: Option<LocalPair>,
    log_task: JoinHandle<()>,
    /// Of the link to the manager.
    queue: Option<Arc<LogQueue>>,
    api: Option<Arc<dyn Api>>,
    link: Option<(JoinHandle<()>, watch::Sender<bool>)>,
    _store: Arc<Store>,
    _claims: Vec<Claim>,
}

async fn start(settings: &Settings, api: Option<Start>) -> Result<Process> {
    // A refused file is refused before anything is touched.
    let first = match &settings.source {
        Source::File(path) => Some(read_file(path)?),
        Source::Manager(_) | Source::Administrators => None,
    };
    let store = Arc::new(once_free(|| Store::open(&settings.state_directory)).await?);
    let first = match (first, &settings.source) {
        (Some(file), _) => Parts { pushed: Some(Arc::new(file)), local: None },
        (None, source) => Parts {
            pushed: if matches!(source, Source::Manager(_)) { store.begin()?.map(Arc::new) } else { None },
            local: store.local()?.map(Arc::new),
        },
    };
    let mut socket = once_free(|| Socket::bind(&settings.control)).await?;
    let writer = settings.traffic_log.as_deref().map(LineWriter::open).transpose()?;

    let netdevs = Netdevs::connect()?;
    let mut ids = Ids::default();
    let (mut attachments, claims) = data_ports(settings, &netdevs, &mut ids).await?;
    let local = local_link(&netdevs).await;
    let engine_link = match &local {
        Some((pair, link)) => {
            attachments.push(Attachment { port: Port::Local, interface: String::new(), device: pair.engine.clone() });
            Some(*link)
        }
        None => None,
    };
    let plane = dataplane::Settings {
        workers: settings.workers,
        sessions_max: settings.sessions_max,
        ring_mib: settings.ring_mib,
        local: engine_link,
        io: settings.io.clone(),
        waiting: settings.waiting,
    };
    let local = local.map(|(pair, _)| pair);
    let started = start_workers(&plane, attachments, ids, first, &settings.source).await;
    let (firewall, outlets) = match started {
        Ok(started) => started,
        Err(error) => {
            if let Some(local) = local {
                local.remove().await;
            }
            return Err(error);
        }
    };
    firewall.gather(store.directory());
    firewall.set_dhcp(dhcp::start(Arc::clone(&firewall), Arc::clone(&store), outlets.dhcp));
    tokio::spawn(autoconf::run(Arc::clone(&firewall), outlets.advertisements));
    firewall.set_path_monitor(pathmon::start(Arc::clone(&firewall), outlets.echoes));
    firewall.set_capture(capture::start(Arc::clone(&firewall), store.directory().join(CAPTURES)));
    socket.serve(Arc::clone(&firewall));
    let api = match start_api(api, settings, &firewall, &store).await {
        Ok(api) => api,
        Err(error) => {
            firewall.stop();
            if let Some(local) = local {
                local.remove().await;
            }
            return Err(error);
        }
    };
    let queue = match &settings.source {
        Source::Manager(_) => Some(Arc::new(LogQueue::new(Spool::new(RECORDS_MAX, BYTES_MAX)))),
        Source::File(_) | Source::Administrators => None,
    };
    let queues = queue.iter().cloned().chain(api.as_ref().and_then(|api| api.logs())).collect();
    let log_task = tokio::spawn(write_logs(outlets.lines, Arc::clone(&firewall), writer, queues));
    let link = link_to_manager(settings, &store, &firewall, queue.as_ref(), api.clone());
    info!(
        "the firewall is up: {} workers, {} sessions at most, control socket `{}`",
        settings.workers,
        settings.sessions_max,
        settings.control.display()
    );
    Ok(Process { firewall, socket, local, log_task, queue, api, link, _store: store, _claims: claims })
}

impl Process {
    /// Waits for the signal to end; reads the file again when asked to.
    async fn wait(&self, settings: &Settings) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hang_up.recv() => match &settings.source {
                    Source::File(path) => self.reread(path).await,
                    Source::Manager(_) | Source::Administrators => {
                        info!("SIGHUP is ignored: the configuration does not come from a file");
                    }
                },
            }
        }
    }

    async fn reread(&self, path: &Path) {
        let received = Instant::now();
        let enforced = match read_file(path) {
            Ok(enforced) => enforced,
            Err(error) => {
                error!("the configuration is refused, the running one stays\n{error:#}");
                return;
            }
        };
        let text = enforced.text.clone();
        match self.firewall.enforce(enforced, |_, _| Ok(()), received).await {
            Ok(done) => {
                report(&done.warnings, path, &text);
                info!("`{}` is enforced ({} us)", path.display(), done.swap.as_micros());
            }
            Err(diagnostics) => error!(
                "the configuration is refused, the running one stays\n{}",
                snippet::render(&diagnostics, &path.display().to_string(), &text)
            ),
        }
    }

    /// Ends everything, the workers first, so that their last log lines still find a way out.
    async fn end(self) {
        info!("the firewall ends");
        drop(self.socket);
        tokio::task::block_in_place(|| self.firewall.stop());
        if self.log_task.await.is_err() {
            error!("the log writer had panicked");
        }
        if let (Some(queue), Some((link, stop))) = (self.queue, self.link) {
            if tokio::time::timeout(LAST_LOGS_LIMIT, queue.emptied()).await.is_err() {
                warn!("{} log lines did not reach the manager any more", queue.with(|spool| spool.len()));
            }
            let _ = stop.send(true);
            link.abort();
        }
        if let Some(api) = self.api {
            if let Some(logs) = api.logs()
                && tokio::time::timeout(LAST_LOGS_LIMIT, logs.emptied()).await.is_err()
            {
                warn!("{} log lines were not stored any more", logs.with(|spool| spool.len()));
            }
            api.stop().await;
        }
        if let Some(local) = self.local {
            local.remove().await;
        }
    }
}

/// Starts the XML API. Under a manager the firewall is there without it, too.
async fn start_api(
    start: Option<Start>,
    settings: &Settings,
    firewall: &Arc<Firewall>,
    store: &Arc<Store>,
) -> Result<Option<Arc<dyn Api>>> {
    let Some(start) = start else { return Ok(None) };
    match start(Arc::clone(firewall), Arc::clone(store)).await.context("start the XML API") {
        Ok(api) => Ok(Some(api)),
        Err(error) if matches!(settings.source, Source::Manager(_)) => {
            error!("{error:#}; only the manager's pushes are taken");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads and checks a file; warnings are reported at once.
fn read_file(path: &Path) -> Result<Enforced> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))?;
    match load(&text, &Facts::default(), &mut Ids::default(), 0) {
        Ok(_) => Ok(Enforced { version: 0, digest: hex::sha256(&text), text }),
        Err(diagnostics) => Err(Refused(snippet::render(&diagnostics, &path.display().to_string(), &text)).into()),
    }
}

fn report(warnings: &[bartizan_model::diagnostic::Diagnostic], path: &Path, text: &str) {
    if !warnings.is_empty() {
        warn!("\n{}", snippet::render(warnings, &path.display().to_string(), text).trim_end());
    }
}

/// The data ports, taken over from the kernel, with their interfaces' ids fixed for the life of the
/// process.
async fn data_ports(settings: &Settings, netdevs: &Netdevs, ids: &mut Ids) -> Result<(Vec<Attachment>, Vec<Claim>)> {
    let devices = netdevs.list().await?;
    let names: Vec<_> = devices.iter().map(|device| device.name.clone()).collect();
    let wanted = if settings.ports.is_empty() { PortName::defaults(&names) } else { settings.ports.clone() };
    if wanted.is_empty() {
        warn!("there is no data port: no device is called `eth1` or higher, and no `--port` was given");
    }
    let (mut attachments, mut claims) = (Vec::new(), Vec::new());
    for PortName { interface, device } in wanted {
        let Some(device) = devices.iter().find(|one| one.name == device) else {
            bail!("there is no network device `{device}` for `{interface}`; there are: {}", names.join(", "));
        };
        claims.push(once_free(|| Claim::take(device)).await?);
        netdevs.take_over(device).await?;
        let id = IfaceId(u16::try_from(ids.interfaces.intern(&interface))?);
        info!("`{interface}` is `{}` ({} bytes MTU)", device.name, device.mtu_bytes);
        attachments.push(Attachment { port: Port::Data(id), interface, device: device.clone() });
    }
    Ok((attachments, claims))
}

/// The local link with the responder behind it; without it the firewall forwards all the same.
async fn local_link(netdevs: &Netdevs) -> Option<(LocalPair, LocalLink)> {
    let pair = match LocalPair::make(netdevs).await {
        Ok(pair) => pair,
        Err(error) => {
            warn!("no local link `{ENGINE_END}`-`{HOST_END}`, health checks are not answered: {error:#}");
            return None;
        }
    };
    match responder::start(HOST_ADDRESS, HOST_ADDRESS_V6, Some(HOST_END)) {
        Ok(ports) => {
            let link = LocalLink {
                host_mac: Some(pair.host.mac),
                http_port: ports.http,
                https_port: ports.https,
                ipv6: ports.ipv6,
            };
            Some((pair, link))
        }
        Err(error) => {
            warn!("health checks are not answered: {error:#}");
            pair.remove().await;
            None
        }
    }
}

async fn start_workers(
    settings: &dataplane::Settings,
    attachments: Vec<Attachment>,
    ids: Ids,
    first: Parts,
    source: &Source,
) -> Result<(Arc<Firewall>, Outlets)> {
    let (plane, outlets) = Dataplane::start(settings, attachments, Clock::start())?;
    let firewall = Arc::new(Firewall::new(plane, ids));
    let name = match (source, &first) {
        (_, Parts { pushed: None, local: None }) => return Ok((firewall, outlets)),
        (Source::File(path), _) => format!("`{}`", path.display()),
        (_, Parts { pushed: Some(pushed), .. }) => {
            format!("configuration version {}, which the manager pushed,", pushed.version)
        }
        _ => "the configuration that was committed last".to_owned(),
    };
    match firewall.begin(first.clone()).await {
        Ok(done) => {
            let text = firewall.running().map(|running| Arc::clone(&running.text)).unwrap_or_default();
            report(&done.warnings, Path::new("configuration"), &text);
            info!("{name} is enforced");
        }
        // What was enforced by an older version of this software may be refused by this one.
        Err(diagnostics) => {
            let text = first.text().unwrap_or_default();
            let snippets = snippet::render(&diagnostics, "configuration", &text);
            error!("the kept configuration is refused, nothing is forwarded until there is another\n{snippets}");
        }
    }
    Ok((firewall, outlets))
}

fn link_to_manager(
    settings: &Settings,
    store: &Arc<Store>,
    firewall: &Arc<Firewall>,
    queue: Option<&Arc<LogQueue>>,
    api: Option<Arc<dyn Api>>,
) -> Option<(JoinHandle<()>, watch::Sender<bool>)> {
    let (Source::Manager(manager), Some(queue)) = (&settings.source, queue) else { return None };
    let (stop, stopped) = watch::channel(false);
    let link = manager::Link {
        settings: manager.clone(),
        store: Arc::clone(store),
        firewall: Arc::clone(firewall),
        logs: Arc::clone(queue),
        api,
        boot_id: boot_id(),
        stop: stopped,
    };
    Some((tokio::spawn(link.run()), stop))
}

/// What the workers said, as records.
fn read_lines(firewall: &Firewall, batch: &mut Vec<Line>) -> Vec<log_record::Line> {
    let Some(running) = firewall.running() else {
        batch.clear();
        return Vec::new();
    };
    let clock = firewall.clock();
    let now = clock.now();
    let ids = running.compiled.ids();
    let time = |at| clock.wall(at).as_microsecond();
    let tags = |address| firewall.gatherers().map(|all| all.tags.of(address)).unwrap_or_default();
    let read = |line| match line {
        Line::Session(line) => log_record::Line::Traffic(record(&line, ids, &clock, now, tags)),
        Line::Alarm(alarm) => log_record::Line::Event(events::alarm(&alarm, ids, time(alarm.time))),
        Line::Pool(alarm) => log_record::Line::Event(events::pool(&alarm, time(now))),
    };
    batch.drain(..).map(read).collect()
}

/// Turns what the workers say, and what became of tags, into records, until the workers have ended.
async fn write_logs(
    mut lines: mpsc::Receiver<Line>,
    firewall: Arc<Firewall>,
    mut writer: Option<LineWriter>,
    queues: Vec<Arc<LogQueue>>,
) {
    let mut batch = Vec::new();
    let mut has_ended = false;
    while !has_ended {
        tokio::select! {
            count = lines.recv_many(&mut batch, LINES_AT_ONCE) => has_ended = count == 0,
            () = tokio::time::sleep(TAGS_INTERVAL) => {}
        }
        let mut records = read_lines(&firewall, &mut batch);
        if let Some(gatherers) = firewall.gatherers() {
            records.extend(gatherers.tags.take_events().into_iter().map(log_record::Line::Event));
        }
        if records.is_empty() {
            continue;
        }
        for record in &records {
            match record {
                log_record::Line::Event(event) if event.log == events::IPTAG => {}
                log_record::Line::Event(event) if events::is_good_news(event) => info!("{}", event.description),
                log_record::Line::Event(event) => warn!("{}", event.description),
                log_record::Line::Traffic(_) => {}
            }
        }
        let mut traffic = records.iter().filter_map(|record| match record {
            log_record::Line::Traffic(line) => Some(line),
            log_record::Line::Event(_) => None,
        });
        if let Some(file) = &mut writer
            && let Err(error) = traffic.try_for_each(|one| file.write(one)).and_then(|()| file.flush())
        {
            error!("the traffic log cannot be written, it ends here: {error}");
            writer = None;
        }
        for queue in &queues {
            queue.push(records.iter().map(|line| LogRecord { line: Some(line.clone()) }));
        }
    }
}
