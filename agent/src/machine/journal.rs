//! The journal record of the machine. A format in flash: fixed size, little endian, version first. The platform adds a
//! sequence number and a CRC. Number and time of the execution are 0 if unknown, as in records of agents that did not store
//! them.
//!
//! | bytes | field |
//! |---|---|
//! | 0, 1 | version of the format, phase |
//! | 2, 3 | whether the update is local, length of the job id |
//! | 4..8, 8..12 | fingerprint, size of the image |
//! | 12..16 | receiving: the frontier; else when the execution was queued |
//! | 16, 17, 24..56 | activating: slot, boots, digest |
//! | 16, 17 | succeeded: the slots that ran, each and 1: of the component, of the app if both are of one release; 0 if unknown |
//! | 18..20 | failed: the reason |
//! | 20..24 | the execution number |
//! | 56..120 | the job id |

use ota_jobs::{JobId, Reason};

use super::execution::ExecutionId;

/// The size of an encoded record.
pub const RECORD_BYTES: usize = 120;
const FORMAT: u8 = 1;

const RECEIVING: u8 = 1;
const ACTIVATING: u8 = 2;
const SUCCEEDED: u8 = 3;
const FAILED: u8 = 4;

/// A job that is not settled yet, and its progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The execution. That of a download is known without the time at which it was queued.
    pub execution: ExecutionId,
    /// Started by the application: there is nothing to report.
    pub local: bool,
    /// Identifies file and signature; see [`Plan`](super::Plan).
    pub fingerprint: u32,
    /// Bytes of the whole file.
    pub image_bytes: u32,
    /// SHA-256 of the whole file; only that of an activating job is stored.
    pub digest: [u8; 32],
    /// The progress.
    pub phase: Phase,
    /// What ran when the update succeeded; `None` in another phase, or if it was not stored.
    pub ran: Option<Ran>,
}

/// The slots from which a device runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// That of the component of the job.
    pub slot: u8,
    /// That of the app, if the job updates a system and both are of one release.
    pub app: Option<u8>,
}

/// The progress of a job that a reset must not lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// All bytes before the frontier are in flash.
    Receiving {
        /// Bytes from the start of the file.
        frontier_bytes: u32,
    },
    /// The image is verified; the boot record is being written, or was.
    Activating {
        /// The slot that holds the image.
        slot: u8,
        /// Boots since then in which the boot selector did not start the trial.
        boots: u8,
    },
    /// The outcome, which is yet to be reported.
    Concluded(Outcome),
}

/// The outcome of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The image of the job runs and is confirmed.
    Succeeded,
    /// The job failed.
    Failed(Reason),
}

