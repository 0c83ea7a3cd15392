//! What was sent to each device last, and does it stand?
//!
//! Written down before it is sent. What the inventory says of a device follows only when the push is final, so
//! that a confirmation finds its push also after a restart of the manager.

use bartizan_api::fleet::{EventLog, TakeBack};

use super::audit::{self, AuditLine};
use super::db::{Transaction, sql};
use super::{Store, events, now_us, to_db};

/// What a device is sent.
#[derive(Clone, Debug)]
pub(crate) struct Pushed<'a> {
    /// Which device.
    pub(crate) serial: &'a str,
    /// Number of its job.
    pub(crate) job: u64,
    /// Number of the push.
    pub(crate) push_id: u64,
    /// Version of its policy.
    pub(crate) policy_version: u64,
    /// Version of its templates.
    pub(crate) template_version: u64,
    /// Digest of the whole.
    pub(crate) digest: &'a str,
}

/// A step of a push, to be written down.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Begin { serial: String, job: i64, push_id: i64, policy_version: i64, template_version: i64, digest: String },
    Confirm { serial: String, push_id: i64, digest: String },
}

impl Step {
    /// Whether it was what it was for.
    async fn write(&self, transaction: &mut Transaction) -> sqlx::Result<bool> {
        match self {
            Self::Begin { serial, job, push_id, policy_version, template_version, digest } => {
                sql("DELETE FROM pushes WHERE serial = $1").bind(serial).execute(&mut *transaction).await?;
                sql("INSERT INTO pushes (serial, push_id, policy_version, template_version, digest, policy_before, \
                     template_before, digest_before, started_us, state, job) \
                     SELECT serial, $1, $2, $3, $4, policy_version, template_version, pushed_digest, $5, 'sent', $6 \
                     FROM devices WHERE serial = $7")
                .bind(*push_id)
                .bind(*policy_version)
                .bind(*template_version)
                .bind(digest)
                .bind(now_us())
                .bind(*job)
                .bind(serial)
                .execute(transaction)
                .await?;
                Ok(true)
            }
            Self::Confirm { serial, push_id, digest } => confirm(transaction, serial, *push_id, digest).await,
        }
    }
}

async fn confirm(transaction: &mut Transaction, serial: &str, push_id: i64, digest: &str) -> sqlx::Result<bool> {
    let confirmed = sql("UPDATE pushes SET state = 'confirmed' WHERE serial = $1 AND push_id = $2 AND digest = $3 \
         AND state = 'sent'")
    .bind(serial)
    .bind(push_id)
    .bind(digest)
    .execute(&mut *transaction)
    .await?;
    if confirmed == 0 {
        return Ok(false);
    }
    sql("UPDATE devices SET policy_version = (SELECT policy_version FROM pushes WHERE serial = $1), \
         template_version = (SELECT template_version FROM pushes WHERE serial = $1), pushed_digest = $2, \
         running_digest = $2, pushed_us = $3, last_seen_us = $3 WHERE serial = $1")
    .bind(serial)
    .bind(digest)
    .bind(now_us())
    .execute(&mut *transaction)
    .await?;
    sql("DELETE FROM pending_pushes WHERE serial = $1 AND job = (SELECT job FROM pushes WHERE serial = $1)")
        .bind(serial)
        .execute(transaction)
        .await?;
    Ok(true)
}

impl Store {
    /// Records what is about to be sent.
    pub(crate) async fn begin_push(&self, pushed: &Pushed<'_>) -> sqlx::Result<()> {
        let step = Step::Begin {
            serial: pushed.serial.to_owned(),
            job: to_db(pushed.job),
            push_id: to_db(pushed.push_id),
            policy_version: to_db(pushed.policy_version),
            template_version: to_db(pushed.template_version),
            digest: pushed.digest.to_owned(),
        };
        self.write_step(step).await.map(drop)
    }

    /// The push is final: this is what the device enforces, and nothing of its job is pending for it. `false`: there is
    /// no such push under way.
    pub(crate) async fn confirm_push(&self, serial: &str, push_id: u64, digest: &str) -> sqlx::Result<bool> {
        let (serial, digest) = (serial.to_owned(), digest.to_owned());
        self.write_step(Step::Confirm { serial, push_id: to_db(push_id), digest }).await
    }

    async fn write_step(&self, step: Step) -> sqlx::Result<bool> {
        let write = async |steps: &[Step]| {
            let mut transaction = self.writer.begin().await?;
            let mut outcomes = Vec::with_capacity(steps.len());
            for step in steps {
                outcomes.push(step.write(&mut transaction).await?);
            }
            transaction.commit().await?;
            Ok(outcomes)
        };
        self.steps.write(step, write).await
    }

    /// The push under way whose configuration has this digest.
    pub(crate) async fn push_under_way(&self, serial: &str, digest: &str) -> sqlx::Result<Option<i64>> {
        let row: Option<(i64,)> =
            sql("SELECT push_id FROM pushes WHERE serial = $1 AND digest = $2 AND state = 'sent'")
                .bind(serial)
                .bind(digest)
                .fetch_optional(&self.writer)
                .await?;
        Ok(row.map(|(push_id,)| push_id))
    }

    /// A device took a push back: its line of the config log and the manager's of the system log, once, and the
    /// inventory as it was before. `false`: that was known.
    pub(crate) async fn revert_push(
        &self,
        serial: &str,
        taken: &TakeBack,
        line: AuditLine,
        event: (&str, &EventLog),
    ) -> sqlx::Result<bool> {
        let mut transaction = self.writer.begin().await?;
        let push_id = to_db(taken.push_id);
        let state: Option<(String,)> = sql("SELECT state FROM pushes WHERE serial = $1 AND push_id = $2")
            .bind(serial)
            .bind(push_id)
            .fetch_optional(&mut transaction)
            .await?;
        match state.as_ref().map(|(state,)| state.as_str()) {
            Some("reverted") => return Ok(false),
            Some("confirmed") => {
                sql("UPDATE devices SET policy_version = (SELECT policy_before FROM pushes WHERE serial = $1), \
                     template_version = (SELECT template_before FROM pushes WHERE serial = $1), \
                     pushed_digest = (SELECT digest_before FROM pushes WHERE serial = $1) WHERE serial = $1")
                .bind(serial)
                .execute(&mut transaction)
                .await?;
            }
            _ => {}
        }
        // It is not to come again by itself.
        sql("DELETE FROM pending_pushes WHERE serial = $1 AND version = $2")
            .bind(serial)
            .bind(to_db(taken.version))
            .execute(&mut transaction)
            .await?;
        sql("UPDATE pushes SET state = 'reverted' WHERE serial = $1 AND push_id = $2")
            .bind(serial)
            .bind(push_id)
            .execute(&mut transaction)
            .await?;
        audit::insert(&mut transaction, &self.sealer, &[line]).await?;
        events::insert(&mut transaction, event.0, event.1).await?;
        transaction.commit().await?;
        Ok(true)
    }
}
