//! Which packets are written down while they pass, and where are they then?
//!
//! As PAN-OS has it (`debug dataplane packet-diag`): up to four filters, up to four stages, a file for each. One task
//! has the settings and writes the files; while a capture is on, each worker has a [`tap::Tap`] that puts packets aside.
//! A capture ends when it is told to, when every file is full, and after an hour, so that a forgotten one costs nothing.

mod file;
pub mod plan;
pub mod tap;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bartizan_engine::verdict::Port;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{error, info};

use self::file::{CaptureFile, Entry};
use self::plan::{FILTERS_MAX, Filter, Plan, Stage};
use self::tap::{Block, Part, Record, Tap};
use crate::firewall::Firewall;

/// Orders that wait for the task at most.
const ORDERS_MAX: usize = 16;
/// Bursts on their way to the files.
const BLOCKS_MAX: usize = 1024;
/// A capture is on for so long at most.
const LONGEST: Duration = Duration::from_secs(3600);
/// Files at a time.
const FILES_MAX: usize = 64;
/// Bytes of all files, at most.
const DIRECTORY_BYTES_MAX: u64 = 256 << 20;
/// Characters of a file's name.
const NAME_MAX: usize = 63;
/// What stands for all files where one is named.
pub const ALL: &str = "all";
/// What the link to the host's own services is called in a file.
const HOST: &str = "host";

/// A stage that is to be captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSettings {
    /// Name of its file.
    pub file: String,
    /// Packets at most.
    pub packets_max: u64,
    /// Bytes of the file at most.
    pub bytes_max: u64,
}

/// What is to be done. Settings stay as they are while a capture is on.
#[derive(Clone, Debug)]
pub enum Order {
    /// One more filter.
    Filter(Filter),
    /// Whether filters count; without, every packet is meant.
    Filtering(bool),
    /// A stage.
    Stage(Stage, StageSettings),
    /// Bytes of each packet that are kept; 0 for all.
    Snaplen(u32),
    /// Begin.
    On,
    /// End.
    Off,
    /// Forget filters, or stages, or both.
    Clear {
        /// Filters, and whether they count.
        filters: bool,
        /// Stages, and how much of a packet is kept.
        stages: bool,
    },
    /// Delete a file; all without a name.
    Delete(Option<String>),
    /// Only tell.
    Show,
}

/// A file that was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: Option<Timestamp>,
}

/// What a stage has written in the capture that is on, or was last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// How it stands.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// A capture is on.
    pub on: bool,
    /// When the one that is on, or was last, began.
    pub started: Option<Timestamp>,
    /// When the one that is on ends at the latest.
    pub ends: Option<Timestamp>,
    /// Why the last one ended.
    pub ended_because: String,
    /// Packets of it that found no room on their way to the files.
    pub lost: u64,
    /// Bytes of each packet that are kept; 0 for all.
    pub snaplen: u32,
    /// Filters count.
    pub filtering: bool,
    /// The filters.
    pub filters: Vec<Filter>,
    /// The stages, with what they wrote.
    pub stages: Vec<(Stage, StageSettings, Count)>,
    /// All files that there are, by name.
    pub files: Vec<Captured>,
}

type Ordered = (Order, oneshot::Sender<Result<View, String>>);

/// The way to the task.
#[derive(Clone, Debug)]
pub struct Handle {
    orders: mpsc::Sender<Ordered>,
    directory: Arc<Path>,
}

