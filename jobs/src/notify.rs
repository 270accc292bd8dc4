//! Notification of a changed list of pending executions: topic `jobs/notify`. `notify-next` is a
//! [`DescribeResponse`](crate::DescribeResponse).

use crate::error::{EmitError, ParseError};
use crate::execution::Summaries;
use crate::json::RawJson;
use crate::json_writer::JsonWriter;
use crate::value::{Fields, MESSAGE};

/// All pending executions.
#[derive(Clone, Copy, Debug)]
pub struct Notify<'a> {
    /// In progress.
    pub in_progress: Summaries<'a>,
    /// Queued.
    pub queued: Summaries<'a>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
}

impl<'a> Notify<'a> {
    /// Parses the notification; the lists are parsed when they are iterated.
    ///
    /// Errors: [`ParseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut fields = Fields::envelope(RawJson::parse(bytes)?, MESSAGE);
        let jobs = fields.raw("jobs");
        fields.needed()?;
        let timestamp = fields.number("timestamp");
        let mut fields = Fields::envelope(jobs.ok_or(ParseError::Missing { field: "jobs" })?, "jobs");
        let notify = Self {
            in_progress: Summaries::read(&mut fields, "IN_PROGRESS"),
            queued: Summaries::read(&mut fields, "QUEUED"),
            timestamp,
        };
        fields.finish().map(|()| notify)
    }

    /// Writes the notification and returns its length. Empty lists are omitted.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = JsonWriter::new(out);
        writer.number("timestamp", self.timestamp);
        writer.open_member("jobs", b"{");
        for (list, key) in [(self.in_progress, "IN_PROGRESS"), (self.queued, "QUEUED")] {
            if !list.is_empty() {
                list.write(&mut writer, key);
            }
        }
        writer.close(b"}");
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// Source: AWS IoT developer guide, "Jobs notifications".
    const GUIDE: &[u8] = br#"{
  "timestamp" : 10011,
  "jobs" : {
    "IN_PROGRESS" : [ {
      "jobId" : "other-job",
      "queuedAt" : 10003,
      "lastUpdatedAt" : 10009,
      "executionNumber" : 1,
      "versionNumber" : 1
    } ],
    "QUEUED" : [ {
      "jobId" : "this-job",
      "queuedAt" : 10011,
      "lastUpdatedAt" : 10011,
      "executionNumber" : 1,
      "versionNumber" : 0
    } ]
  }
}"#;
    /// Source: aws/aws-iot-device-sdk-js-v2, samples/node/jobs/README.md, a session with AWS.
    const TWO: &[u8] = br#"{"timestamp":1719941716,"jobs":{"QUEUED":[{"jobId":"Job1","queuedAt":1719940994,"lastUpdatedAt":1719940994,"executionNumber":1,"versionNumber":1},{"jobId":"Job2","queuedAt":1719941716,"lastUpdatedAt":1719941716,"executionNumber":1,"versionNumber":1}]}}"#;
    /// Source: the same, when the last job is done.
    const EMPTY: &[u8] = br#"{"timestamp":1719948116,"jobs":{}}"#;

    #[test]
    fn the_lists_of_a_real_session_and_of_the_guide_are_read() {
        let notify = Notify::parse(TWO).unwrap();
        let jobs: Vec<_> = notify.queued.iter().map(|line| line.unwrap().job_id).collect();
        assert_eq!(jobs.iter().map(|job| job.as_str()).collect::<Vec<_>>(), ["Job1", "Job2"]);
        assert!(notify.in_progress.is_empty());
        let notify = Notify::parse(GUIDE).unwrap();
        assert_eq!(notify.in_progress.iter().next().unwrap().unwrap().job_id.as_str(), "other-job");
        assert_eq!(notify.queued.iter().next().unwrap().unwrap().version_number, 0);
        let notify = Notify::parse(EMPTY).unwrap();
        assert!(notify.queued.is_empty() && notify.in_progress.is_empty());
    }

    #[test]
    fn what_is_written_is_what_a_real_session_says_to_the_byte() {
        let mut out = [0; 512];
        let len = Notify::parse(EMPTY).unwrap().emit(&mut out).unwrap();
        assert_eq!(&out[..len], EMPTY);
        let lines: Vec<_> = Notify::parse(TWO).unwrap().queued.iter().map(Result::unwrap).collect();
        let notify =
            Notify { in_progress: Summaries::new(&[]), queued: Summaries::new(&lines), timestamp: Some(1_719_941_716) };
        let len = notify.emit(&mut out).unwrap();
        let ours: serde_json::Value = serde_json::from_slice(&out[..len]).unwrap();
        assert_eq!(ours, serde_json::from_slice::<serde_json::Value>(TWO).unwrap());
    }

    #[test]
    fn what_has_no_lists_is_refused_by_name() {
        assert_eq!(Notify::parse(b"{}").err(), Some(ParseError::Missing { field: "jobs" }));
        assert_eq!(Notify::parse(br#"{"jobs":[]}"#).err(), Some(ParseError::WrongType { field: "jobs" }));
        assert_eq!(Notify::parse(br#"{"jobs":{"QUEUED":7}}"#).err(), Some(ParseError::WrongType { field: "QUEUED" }));
    }
}
