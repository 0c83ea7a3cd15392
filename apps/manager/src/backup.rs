//! The whole manager in one file: how is it written while the manager runs, and how does another one begin from it?
//!
//! The file holds what either database holds, so that it also is the way from one to the other. Its last line has
//! the digest of all before it: a file that is cut or changed is refused before anything is touched.

mod file;
mod tables;

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::store::{DatabaseUrl, now_us};
use crate::{files, pki};
use file::{Line, Source, Target};
use tables::Tables;

/// Tables whose rows are logs, by the end of their names.
const LOGS: &str = "_logs";
/// Files of the data directory that are part of it: the authority, without which no firewall would come back.
const FILES: [&str; 2] = ["pki/ca.key", "pki/ca.pem"];
/// Rows in one statement.
const ROWS_AT_ONCE: usize = 100;

/// What a backup or a restore went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Tables.
    pub tables: usize,
    /// Their rows.
    pub rows: u64,
}

/// Writes the manager's data as they are at this moment into a new file.
///
/// # Errors
/// When something cannot be read, or the file is there already or cannot be written. Then there is none.
pub async fn backup(
    data_dir: &Path,
    database: Option<&DatabaseUrl>,
    path: &Path,
    with_logs: bool,
) -> anyhow::Result<Amount> {
    let mut tables = Tables::read_only(data_dir, database).await?;
    let mut target = Target::create(path)?;
    target.put(&Line::Head { backup: file::FORMAT, tables_version: tables.version().await?, created_us: now_us() })?;
    for name in FILES {
        let place = data_dir.join(name);
        let text = std::fs::read_to_string(&place).with_context(|| format!("cannot read `{}`", place.display()))?;
        target.put(&Line::File { file: name.to_owned(), text })?;
    }
    let mut amount = Amount { tables: 0, rows: 0 };
    for table in tables.list().await? {
        if table.name.ends_with(LOGS) && !with_logs {
            continue;
        }
        target.put(&table.head())?;
        amount.tables += 1;
        amount.rows += tables.rows(&table, |row| target.put(&Line::Row(row))).await?;
    }
    target.finish()?;
    Ok(amount)
}

/// Makes a manager's data those of the file, all or nothing; no manager may run on them. Unless `replace` says so,
/// there may be nothing yet.
///
/// # Errors
/// When the file is not whole, or does not fit, or the place is in use or not empty.
pub async fn restore(
    data_dir: &Path,
    database: Option<&DatabaseUrl>,
    path: &Path,
    replace: bool,
) -> anyhow::Result<Amount> {
    let head = file::check(path)?;
    files::make_private_dir(data_dir)?;
    let _lock = files::lock_directory(data_dir)?;
    let mut source = Source::open(path)?;
    let authority = authority_of(&mut source)?;
    let there = pki::fingerprint_in(data_dir)?;
    ensure!(
        replace || there.is_none() || there.as_deref() == Some(pki::fingerprint_of(&authority[1].1)?.as_str()),
        "`{}` holds the authority of another manager; restore with `--replace` to have that of the backup instead",
        data_dir.join("pki").display()
    );
    let mut tables = Tables::to_fill(data_dir, database, head.tables_version).await?;
    let known = tables.list().await?;
    ensure!(
        replace || tables.is_empty(&known).await?,
        "{} is not empty; restore with `--replace` to have what is in the backup instead of all that is there",
        tables.place()
    );
    tables.begin(&known).await?;
    let amount = fill(&mut tables, &known, &mut source).await?;
    files::make_private_dir(&data_dir.join("pki"))?;
    for (name, text) in &authority {
        files::write_private(&data_dir.join(name), text)?;
    }
    tables.commit(&known).await?;
    Ok(amount)
}

/// The files that come before the tables, as [`FILES`] lists them.
fn authority_of(source: &mut Source) -> anyhow::Result<[(String, String); 2]> {
    let mut next = |name: &str| match source.next()? {
        Some(Line::File { file, text }) if file == name => Ok((file, text)),
        _ => anyhow::bail!("the backup holds no `{name}`"),
    };
    Ok([next(FILES[0])?, next(FILES[1])?])
}

async fn fill(tables: &mut Tables, known: &[tables::Table], source: &mut Source) -> anyhow::Result<Amount> {
    let mut amount = Amount { tables: 0, rows: 0 };
    let mut current = None;
    let mut rows = Vec::with_capacity(ROWS_AT_ONCE);
    while let Some(line) = source.next()? {
        if let Some(table) = &current
            && (rows.len() == ROWS_AT_ONCE || !matches!(line, Line::Row(_)))
        {
            tables.insert(table, std::mem::take(&mut rows)).await?;
        }
        match line {
            Line::Row(row) => {
                amount.rows += 1;
                rows.push(row);
            }
            Line::Table { table, columns } => {
                amount.tables += 1;
                let made = tables.make_slice(&table).await?;
                let found = made.iter().chain(known).find(|known| known.name == table);
                let found = found.with_context(|| format!("there is no table `{table}` for what the backup holds"))?;
                current = Some(found.with_columns(&columns)?);
            }
            Line::End { .. } => {}
            Line::Head { .. } | Line::File { .. } => anyhow::bail!("the backup has a line where it cannot be"),
        }
    }
    Ok(amount)
}

#[cfg(test)]
mod tests;
