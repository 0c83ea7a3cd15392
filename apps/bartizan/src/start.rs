//! Starting an app: settings from arguments, logging to standard error.

use std::io::{IsTerminal as _, Write as _};

use bartizan_firewall::settings::{CONTROL_NAME, Source, default_workers};
use bartizan_firewall::worker::Waiting;
use bartizan_firewall::{Refused, Settings, hostname};
use bartizan_manager::backup::{backup, restore};
use tracing_subscriber::EnvFilter;

use crate::arguments::{Firewall, Manager, ManagerTask};
use crate::{Failure, VALIDATION, device};

pub(crate) fn firewall(arguments: Box<Firewall>) -> Result<(), Failure> {
    log();
    let source = match (arguments.config, arguments.manager, arguments.api_listen) {
        (Some(path), ..) => Source::File(path),
        (None, Some(address), _) => Source::Manager(bartizan_firewall::manager::Settings {
            address,
            auth_key: arguments.auth_key,
            hostname: hostname(),
        }),
        (None, None, Some(_)) => Source::Administrators,
        (None, None, None) => {
            return Err(Failure::new(crate::USAGE, "give `--config`, `--manager` or `--api-listen`"));
        }
    };
    let api =
        (!matches!(source, Source::File(_))).then(|| device::start(arguments.state_dir.clone(), arguments.api_listen));
    let settings = Settings {
        source,
        ports: arguments.ports,
        control: arguments.control.unwrap_or_else(|| arguments.state_dir.join(CONTROL_NAME)),
        state_directory: arguments.state_dir,
        workers: arguments.workers.unwrap_or_else(default_workers),
        sessions_max: arguments.sessions_max,
        ring_mib: arguments.ring_mib,
        io: arguments.io,
        waiting: if arguments.latency { Waiting::Spinning } else { Waiting::Adaptive },
        traffic_log: arguments.traffic_log,
    };
    bartizan_firewall::run(&settings, api).map_err(|error| match error.downcast::<Refused>() {
        Ok(Refused(snippets)) => Failure::new(VALIDATION, snippets),
        Err(error) => error.into(),
    })
}

pub(crate) fn manager(arguments: Box<Manager>) -> Result<(), Failure> {
    log();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(1, format!("error: start the manager's threads: {error}")))?;
    if let Some(task) = arguments.task {
        return runtime.block_on(with_data(task));
    }
    let (Some(data_dir), Some(listen)) = (arguments.data_dir, arguments.listen) else {
        return Err(Failure::new(crate::USAGE, "give `--data-dir` and `--listen`"));
    };
    let mut settings = bartizan_manager::Settings::new(data_dir, listen);
    settings.database = arguments.database;
    settings.metrics_open = arguments.metrics_open;
    settings.log_storage = arguments.log_storage * bartizan_manager::GIB;
    Ok(runtime.block_on(bartizan_manager::run(settings))?)
}

async fn with_data(task: ManagerTask) -> Result<(), Failure> {
    let (done, amount) = match task {
        ManagerTask::Backup { place, without_logs, file } => {
            ("written", backup(&place.data_dir, place.database.as_ref(), &file, !without_logs).await?)
        }
        ManagerTask::Restore { place, replace, file } => {
            ("restored", restore(&place.data_dir, place.database.as_ref(), &file, replace).await?)
        }
    };
    let line = format!("{} rows of {} tables {done}", amount.rows, amount.tables);
    writeln!(std::io::stdout(), "{line}").map_err(|error| Failure::new(1, format!("error: {error}")))
}

pub(crate) fn log() {
    let filter = EnvFilter::try_from_env("BARTIZAN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