impl Record {
    /// Encodes the record.
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut out = [0; RECORD_BYTES];
        let ExecutionId { job, number, queued_at } = &self.execution;
        let job = job.as_str().as_bytes();
        out[0] = FORMAT;
        out[2] = self.local as u8;
        out[3] = job.len() as u8;
        out[4..8].copy_from_slice(&self.fingerprint.to_le_bytes());
        out[8..12].copy_from_slice(&self.image_bytes.to_le_bytes());
        out[12..16].copy_from_slice(&queued_at.to_le_bytes());
        out[20..24].copy_from_slice(&number.to_le_bytes());
        out[56..56 + job.len()].copy_from_slice(job);
        out[1] = match self.phase {
            Phase::Receiving { frontier_bytes } => {
                out[12..16].copy_from_slice(&frontier_bytes.to_le_bytes());
                RECEIVING
            }
            Phase::Activating { slot, boots } => {
                out[16] = slot;
                out[17] = boots;
                out[24..56].copy_from_slice(&self.digest);
                ACTIVATING
            }
            Phase::Concluded(Outcome::Succeeded) => {
                if let Some(Ran { slot, app }) = self.ran {
                    out[16] = slot + 1;
                    out[17] = app.map_or(0, |app| app + 1);
                }
                SUCCEEDED
            }
            Phase::Concluded(Outcome::Failed(reason)) => {
                out[18..20].copy_from_slice(&reason.code().to_le_bytes());
                FAILED
            }
        };
        out
    }

    /// Decodes a record; `None` for anything else, such as an empty journal.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; RECORD_BYTES] = bytes.try_into().ok()?;
        if bytes[0] != FORMAT {
            return None;
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let phase = match bytes[1] {
            RECEIVING => Phase::Receiving { frontier_bytes: word(12) },
            ACTIVATING => Phase::Activating { slot: bytes[16], boots: bytes[17] },
            SUCCEEDED => Phase::Concluded(Outcome::Succeeded),
            // A newer agent, whose image was rolled back, may have stored a reason that is unknown here.
            FAILED => Phase::Concluded(Outcome::Failed(
                Reason::from_code(u16::from_le_bytes([bytes[18], bytes[19]])).unwrap_or(Reason::RolledBack),
            )),
            _ => return None,
        };
        let local = bytes[2] != 0;
        let slot = bytes[16].checked_sub(1).filter(|_| bytes[1] == SUCCEEDED);
        let ran = slot.map(|slot| Ran { slot, app: bytes[17].checked_sub(1) });
        let name = core::str::from_utf8(bytes[56..].get(..usize::from(bytes[3]))?).ok()?;
        let queued_at = if matches!(phase, Phase::Receiving { .. }) { 0 } else { word(12) };
        let execution = ExecutionId { job: JobId::new(name).ok()?, number: word(20), queued_at };
        let digest = bytes[24..56].try_into().ok()?;
        Some(Self { execution, local, fingerprint: word(4), image_bytes: word(8), digest, phase, ran })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(phase: Phase) -> Record {
        Record {
            execution: ExecutionId {
                job: JobId::new("AFR_OTA-7").expect("a plain id"),
                number: 2,
                queued_at: 0x1234_5678,
            },
            local: false,
            fingerprint: 0x1122_3344,
            image_bytes: 70_000,
            digest: if matches!(phase, Phase::Activating { .. }) { [0xA5; 32] } else { [0; 32] },
            phase,
            ran: None,
        }
    }

    #[test]
    fn every_phase_comes_back_as_it_was() {
        for phase in [
            Phase::Receiving { frontier_bytes: 65_536 },
            Phase::Activating { slot: 1, boots: 2 },
            Phase::Concluded(Outcome::Succeeded),
            Phase::Concluded(Outcome::Failed(Reason::SelfTestFailed)),
        ] {
            for local in [false, true] {
                let mut record = Record { local, ..record(phase) };
                let decoded = Record::decode(&record.encode());
                if matches!(phase, Phase::Receiving { .. }) {
                    record.execution.queued_at = 0;
                }
                assert_eq!(decoded, Some(record));
            }
        }
        let of = |slot, app| Some(Ran { slot, app });
        for ran in [None, of(0, None), of(1, Some(0)), of(254, Some(254))] {
            let record = Record { ran, ..record(Phase::Concluded(Outcome::Succeeded)) };
            assert_eq!(Record::decode(&record.encode()), Some(record));
        }
    }

    /// An older agent, to which a rollback leads, reads what a newer one stored, and the other way round.
    #[test]
    fn the_bytes_of_version_1_stay_what_they_are() {
        let failed = record(Phase::Concluded(Outcome::Failed(Reason::SelfTestFailed)));
        let bytes = failed.encode();
        assert_eq!(bytes[..12], [1, 4, 0, 9, 0x44, 0x33, 0x22, 0x11, 0x70, 0x11, 1, 0]);
        assert_eq!(bytes[12..24], [0x78, 0x56, 0x34, 0x12, 0, 0, 0x01, 0x06, 2, 0, 0, 0]);
        assert_eq!(&bytes[56..65], b"AFR_OTA-7");
        let mut older = bytes;
        older[12..16].fill(0);
        older[20..24].fill(0);
        let unknown = ExecutionId::of(failed.execution.job.clone());
        assert_eq!(Record::decode(&older), Some(Record { execution: unknown, ..failed }));
    }

    #[test]
    fn a_failure_for_an_unknown_reason_stays_a_failure() {
        let mut bytes = record(Phase::Concluded(Outcome::Failed(Reason::SelfTestFailed))).encode();
        bytes[18..20].fill(0xFF);
        let phase = Record::decode(&bytes).map(|record| record.phase);
        assert_eq!(phase, Some(Phase::Concluded(Outcome::Failed(Reason::RolledBack))));
    }

    #[test]
    fn nothing_else_reads_as_a_record() {
        let good = record(Phase::Concluded(Outcome::Succeeded)).encode();
        assert_eq!(Record::decode(&[]), None);
        assert_eq!(Record::decode(&good[..RECORD_BYTES - 1]), None);
        for (at, value) in [(0, 2), (0, 0xFF), (1, 0), (1, 9), (3, 65), (3, 0)] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(Record::decode(&bad), None, "byte {at} = {value}");
        }
    }
}
