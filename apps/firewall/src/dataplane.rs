//! The workers as one: start them, ask all of them, put new tables under all of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bartizan_engine::Engine;
use bartizan_engine::settings::{LocalLink, Settings as EngineSettings, SharedPools};
use bartizan_engine::verdict::{Notice, Port};
use bartizan_policy::tables::Compiled;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::huge;
use crate::port::afxdp::Attached;
use crate::port::backend::{self, Capabilities, Opened, Opening, Wish};
use crate::port::ethtool::Requeued;
use crate::port::netdev::Device;
use crate::settings::IoWish;
use crate::wake::Bell;
use crate::worker::peers::Peers;
use crate::worker::place::Cores;
use crate::worker::{Inside, Job, Line, LogSink, NoticeSink, Parts, Waiting, Worker};

/// Jobs that wait for one worker at most.
const JOBS_MAX: usize = 64;
/// Log lines on their way out of the workers.
const LOG_LINES_MAX: usize = 65_536;
/// DHCP replies, and router advertisements, on their way out of the workers.
const NOTICES_MAX: usize = 256;
/// Answers to the firewall's own echo requests on their way out of the workers: those of one round of
/// all monitored destinations.
const ECHOES_MAX: usize = 1024;
/// A worker that does not answer in this time is broken.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A port and the device behind it.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// What the engine calls it.
    pub port: Port,
    /// What the configuration calls it; empty for the local link.
    pub interface: String,
    /// The device.
    pub device: Device,
}

/// How to start the workers.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Number of workers.
    pub workers: u16,
    /// Sessions of all workers together.
    pub sessions_max: usize,
    /// Receive ring of each data port and worker.
    pub ring_mib: usize,
    /// Where health checks are answered.
    pub local: Option<LocalLink>,
    /// How frames are to come, by interface.
    pub io: Vec<IoWish>,
    /// How workers wait for them.
    pub waiting: Waiting,
}

/// The running workers.
pub struct Dataplane {
    workers: Vec<Handle>,
    attachments: Vec<Attachment>,
    capabilities: Vec<Capabilities>,
    /// While these live, frames come to the XDP sockets.
    _programs: Vec<Attached>,
    _requeued: Vec<Requeued>,
    sessions_max: usize,
    clock: Clock,
    logs_lost: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    nat: SharedPools,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Handle {
    jobs: SyncSender<Job>,
    bell: Arc<Bell>,
}

/// What comes out of the workers. The channels end when the workers have ended.
pub struct Outlets {
    /// Log lines.
    pub lines: mpsc::Receiver<Line>,
    /// DHCP replies.
    pub dhcp: mpsc::Receiver<Notice>,
    /// Router advertisements.
    pub advertisements: mpsc::Receiver<Notice>,
    /// Answers to the firewall's own echo requests.
    pub echoes: mpsc::Receiver<Notice>,
}

impl Handle {
    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Inside<'_>) -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>> {
        let (answer, receiver) = oneshot::channel();
        let job: Job = Box::new(move |inside| {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(work(inside));
        });
        if self.jobs.try_send(job).is_err() {
            bail!("a worker is too busy to take commands");
        }
        self.bell.ring();
        Ok(receiver)
    }
}

