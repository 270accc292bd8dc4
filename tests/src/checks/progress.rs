//! Checks of download progress: its values, its reports, and where a download resumes after a reset.

use ota_agent::Progress;
use ota_agent::machine::Notice;
use ota_jobs::{Status, Topic, Update};

use super::Checks;

/// Steps of five per cent in a whole.
const STEPS: usize = 20;
const REPORT_EVERY_MS: u64 = 10_000;

/// State of the current download.
#[derive(Default)]
pub(super) struct Pacing {
    /// Bytes of the image that is being fetched, which identify it.
    image_bytes: u32,
    /// Bytes downloaded before the last reset.
    reached_bytes: u32,
    done_bytes: u32,
    started_ms: u64,
    /// Distinct progress values reported to the service in this boot.
    reported: Vec<String>,
    rebooted: bool,
}

impl Pacing {
    pub(super) fn booted(&mut self) {
        self.reached_bytes = self.reached_bytes.max(self.done_bytes);
        self.done_bytes = 0;
        self.reported.clear();
        self.rebooted = true;
    }

    fn forget(&mut self) {
        *self = Self { reported: std::mem::take(&mut self.reported), ..Self::default() };
    }
}

impl Checks {
    pub(super) fn progress_never_falls_and_never_passes_the_whole(&mut self, progress: Progress) {
        let Progress { done_bytes, total_bytes, .. } = progress;
        if done_bytes < self.pace.done_bytes || done_bytes > total_bytes {
            let what = format!("{done_bytes} of {total_bytes} after {}", self.pace.done_bytes);
            self.violated("progress never falls and never passes the whole", what);
        }
        self.pace.done_bytes = done_bytes;
    }

    /// After a reset at most a window and a sector are fetched again.
    pub(super) fn a_download_goes_on_where_the_reset_found_it(&mut self, notice: Notice, now_ms: u64) {
        match notice {
            Notice::UpdateAvailable { image_bytes } if image_bytes != self.pace.image_bytes => {
                self.pace.forget();
                self.pace.image_bytes = image_bytes;
            }
            Notice::DownloadStarted { resumed_bytes } => self.resumed(resumed_bytes, now_ms),
            // Without a job there is nothing to resume.
            Notice::Concluded(_) | Notice::Cancelled | Notice::Settled | Notice::NoUpdate => self.pace.forget(),
            _ => {}
        }
    }

    fn resumed(&mut self, resumed_bytes: u32, now_ms: u64) {
        let again_max = self.window_bytes + self.sector_bytes;
        let reached_bytes = self.pace.reached_bytes;
        if self.pace.rebooted && reached_bytes.saturating_sub(resumed_bytes) > again_max {
            let what = format!("at {resumed_bytes} after {reached_bytes}, at most {again_max} again");
            self.violated("a download goes on where the reset found it", what);
        }
        self.pace.done_bytes = resumed_bytes;
        self.pace.started_ms = now_ms;
        self.pace.reported.clear();
    }

    /// By count, because an update may be delayed: at most one per step and per interval, plus the first and the last one.
    pub(super) fn progress_is_reported_every_five_per_cent_or_ten_seconds(
        &mut self,
        topic: &str,
        payload: &[u8],
        now_ms: u64,
    ) {
        let Some(receive) = receive_of(topic, payload) else { return };
        if self.pace.reported.contains(&receive) {
            return; // a retransmission: its response was lost
        }
        self.pace.reported.push(receive);
        let waits = (now_ms - self.pace.started_ms.min(now_ms)) / REPORT_EVERY_MS;
        let reported_max = 2 + STEPS + waits as usize;
        if self.pace.reported.len() > reported_max {
            let what = format!("{} updates, at most {reported_max}", self.pace.reported.len());
            self.violated("progress is reported every five per cent or ten seconds", what);
        }
    }
}

/// The received blocks that an update reports.
fn receive_of(topic: &str, payload: &[u8]) -> Option<String> {
    let Ok((_, Topic::Jobs(ota_jobs::JobsTopic::Update(_, None)))) = Topic::parse(topic) else { return None };
    let update = Update::parse(payload).ok().filter(|update| update.status == Status::InProgress)?;
    let receive = update.status_details?.member("receive").ok()??.text("receive").ok()?;
    receive.as_plain().map(str::to_owned)
}
