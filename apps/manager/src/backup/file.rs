//! The file of a backup: lines of JSON, the last one with the digest of all before it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::store;

/// Number of the format.
pub(super) const FORMAT: u32 = 1;

/// A field of a row. Bytes are base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Cell {
    /// Nothing.
    Null(()),
    /// A number.
    Integer(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes {
        /// As base64.
        bytes: String,
    },
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    /// The first one.
    Head {
        /// Number of the format.
        backup: u32,
        /// Number of the last migration of the tables.
        tables_version: i64,
        /// When it was made.
        created_us: i64,
    },
    /// A file of the data directory.
    File {
        /// Its name.
        file: String,
        /// Its content.
        text: String,
    },
    /// The rows of this table follow.
    Table {
        /// Its name.
        table: String,
        /// The columns of a row, in order.
        columns: Vec<String>,
    },
    /// A row of the table before.
    Row(Vec<Cell>),
    /// The last line.
    End {
        /// SHA-256, hex, of all lines before.
        sha256: String,
    },
}

/// What the first line says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Number of the last migration of the tables.
    pub(super) tables_version: i64,
}

/// A file that is being written. Dropped before its end, it is gone.
pub(super) struct Target {
    file: BufWriter<File>,
    digest: Sha256,
    path: PathBuf,
    finished: bool,
}

impl Target {
    /// Begins a file that only its owner may read.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("cannot make the new file `{}`", path.display()))?;
        Ok(Self { file: BufWriter::new(file), digest: Sha256::new(), path: path.to_owned(), finished: false })
    }

    /// Writes a line.
    pub(super) fn put(&mut self, line: &Line) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.digest.update(&text);
        self.file.write_all(&text).with_context(|| format!("cannot write `{}`", self.path.display()))
    }

    /// Writes the last line; returns when all is on disk.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        let sha256 = store::hex(&self.digest.finalize_reset());
        self.put(&Line::End { sha256 })?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.finished {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A file that is being read, after its first line.
pub(super) struct Source {
    file: BufReader<File>,
    path: PathBuf,
    number: u64,
    text: String,
}

impl Source {
    /// Opens a file that [`check`] found whole.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
        let mut source = Self { file: BufReader::new(file), path: path.to_owned(), number: 0, text: String::new() };
        source.next()?;
        Ok(source)
    }

    /// The next line.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Line>> {
        self.text.clear();
        self.number += 1;
        let place = || format!("`{}`, line {}", self.path.display(), self.number);
        if self.file.read_line(&mut self.text).with_context(place)? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&self.text).with_context(place)?))
    }
}

/// Whether the file is whole and of a format that is known.
pub(super) fn check(path: &Path) -> anyhow::Result<Head> {
    let mut file = BufReader::new(File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?);
    let (mut digest, mut text, mut head, mut end) = (Sha256::new(), Vec::new(), None, None);
    loop {
        text.clear();
        let length = file.read_until(b'\n', &mut text).with_context(|| format!("cannot read `{}`", path.display()))?;
        if length == 0 {
            break;
        }
        if head.is_none() {
            head =
                Some(read_head(&text).with_context(|| format!("`{}` is not a backup of a manager", path.display()))?);
        }
        if text.starts_with(b"{\"sha256\"")
            && let Ok(Line::End { sha256 }) = serde_json::from_slice(&text)
        {
            let found = store::hex(&digest.clone().finalize());
            ensure!(found == sha256, "`{}` is damaged: it does not have the digest that it names", path.display());
            end = Some(sha256);
        } else {
            ensure!(end.is_none(), "`{}` is damaged: it goes on after its last line", path.display());
        }
        digest.update(&text);
    }
    match (head, end) {
        (Some(head), Some(_)) => Ok(head),
        (Some(_), None) => bail!("`{}` is not whole: its last line is missing", path.display()),
        (None, _) => bail!("`{}` is empty", path.display()),
    }
}

fn read_head(text: &[u8]) -> anyhow::Result<Head> {
    match serde_json::from_slice(text) {
        Ok(Line::Head { backup, tables_version, .. }) => {
            ensure!(backup == FORMAT, "its format is {backup}, and this program knows only {FORMAT}");
            Ok(Head { tables_version })
        }
        _ => bail!("its first line says something else"),
    }
}
