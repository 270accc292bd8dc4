//! Reports of devices: parsed, and stored in batches by a task of their own, so that many devices that connect at once do not
//! delay the requests of others.

use ota_jobs::JsonStr;
use ota_jobs::report::Report;
use tokio::sync::mpsc;

use super::sessions::Sessions;
use crate::device::DeviceReport;
use crate::limits::{CHANGES_PER_TRANSACTION_MAX, REPORT_BYTES_MAX};
use crate::serve::log::{quote, report_error};
use crate::store::Store;

/// Parses a report that arrived at `at_s`.
///
/// Errors: the reason.
pub fn read(payload: &[u8], at_s: u64) -> Result<DeviceReport, String> {
    if payload.len() > REPORT_BYTES_MAX {
        return Err(format!("{} bytes, at most {REPORT_BYTES_MAX}", payload.len()));
    }
    let report = Report::parse(payload).map_err(|error| error.to_string())?;
    Ok(DeviceReport {
        available: report.available,
        reason: report.reason.and_then(text),
        hardware: report.hardware.and_then(text),
        version: report.version.and_then(text),
        system_version: report.system_version.and_then(text),
        security_counter: report.security_counter,
        at_s,
    })
}

/// A text without control characters; none if it is empty.
fn text(text: JsonStr<'_>) -> Option<String> {
    let text: String = text.chars().collect();
    (!text.is_empty()).then(|| quote(text.as_bytes()))
}

/// Stores what arrives until all senders are dropped. A device that becomes available has what it waits for, as with a session.
///
/// # Cancel safety
///
/// Reports that were received and are not stored are lost; devices repeat them with their next connection.
pub async fn store(store: Store, sessions: Sessions, mut inbox: mpsc::Receiver<(String, DeviceReport)>) {
    let mut batch = Vec::new();
    while inbox.recv_many(&mut batch, CHANGES_PER_TRANSACTION_MAX).await > 0 {
        match store.save_reports(&batch).await {
            Ok((available_again, dropped)) => {
                if dropped > 0 {
                    report_error(format_args!("{dropped} reports of devices are dropped: too many devices have one"));
                }
                for thing in available_again {
                    sessions.begin(thing).await;
                }
            }
            Err(error) => report_error(format_args!("{} reports of devices are lost: {error}", batch.len())),
        }
        batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_bounded_and_has_no_control_characters() {
        let report = read(br#"{"available":false,"reason":"a\nb","hardware":""}"#, 7).unwrap();
        assert_eq!((report.reason.as_deref(), report.hardware, report.at_s), (Some("a.b"), None, 7));
        let long = format!(r#"{{"available":true,"x":"{}"}}"#, "x".repeat(REPORT_BYTES_MAX));
        assert!(read(long.as_bytes(), 0).unwrap_err().contains("at most 4096"));
        assert!(read(b"{}", 0).unwrap_err().contains("available"));
    }
}
