//! Was the config log changed behind the manager's back?
//!
//! Each line carries an HMAC-SHA256 over what it says and the seal of the line before it, with a key that is not in
//! the database. Whoever can only write to the database can neither change a line, nor take one out or put one in,
//! without breaking the chain. The oldest lines make room, so a chain begins with the seal of a line that is no more;
//! lines cut off at the end are found by a seal that was noted before.

use std::sync::{Arc, OnceLock};

use ring::hmac;

use super::audit::{AUDIT_ROWS_MAX, AuditLine};
use super::db::sql;
use super::{Store, hex};

/// Lines that are read at once.
const PAGE: i64 = 1000;

/// Numbers of lines that a database may have left out (PostgreSQL does for what was undone).
const UNUSED_NUMBERS_MAX: i64 = 1000;

/// Makes the seals. A store that has no key yet leaves them empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sealer {
    key: Arc<OnceLock<hmac::Key>>,
}

/// What a look at the whole config log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Lines that are sealed, and as they were written.
    pub(crate) intact: u64,
    /// Lines at the beginning that were written before there were seals.
    pub(crate) unsealed: u64,
    /// The first line that is not as it was written, and how it differs.
    pub(crate) broken: Option<(i64, &'static str)>,
    /// The last line's seal: whoever notes it can tell later whether lines were cut off.
    pub(crate) head: String,
    /// Whether the seal that was asked for is one of them.
    pub(crate) found: bool,
    /// The first line, when it was not the first one ever.
    oldest: Option<i64>,
}

impl Sealer {
    /// The seal of a line after another one.
    pub(super) fn seal(&self, previous: &str, line: &AuditLine) -> String {
        let Some(key) = self.key.get() else { return String::new() };
        let mut context = hmac::Context::with_key(key);
        let time = line.time_us.to_string();
        let AuditLine { admin, host, client, cmd, path, result, before, after, .. } = line;
        for field in [previous, &time, admin, host, client, cmd, path, result, before, after] {
            // The length first, so that no two lines read the same.
            context.update(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(field.as_bytes());
        }
        // Lines without one are sealed as before there were any.
        if line.config_version != 0 {
            context.update(&line.config_version.to_be_bytes());
        }
        hex(context.sign().as_ref())
    }
}

#[derive(sqlx::FromRow)]
struct Sealed {
    #[sqlx(flatten)]
    line: AuditLine,
    seal: String,
}

impl Store {
    /// Seals the lines that are written from now on.
    pub(crate) fn seal_with(&self, key: [u8; 32]) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        self.sealer.key.get_or_init(|| key);
    }

    /// Looks at every line of the config log, and for a seal that was noted before.
    pub(crate) async fn audit_chain(&self, noted: Option<&str>) -> sqlx::Result<Chain> {
        let (mut chain, mut after) = (Chain::default(), 0);
        loop {
            let statement = sql("SELECT * FROM audit WHERE id > $1 ORDER BY id LIMIT $2").bind(after).bind(PAGE);
            let page: Vec<Sealed> = statement.fetch_all(&self.reader).await?;
            let Some(last) = page.last() else { return Ok(chain.whole(after)) };
            after = last.line.id;
            for sealed in &page {
                chain.add(&self.sealer, sealed);
                if chain.broken.is_some() {
                    return Ok(chain);
                }
                chain.found |= noted.is_some_and(|noted| noted == chain.head);
            }
        }
    }
}

impl Chain {
    /// Lines make room only when there are as many as are kept.
    fn whole(mut self, last: i64) -> Self {
        if let Some(oldest) = self.oldest
            && last - oldest < AUDIT_ROWS_MAX - UNUSED_NUMBERS_MAX
        {
            self.broken = Some((oldest, "lines before it were taken out"));
        }
        self
    }

    fn add(&mut self, sealer: &Sealer, Sealed { line, seal }: &Sealed) {
        let begun = !self.head.is_empty();
        if seal.is_empty() {
            if begun {
                self.broken = Some((line.id, "its seal was taken away"));
            }
            self.unsealed += 1;
            return;
        }
        if *seal != sealer.seal(&self.head, line) {
            if begun || self.unsealed > 0 {
                self.broken = Some((line.id, "it was changed, or lines before it were taken out or put in"));
                return;
            }
            // The line before it has made room, so it cannot be told: only its successors can.
            self.oldest = Some(line.id);
        }
        self.intact += 1;
        self.head.clone_from(seal);
    }
}
