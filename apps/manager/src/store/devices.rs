//! The inventory: which firewalls enrolled, what was pushed to them, what do they enforce?

use super::db::sql;
use super::{Store, auth_keys, from_db, now_us, pending};

/// Devices the manager keeps.
pub(crate) const DEVICES_MAX: i64 = 20_000;

/// An enrolled device.
#[derive(Clone, Debug, Default, sqlx::FromRow)]
pub(crate) struct Device {
    /// `BZT` and 12 digits, or what it was called before.
    pub(crate) serial: String,
    /// SHA-256, hex, of its certificate.
    pub(crate) certificate_digest: String,
    /// When that certificate ends.
    pub(crate) certificate_expiry_us: i64,
    /// As it says.
    pub(crate) hostname: String,
    /// As it says.
    pub(crate) software_version: String,
    /// As it says.
    pub(crate) management_address: String,
    /// When it came first.
    pub(crate) enrolled_us: i64,
    /// When it was heard last.
    pub(crate) last_seen_us: i64,
    /// Version whose policy it was pushed last.
    pub(crate) policy_version: Option<i64>,
    /// Version whose templates it was pushed last.
    pub(crate) template_version: Option<i64>,
    /// Digest of the configuration it accepted last.
    pub(crate) pushed_digest: String,
    /// When that was.
    pub(crate) pushed_us: Option<i64>,
    /// Digest of what it says it enforces.
    pub(crate) running_digest: String,
}

/// What became of an enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enrolment {
    /// The device is in the inventory.
    Done,
    /// The auth key is unknown, expired or used up.
    WrongKey,
    /// The serial is another device's, or this one's from before.
    Taken,
    /// There is no room.
    Full,
}

impl Store {
    /// Every enrolled device, by serial.
    pub(crate) async fn devices(&self) -> sqlx::Result<Vec<Device>> {
        sql("SELECT * FROM devices ORDER BY serial").fetch_all(&self.reader).await
    }

    /// One device. Read through the writer, so that what was just stored is seen.
    pub(crate) async fn device(&self, serial: &str) -> sqlx::Result<Option<Device>> {
        sql("SELECT * FROM devices WHERE serial = $1").bind(serial).fetch_optional(&self.writer).await
    }

    /// Takes a use of the auth key and records the enrolment, or does neither. What was pushed to a device of
    /// that serial before stays known.
    pub(crate) async fn enrol_device(&self, device: &Device, secret: &str) -> sqlx::Result<Enrolment> {
        let mut transaction = self.writer.begin().await?;
        if !auth_keys::use_key(&mut transaction, secret).await? {
            return Ok(Enrolment::WrongKey);
        }
        let allowed: Option<(i64,)> = sql("SELECT re_enrol FROM devices WHERE serial = $1")
            .bind(&device.serial)
            .fetch_optional(&mut transaction)
            .await?;
        if allowed == Some((0,)) {
            return Ok(Enrolment::Taken);
        }
        let others: i64 = sql("SELECT count(*) FROM devices WHERE serial <> $1")
            .bind(&device.serial)
            .fetch_value(&mut transaction)
            .await?;
        if others >= DEVICES_MAX {
            return Ok(Enrolment::Full);
        }
        sql("INSERT INTO devices (serial, certificate_digest, certificate_expiry_us, hostname, software_version, \
             management_address, enrolled_us, last_seen_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (serial) DO UPDATE SET certificate_digest = excluded.certificate_digest, \
             certificate_expiry_us = excluded.certificate_expiry_us, hostname = excluded.hostname, \
             software_version = excluded.software_version, enrolled_us = excluded.enrolled_us, \
             last_seen_us = excluded.last_seen_us, re_enrol = 0, next_certificate_digest = ''")
        .bind(&device.serial)
        .bind(&device.certificate_digest)
        .bind(device.certificate_expiry_us)
        .bind(&device.hostname)
        .bind(&device.software_version)
        .bind(&device.management_address)
        .bind(device.enrolled_us)
        .bind(device.last_seen_us)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(Enrolment::Done)
    }

    /// Notes the certificate that a device is about to get in the place of this one. `false`: this one is not the
    /// device's.
    pub(crate) async fn offer_certificate(
        &self,
        serial: &str,
        present_digest: &str,
        (digest, expiry_us): (&str, i64),
    ) -> sqlx::Result<bool> {
        let done = sql("UPDATE devices SET next_certificate_digest = $1, next_certificate_expiry_us = $2 \
             WHERE serial = $3 AND certificate_digest = $4")
        .bind(digest)
        .bind(expiry_us)
        .bind(serial)
        .bind(present_digest)
        .execute(&self.writer)
        .await?;
        Ok(done == 1)
    }

    /// A device uses the certificate that it was given last: the one before ends. `false`: it was not given this one.
    pub(crate) async fn adopt_certificate(&self, serial: &str, digest: &str) -> sqlx::Result<bool> {
        let done = sql("UPDATE devices SET certificate_digest = next_certificate_digest, \
             certificate_expiry_us = next_certificate_expiry_us, next_certificate_digest = '' \
             WHERE serial = $1 AND next_certificate_digest = $2 AND next_certificate_digest <> ''")
        .bind(serial)
        .bind(digest)
        .execute(&self.writer)
        .await?;
        Ok(done == 1)
    }

    /// Lets the next device that names this serial have it. `false`: no such device.
    pub(crate) async fn allow_re_enrolment(&self, serial: &str) -> sqlx::Result<bool> {
        let done = sql("UPDATE devices SET re_enrol = 1 WHERE serial = $1").bind(serial).execute(&self.writer).await?;
        Ok(done == 1)
    }

    /// Forgets a device, and with it the certificate that may attach; its logs stay. `false`: no such device.
    pub(crate) async fn remove_device(&self, serial: &str) -> sqlx::Result<bool> {
        let mut transaction = self.writer.begin().await?;
        let done = sql("DELETE FROM devices WHERE serial = $1").bind(serial).execute(&mut transaction).await?;
        sql("DELETE FROM log_positions WHERE serial = $1").bind(serial).execute(&mut transaction).await?;
        sql("DELETE FROM pushes WHERE serial = $1").bind(serial).execute(&mut transaction).await?;
        pending::forget_device(&mut transaction, serial).await?;
        transaction.commit().await?;
        Ok(done == 1)
    }

    /// Records what an attaching device says of itself.
    pub(crate) async fn greet_device(
        &self,
        serial: &str,
        hostname: &str,
        software_version: &str,
        management_address: &str,
        running_digest: &str,
    ) -> sqlx::Result<()> {
        sql("UPDATE devices SET hostname = $1, software_version = $2, management_address = $3, running_digest = $4, \
             last_seen_us = $5 WHERE serial = $6")
        .bind(hostname)
        .bind(software_version)
        .bind(management_address)
        .bind(running_digest)
        .bind(now_us())
        .bind(serial)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Records that a device was heard.
    pub(crate) async fn touch_device(&self, serial: &str) -> sqlx::Result<()> {
        sql("UPDATE devices SET last_seen_us = $1 WHERE serial = $2")
            .bind(now_us())
            .bind(serial)
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

impl Device {
    /// Version of the policy that was pushed last.
    pub(crate) fn policy_version(&self) -> Option<u64> {
        self.policy_version.map(from_db)
    }

    /// Version of the templates that were pushed last.
    pub(crate) fn template_version(&self) -> Option<u64> {
        self.template_version.map(from_db)
    }
}