impl Handle {
    /// Has something done; how it stands then.
    ///
    /// # Errors
    /// Why it is not done; nothing has changed then.
    pub async fn order(&self, order: Order) -> Result<View, String> {
        let (answer, answered) = oneshot::channel();
        let gone = || "packet capture has ended with the firewall".to_owned();
        self.orders.send((order, answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// A file, as far as it is written.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be read.
    pub async fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        check_name(name)?;
        match tokio::fs::read(self.directory.join(name)).await {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(no_file(name, &files(&self.directory))),
            Err(error) => Err(format!("the capture file `{name}` cannot be read: {error}")),
        }
    }
}

/// Starts the task; files are in that directory, those of an earlier process too. It ends with the runtime.
pub fn start(firewall: Arc<Firewall>, directory: PathBuf) -> Handle {
    let (orders, ordered) = mpsc::channel(ORDERS_MAX);
    let directory: Arc<Path> = directory.into();
    let service = Service { firewall, directory: Arc::clone(&directory), settings: View::default(), running: None };
    tokio::spawn(service.run(ordered));
    Handle { orders, directory }
}

/// Whether a file may be called so.
///
/// # Errors
/// Why not.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_name = name != ALL
        && name.len() <= NAME_MAX
        && name.chars().all(plain)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if is_name {
        return Ok(());
    }
    Err(format!(
        "`{name}` is no name of a capture file: 1 to {NAME_MAX} letters, digits, `.`, `_` and `-`, a letter or digit first, and \
         not `{ALL}`"
    ))
}

struct Service {
    firewall: Arc<Firewall>,
    directory: Arc<Path>,
    /// As it is shown; the files are looked at when they are.
    settings: View,
    running: Option<Running>,
}

/// A capture that is on.
struct Running {
    plan: Arc<Plan>,
    blocks: mpsc::Receiver<Block>,
    /// The open files, by stage.
    files: BTreeMap<Stage, CaptureFile>,
    deadline: Instant,
}

/// What comes next.
enum Next {
    Ordered(Ordered),
    Block(Block),
    /// The capture is over, and why.
    Over(&'static str),
    End,
}

impl Service {
    async fn run(mut self, mut ordered: mpsc::Receiver<Ordered>) {
        loop {
            match self.next(&mut ordered).await {
                Next::Ordered((order, answer)) => {
                    let outcome = self.obey(order).await.map(|()| self.view());
                    // Whoever asked may have stopped waiting.
                    let _ = answer.send(outcome);
                }
                Next::Block(block) => self.write(block).await,
                Next::Over(because) => self.end(because).await,
                Next::End => return,
            }
        }
    }

    async fn next(&mut self, ordered: &mut mpsc::Receiver<Ordered>) -> Next {
        let order = |order: Option<Ordered>| order.map_or(Next::End, Next::Ordered);
        let Some(running) = &mut self.running else { return order(ordered.recv().await) };
        tokio::select! {
            biased;
            one = ordered.recv() => order(one),
            () = tokio::time::sleep_until(running.deadline) => Next::Over("an hour has passed"),
            block = running.blocks.recv() => block.map_or(Next::Over("the workers have ended"), Next::Block),
        }
    }

    async fn obey(&mut self, order: Order) -> Result<(), String> {
        let is_setting = !matches!(order, Order::Off | Order::Show | Order::Delete(_));
        if self.running.is_some() && is_setting {
            return Err("a capture is on: turn it off first (`debug dataplane packet-diag set capture off`)".to_owned());
        }
        match order {
            Order::Show => {}
            Order::Filtering(on) => self.settings.filtering = on,
            Order::Snaplen(bytes) => self.settings.snaplen = bytes,
            Order::Filter(_) if self.settings.filters.len() >= FILTERS_MAX => {
                return Err(format!(
                    "there are {FILTERS_MAX} filters already, and no more at a time: clear them first (`debug dataplane \
                     packet-diag clear filter all`)"
                ));
            }
            Order::Filter(filter) => self.settings.filters.push(filter),
            Order::Stage(stage, wanted) => {
                let stages = &mut self.settings.stages;
                if let Some((other, ..)) = stages.iter().find(|one| one.0 != stage && one.1.file == wanted.file) {
                    return Err(format!(
                        "`{}` is the file of the stage `{other}`: each has one of its own",
                        wanted.file
                    ));
                }
                stages.retain(|one| one.0 != stage);
                stages.push((stage, wanted, Count::default()));
                stages.sort_by_key(|one| one.0);
            }
            Order::Clear { filters, stages } => {
                if filters {
                    self.settings.filters.clear();
                    self.settings.filtering = false;
                }
                if stages {
                    self.settings.stages.clear();
                    self.settings.snaplen = 0;
                }
            }
            Order::On => self.begin().await?,
            Order::Off => self.end("it was turned off").await,
            Order::Delete(name) => self.delete(name.as_deref())?,
        }
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), String> {
        let settings = &self.settings;
        if settings.stages.is_empty() {
            return Err("no stage is to be captured: name one first (`debug dataplane packet-diag set capture stage \
                        receive file NAME`)"
                .to_owned());
        }
        if settings.filtering && settings.filters.is_empty() {
            return Err(
                "filters are to count, and there is none: add one (`debug dataplane packet-diag set filter match \
                        source ADDRESS`), or turn filtering off"
                    .to_owned(),
            );
        }
        self.check_room()?;
        let files = self.create().map_err(|error| format!("{error:#}"))?;
        let filters = if settings.filtering { settings.filters.clone() } else { Vec::new() };
        let wanted = |stage| settings.stages.iter().any(|one| one.0 == stage);
        let plan = Arc::new(Plan::new(filters, settings.snaplen as usize, wanted));
        let (sender, blocks) = mpsc::channel(BLOCKS_MAX);
        let made = (Arc::clone(&plan), sender);
        let installed = self.firewall.dataplane().on_all(move |inside| {
            let (plan, sender) = made.clone();
            *inside.tap = Some(Box::new(Tap::new(plan, sender)));
        });
        if let Err(error) = installed.await {
            // Those that were installed put nothing aside.
            Stage::ALL.into_iter().for_each(|stage| plan.close(stage));
            return Err(format!("{error:#}"));
        }
        let now = Timestamp::now();
        self.settings.on = true;
        self.settings.started = Some(now);
        self.settings.ends = now.checked_add(LONGEST).ok();
        self.settings.ended_because.clear();
        self.settings.lost = 0;
        self.settings.stages.iter_mut().for_each(|(_, _, count)| *count = Count::default());
        self.running = Some(Running { plan, blocks, files, deadline: Instant::now() + LONGEST });
        self.count();
        info!("packet capture is on");
        Ok(())
    }