impl Dataplane {
    /// Opens the ports on every worker and starts them.
    ///
    /// # Errors
    /// When a port cannot be opened or a thread not be started.
    pub fn start(settings: &Settings, attachments: Vec<Attachment>, clock: Clock) -> Result<(Self, Outlets)> {
        let count = settings.workers.max(1);
        let (lines, receiver) = mpsc::channel(LOG_LINES_MAX);
        let logs = LogSink { lines, lost: Arc::default() };
        let (dhcp, dhcp_heard) = mpsc::channel(NOTICES_MAX);
        let (advertisements, advertisements_heard) = mpsc::channel(NOTICES_MAX);
        let (echoes, echoes_heard) = mpsc::channel(ECHOES_MAX);
        let notices = NoticeSink { dhcp, advertisements, echoes };
        let logs_lost = Arc::clone(&logs.lost);
        let bells = (0..count).map(|_| Bell::new().map(Arc::new)).collect::<std::io::Result<Vec<_>>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let nat = SharedPools::new(rand::random());
        let opening = Opening { workers: count, ring_mib: settings.ring_mib };
        let Opened { mut ports, capabilities, programs, requeued } =
            backend::open(opening, &attachments, |attachment| wish(&settings.io, &attachment.interface))?;
        let cores = Cores::shared();
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        for (number, (peers, bell)) in Peers::mesh(&bells).into_iter().zip(&bells).enumerate() {
            let number = number as u16;
            let mut engine = Engine::new(EngineSettings {
                worker: number,
                workers: count,
                sessions_max: settings.sessions_max.div_ceil(usize::from(count)),
                seed: rand::random(),
                secret: rand::random(),
                local: settings.local,
                nat: nat.clone(),
                ..EngineSettings::default()
            });
            huge::advise(&engine);
            for attachment in &attachments {
                engine.attach(attachment.port, attachment.device.mac);
            }
            let (jobs, job_receiver) = sync_channel(JOBS_MAX);
            let parts = Parts {
                cores: cores.clone(),
                engine,
                ports: ports.remove(0),
                peers,
                jobs: job_receiver,
                bell: Arc::clone(bell),
                clock,
                logs: logs.clone(),
                notices: notices.clone(),
                waiting: settings.waiting,
                stop: Arc::clone(&stop),
            };
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || Worker::new(parts).run())
                .context("start a worker thread")?;
            workers.push(Handle { jobs, bell: Arc::clone(bell) });
            threads.push(thread);
        }
        Ok((
            Self {
                workers,
                attachments,
                capabilities,
                _programs: programs,
                _requeued: requeued,
                sessions_max: settings.sessions_max,
                clock,
                logs_lost,
                stop,
                nat,
                threads: Mutex::new(threads),
            },
            Outlets { lines: receiver, dhcp: dhcp_heard, advertisements: advertisements_heard, echoes: echoes_heard },
        ))
    }

    /// Runs something on one worker, whichever: for what only one of them is to do.
    ///
    /// # Errors
    /// As [`Self::on_all`].
    pub async fn on_one<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Inside<'_>) -> T + Send + 'static,
    ) -> Result<T> {
        let handle = self.workers.first().context("there is no worker")?;
        let answer = handle.ask(work)?;
        let answer = tokio::time::timeout(ANSWER_LIMIT, answer).await;
        answer.context("a worker does not answer")?.context("a worker ended")
    }

    /// Runs something on every worker between two bursts; the answers in worker order.
    ///
    /// # Errors
    /// When a worker does not take the job or does not answer.
    pub async fn on_all<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Inside<'_>) -> T + Clone + Send + 'static,
    ) -> Result<Vec<T>> {
        let mut answers = Vec::new();
        for handle in &self.workers {
            answers.push(handle.ask(work.clone())?);
        }
        let mut results = Vec::new();
        for answer in answers {
            let result = tokio::time::timeout(ANSWER_LIMIT, answer).await;
            results.push(result.context("a worker does not answer")?.context("a worker ended")?);
        }
        Ok(results)
    }

    /// Puts new tables under every worker; returns when all of them run by these.
    ///
    /// # Errors
    /// As [`Self::on_all`].
    pub async fn install(&self, tables: Arc<Compiled>) -> Result<()> {
        self.on_all(move |inside| inside.engine.install(Arc::clone(&tables), inside.now)).await?;
        Ok(())
    }

    /// The ports.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// What each of [`Self::attachments`] can do, in the same order.
    pub fn capabilities(&self) -> &[Capabilities] {
        &self.capabilities
    }

    /// The workers' clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// How many workers there are.
    pub fn worker_count(&self) -> usize {
        self.workers.len()
    }

    /// Sessions of all workers together, at most.
    pub fn sessions_max(&self) -> usize {
        self.sessions_max
    }

    /// What the workers share of NAT.
    pub fn nat(&self) -> &SharedPools {
        &self.nat
    }

    /// Log lines that never left the workers.
    pub fn logs_lost(&self) -> u64 {
        self.logs_lost.load(Ordering::Relaxed)
    }

    /// Ends the workers; the end logs of open sessions are in the channel afterwards.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in &self.workers {
            worker.bell.ring();
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
    }
}

/// The last wish about an interface, or about all of them.
fn wish(io: &[IoWish], interface: &str) -> Wish {
    let about = |one: &&IoWish| one.interface.as_deref().is_none_or(|name| name == interface);
    io.iter().rev().find(about).map_or(Wish::Auto, |one| one.wish)
}
