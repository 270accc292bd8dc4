//! Output in two columns on a terminal of 80 columns: events of the device, and beside them messages at the service.
//! Without a terminal, the progress bar is printed as separate lines.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

const DEVICE_COLUMNS: usize = 35;
const CLOUD_COLUMNS: usize = 34;
const BAR_COLUMNS: usize = 10;
/// Without a terminal, progress is printed in steps of this many percent.
const PIPED_STEP_PERCENT: u64 = 25;

/// The output.
pub struct Screen {
    since: Instant,
    terminal: bool,
    /// The last line is a progress bar that is redrawn.
    bar: bool,
    piped_percent: u64,
}

/// Progress of a download as reported by the device.
#[derive(Clone, Copy, Debug)]
pub struct Download {
    /// Bytes in flash.
    pub done_bytes: u64,
    /// Total bytes of the image.
    pub total_bytes: u64,
    /// Bytes per second, 0 while unknown.
    pub rate_bytes_per_s: u64,
    /// Milliseconds left, if known.
    pub left_ms: Option<u64>,
}

impl Screen {
    /// Starts the clock of the first column.
    pub fn new() -> Self {
        Self { since: Instant::now(), terminal: io::stdout().is_terminal(), bar: false, piped_percent: 0 }
    }

    /// Prints a line across both columns.
    pub fn say(&mut self, text: &str) {
        self.end_bar();
        println!("{text}");
    }

    /// Prints a title and the heads of the columns.
    pub fn chapter(&mut self, title: &str) {
        self.say("");
        self.say(title);
        self.say(&format!("{:>7} {:<DEVICE_COLUMNS$} | {}", "s", "DEVICE", "CLOUD"));
        self.say(&format!("{:->7} {:-<DEVICE_COLUMNS$} | {:-<CLOUD_COLUMNS$}", "", "", ""));
    }

    /// Prints a row with an event of the device.
    pub fn device(&mut self, text: &str) {
        self.both(text, "");
    }

    /// Prints a row with an event of the cloud.
    pub fn cloud(&mut self, text: &str) {
        self.both("", text);
    }

    /// Prints a row with events of both sides.
    pub fn both(&mut self, device: &str, cloud: &str) {
        self.end_bar();
        let clock = self.clock();
        let (device, cloud) = (wrap(device, DEVICE_COLUMNS), wrap(cloud, CLOUD_COLUMNS));
        for line in 0..device.len().max(cloud.len()) {
            let head = if line == 0 { clock.as_str() } else { "" };
            let part = |column: &[String]| column.get(line).cloned().unwrap_or_default();
            let row = format!("{head:>7} {:<DEVICE_COLUMNS$} | {}", part(&device), part(&cloud));
            println!("{}", row.trim_end());
        }
    }

    /// Shows the progress of a download.
    pub fn download(&mut self, download: Download) {
        let Download { done_bytes, total_bytes, rate_bytes_per_s, left_ms } = download;
        let percent = done_bytes * 100 / total_bytes.max(1);
        let text = self.progress_text(percent, done_bytes, rate_bytes_per_s, left_ms);
        if self.terminal {
            print!("\r{} {text:<DEVICE_COLUMNS$} |", self.clock());
            // An error of the terminal is reported by the next line.
            let _ = io::stdout().flush();
            self.bar = true;
        } else if percent == 100 || percent >= self.piped_percent {
            self.piped_percent =
                if percent == 100 { 0 } else { percent - percent % PIPED_STEP_PERCENT + PIPED_STEP_PERCENT };
            self.device(&text);
        }
    }

    fn progress_text(&self, percent: u64, done_bytes: u64, rate: u64, left_ms: Option<u64>) -> String {
        let full = usize::try_from(percent).unwrap_or(100) * BAR_COLUMNS / 100;
        let bar = format!("{:#<full$}{:.<rest$}", "", "", rest = BAR_COLUMNS - full);
        let left = left_ms.map_or("  ? s".into(), |ms| format!("{}.{} s", ms / 1000, ms % 1000 / 100));
        format!("{bar} {} kB {} MB/s {left}", done_bytes / 1000, rate_text(rate))
    }

    fn clock(&self) -> String {
        format!("{:>7.3}", self.since.elapsed().as_secs_f64())
    }

    fn end_bar(&mut self) {
        if self.bar {
            println!();
            self.bar = false;
        }
    }
}

/// Formats a rate in megabytes per second.
fn rate_text(rate_bytes_per_s: u64) -> String {
    match rate_bytes_per_s {
        0 => "?".into(),
        rate => format!("{}.{}", rate / 1_000_000, rate % 1_000_000 / 100_000),
    }
}

/// Breaks lines at spaces if possible.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let indent = if lines.len() == 1 { 0 } else { 3 };
        let used = lines.last().map_or(0, |line| line.chars().count());
        let first = used == 0 || used == indent;
        if !first && used + 1 + word.chars().count() > columns {
            lines.push("   ".into());
        } else if !first {
            lines.last_mut().expect("there is always one").push(' ');
        }
        for char in word.chars() {
            if lines.last().is_some_and(|line| line.chars().count() == columns) {
                lines.push("   ".into());
            }
            lines.last_mut().expect("there is always one").push(char);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_is_not_known_yet_is_no_number() {
        assert_eq!([0, 1, 25_250_000].map(rate_text), ["?", "0.0", "25.2"]);
    }

    #[test]
    fn text_is_broken_at_spaces_and_no_line_is_too_long() {
        assert_eq!(wrap("-> jobs/a/update IN_PROGRESS", 20), ["-> jobs/a/update", "   IN_PROGRESS"]);
        assert_eq!(wrap("abcdefgh", 5), ["abcde", "   fg", "   h"]);
    }
}