    /// What is there and what may come must fit the directory.
    fn check_room(&self) -> Result<(), String> {
        let comes = |name: &str| self.settings.stages.iter().any(|one| one.1.file == name);
        let stay: Vec<Captured> = files(&self.directory).into_iter().filter(|one| !comes(&one.name)).collect();
        let bytes = stay.iter().map(|one| one.size).sum::<u64>()
            + self.settings.stages.iter().map(|one| one.1.bytes_max).sum::<u64>();
        if bytes > DIRECTORY_BYTES_MAX || stay.len() + self.settings.stages.len() > FILES_MAX {
            return Err(format!(
                "there are {} capture files, and with what may come it would be more than {FILES_MAX}, or than {} MiB \
                 together: delete some (`debug dataplane packet-diag clear file NAME`)",
                stay.len(),
                DIRECTORY_BYTES_MAX >> 20
            ));
        }
        Ok(())
    }

    fn create(&self) -> anyhow::Result<BTreeMap<Stage, CaptureFile>> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .with_context(|| format!("make the directory `{}`", self.directory.display()))?;
        let attachments = self.firewall.dataplane().attachments().iter();
        let name = |interface: &str| if interface.is_empty() { HOST.to_owned() } else { interface.to_owned() };
        let interfaces: Vec<String> = attachments.map(|one| name(&one.interface)).collect();
        let stages = self.settings.stages.iter();
        stages
            .map(|(stage, wanted, _)| {
                Ok((*stage, CaptureFile::create(&self.directory.join(&wanted.file), &interfaces)?))
            })
            .collect()
    }

    /// Ends the capture that is on: everything that was put aside is in the files then.
    async fn end(&mut self, because: &str) {
        let Some(mut running) = self.running.take() else { return };
        let removed = self.firewall.dataplane().on_all(|inside| drop(inside.tap.take())).await;
        if let Err(error) = removed {
            // A tap without a receiver puts nothing aside.
            error!("a worker keeps its end of the capture: {error:#}");
            Stage::ALL.into_iter().for_each(|stage| running.plan.close(stage));
            running.blocks.close();
        }
        self.running = Some(running);
        while let Some(running) = &mut self.running
            && let Some(block) = running.blocks.recv().await
        {
            self.put(&block);
        }
        self.count();
        self.running = None;
        self.settings.on = false;
        self.settings.ends = None;
        because.clone_into(&mut self.settings.ended_because);
        info!("packet capture is off: {because}");
    }

    async fn write(&mut self, block: Block) {
        self.put(&block);
        self.count();
        if self.running.as_ref().is_some_and(|running| running.plan.is_over()) {
            self.end("every stage is full").await;
        }
    }

