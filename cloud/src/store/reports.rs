//! Devices: their last reports, and the hardware that a person set.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::jobs::insert_things;
use super::{PageNumber, Paged, Store, StoreError, Tx, events, flag, int, uint};
use crate::device::{Device, DeviceReport};
use crate::limits::REPORTS_MAX;
use crate::model::AuditNote;

/// Columns of a device, in the order that [`device`] reads them.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT t.name, t.pinned_at_s, t.hardware, r.available, r.reason, r.hardware, r.version, ",
            "r.system_version, r.security_counter, r.at_s FROM things t LEFT JOIN reports r ON r.thing = t.name ",
            $rest
        )
    };
}

impl Store {
    /// Replaces the reports of devices, in one transaction; returns those of them that were not available and are now. Reports
    /// of further devices than [`REPORTS_MAX`] are dropped; returns their number, too.
    ///
    /// Errors: nothing was changed.
    pub async fn save_reports(&self, reports: &[(String, DeviceReport)]) -> Result<(Vec<String>, u64), StoreError> {
        let mut tx = self.pool.begin().await?;
        let (mut available_again, mut dropped) = (Vec::new(), 0);
        for (thing, report) in reports {
            match save(&mut tx, thing, report).await? {
                Saved::AvailableAgain => available_again.push(thing.clone()),
                Saved::Other => {}
                Saved::Full => dropped += 1,
            }
        }
        tx.commit().await?;
        Ok((available_again, dropped))
    }

    /// Sets the hardware of a device that reports none, or forgets it; `by`: the account or token that does it.
    pub async fn set_hardware(
        &self,
        thing: &str,
        hardware: Option<&str>,
        by: &str,
        now_s: u64,
    ) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        insert_things(&mut tx, &[thing.to_owned()], now_s).await?;
        sqlx::query("UPDATE things SET hardware = $2 WHERE name = $1")
            .bind(thing)
            .bind(hardware)
            .execute(&mut *tx)
            .await?;
        let text = hardware.map_or("hardware is not set".to_owned(), |hardware| format!("hardware set to {hardware}"));
        let note = AuditNote::new("thing", text).by(by).of_thing(thing);
        let seq = events::add(&mut tx, &note).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(())
    }

    /// Returns those of these devices that the store has, sorted by name.
    pub async fn devices(&self, things: &[String]) -> Result<Vec<Device>, StoreError> {
        let rows = sqlx::query(select!("WHERE t.name IN (SELECT value FROM json_each($1)) ORDER BY t.name"))
            .bind(serde_json::json!(things).to_string())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(device).collect()
    }

    /// Returns a page of the devices whose name contains `part`, sorted.
    pub async fn devices_page(&self, part: &str, page: PageNumber) -> Result<Paged<Device>, StoreError> {
        let Paged { rows, has_next } = self.things_page(part, page).await?;
        Ok(Paged { rows: self.devices(&rows).await?, has_next })
    }
}

/// What a report changed.
enum Saved {
    /// The device was not available, and is now.
    AvailableAgain,
    Other,
    /// It would be the first of a device, and is not stored.
    Full,
}

async fn save(tx: &mut Tx<'_>, thing: &str, report: &DeviceReport) -> Result<Saved, StoreError> {
    let find = sqlx::query("SELECT available FROM reports WHERE thing = $1").bind(thing);
    let before = find.fetch_optional(&mut **tx).await?.map(|row| flag(&row, 0)).transpose()?;
    if before.is_none() {
        let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM reports").fetch_one(&mut **tx).await?;
        if count >= REPORTS_MAX {
            return Ok(Saved::Full);
        }
        insert_things(tx, &[thing.to_owned()], report.at_s).await?;
    }
    sqlx::query(
        "INSERT INTO reports (thing, available, reason, hardware, version, system_version, security_counter, at_s)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (thing) DO UPDATE SET available = $2, reason = $3,
         hardware = $4, version = $5, system_version = $6, security_counter = $7, at_s = $8",
    )
    .bind(thing)
    .bind(i64::from(report.available))
    .bind(report.reason.as_deref())
    .bind(report.hardware.as_deref())
    .bind(report.version.as_deref())
    .bind(report.system_version.as_deref())
    .bind(report.security_counter.map(i64::from))
    .bind(int(report.at_s))
    .execute(&mut **tx)
    .await?;
    Ok(if before == Some(false) && report.available { Saved::AvailableAgain } else { Saved::Other })
}

fn device(row: &AnyRow) -> Result<Device, StoreError> {
    let available: Option<i64> = row.try_get(3)?;
    let report = available.map(|available| report(row, available != 0)).transpose()?;
    let pinned = row.try_get::<Option<i64>, _>(1)?.is_some();
    let (thing, set_hardware) = (row.try_get(0)?, row.try_get(2)?);
    Ok(Device { thing, pinned, set_hardware, report, ..Device::default() })
}

fn report(row: &AnyRow, available: bool) -> Result<DeviceReport, StoreError> {
    let counter: Option<i64> = row.try_get(8)?;
    let counter = counter.map(u32::try_from).transpose();
    Ok(DeviceReport {
        available,
        reason: row.try_get(4)?,
        hardware: row.try_get(5)?,
        version: row.try_get(6)?,
        system_version: row.try_get(7)?,
        security_counter: counter.map_err(|_| StoreError::Damaged { column: "security_counter" })?,
        at_s: uint(row.try_get(9)?, "at_s")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_each_database;

    #[tokio::test]
    async fn the_last_report_counts_and_a_reported_hardware_more_than_one_that_was_set() {
        on_each_database(async |store| {
            store.set_hardware("lamp", Some("set"), "ann", 1).await.unwrap();
            let name = ["lamp".to_owned()];
            assert_eq!(store.devices(&name).await.unwrap()[0].hardware(), Some("set"));
            let held = DeviceReport { reason: Some("pump".into()), at_s: 5, ..DeviceReport::default() };
            let save = async |report: &DeviceReport| {
                store.save_reports(&[("lamp".to_owned(), report.clone())]).await.unwrap().0.len()
            };
            assert_eq!(save(&held).await, 0);
            let free = DeviceReport {
                available: true,
                hardware: Some("reported".into()),
                security_counter: Some(u32::MAX),
                at_s: 6,
                ..DeviceReport::default()
            };
            assert!(store.devices(&name).await.unwrap()[0].is_unavailable());
            assert_eq!(
                (save(&free).await, save(&free).await),
                (1, 0),
                "it was not available before the first one only"
            );
            let lamp = store.devices_page("am", PageNumber::FIRST).await.unwrap().rows.remove(0);
            assert_eq!((lamp.hardware(), lamp.report.as_ref()), (Some("reported"), Some(&free)));
        })
        .await;
    }
}