    /// Puts packets into the files of their stages, and closes those that are full.
    fn put(&mut self, block: &Block) {
        let Some(running) = &mut self.running else { return };
        running.plan.dequeue(block.bytes.len());
        let (firewall, clock) = (&self.firewall, self.firewall.clock());
        let tables = firewall.running();
        let attachments = firewall.dataplane().attachments();
        let place = |port: Port| attachments.iter().position(|one| one.port == port).unwrap_or_default() as u32;
        for record in &block.records {
            let Some((_, wanted, _)) = self.settings.stages.iter().find(|one| one.0 == record.stage) else { continue };
            let Some(file) = running.files.get_mut(&record.stage) else { continue };
            if !running.plan.is_open(record.stage) {
                continue;
            }
            let comment = comment(record, tables.as_ref().map(|running| &*running.compiled));
            let entry = Entry {
                interface: place(record.port),
                at_us: u64::try_from(clock.wall(record.at).as_microsecond()).unwrap_or_default(),
                outbound: record.stage == Stage::Transmit,
                bytes: block.bytes.get(record.bytes.clone()).unwrap_or_default(),
                length: record.length,
                comment: &comment,
            };
            let fits = file.packet(&entry, wanted.bytes_max).unwrap_or_else(|error| {
                error!("the capture of the stage `{}` ends: {error:#}", record.stage);
                false
            });
            if !fits || file.packets >= wanted.packets_max {
                running.plan.close(record.stage);
            }
        }
        for (stage, file) in &mut running.files {
            if let Err(error) = file.flush() {
                error!("the capture of the stage `{stage}` ends: {error:#}");
                running.plan.close(*stage);
            }
        }
    }

    /// Takes over what the files and the workers counted.
    fn count(&mut self) {
        let Some(running) = &self.running else { return };
        self.settings.lost = running.plan.lost();
        for (stage, _, count) in &mut self.settings.stages {
            if let Some(file) = running.files.get(stage) {
                *count = Count { packets: file.packets, bytes: file.bytes };
            }
        }
    }

    fn delete(&self, name: Option<&str>) -> Result<(), String> {
        let known = files(&self.directory);
        let chosen: Vec<&Captured> = known.iter().filter(|one| name.is_none_or(|name| name == one.name)).collect();
        if let (Some(name), []) = (name, &chosen[..]) {
            return Err(no_file(name, &known));
        }
        let is_written = |one: &&&Captured| self.settings.stages.iter().any(|stage| stage.1.file == one.name);
        if let (true, Some(one)) = (self.running.is_some(), chosen.iter().find(is_written)) {
            return Err(format!("`{}` is being written: turn the capture off first; nothing was deleted", one.name));
        }
        for one in chosen {
            fs::remove_file(self.directory.join(&one.name))
                .map_err(|error| format!("the capture file `{}` cannot be deleted: {error}", one.name))?;
        }
        Ok(())
    }

    fn view(&mut self) -> View {
        self.count();
        View { files: files(&self.directory), ..self.settings.clone() }
    }
}

fn no_file(name: &str, known: &[Captured]) -> String {
    let known: Vec<String> = known.iter().map(|one| format!("`{}`", one.name)).collect();
    let known = if known.is_empty() { "there are none".to_owned() } else { format!("known: {}", known.join(", ")) };
    format!("there is no capture file `{name}`; {known}")
}

/// The files in the directory, by name; none when it is not there yet.
fn files(directory: &Path) -> Vec<Captured> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<Captured> = entries
        .filter_map(|entry| {
            let (name, metadata) = (entry.file_name().into_string().ok()?, entry.metadata().ok()?);
            let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
            metadata.is_file().then_some(Captured { name, size: metadata.len(), modified })
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// What Wireshark shows beside a packet: `drop: no-route (...); session 7, rule web`.
fn comment(record: &Record, tables: Option<&bartizan_policy::tables::Compiled>) -> String {
    let mut text = record.stage.to_string();
    if let Some(reason) = record.reason {
        text += &format!(": {} ({})", reason.as_str(), reason.describe());
    }
    if let Some(Part { id, rule, nat_rule }) = record.session {
        text += &format!("; session {id}");
        if let (Some(rule), Some(tables)) = (rule, tables) {
            text += &format!(", rule {}", tables.rule_name(rule));
        }
        if let (Some(rule), Some(tables)) = (nat_rule, tables) {
            text += &format!(", NAT rule {}", tables.nat_rule_name(rule));
        }
    }
    text
}

/// The limits of a stage when none are named.
impl Default for StageSettings {
    fn default() -> Self {
        Self { file: String::new(), packets_max: plan::PACKETS_DEFAULT, bytes_max: plan::BYTES_DEFAULT }
    }
}
