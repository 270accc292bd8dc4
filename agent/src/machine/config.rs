//! How the machine behaves, and what no device can run with.

/// How the machine behaves; [`Config::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes of one block: 256..=131,072, and a multiple of 256, so that every flash can write it. Default 4,096.
    pub block_bytes: u32,
    /// Bytes that are asked for at first, before anything is measured. Default 131,072.
    pub window_bytes_start: u32,
    /// How long one answer of the service may take. Default 5 s.
    pub answer_wait_ms: u64,
    /// How long a connected service may send no block before the job fails. Default 5 min.
    pub silence_ms_max: u64,
    /// Progress is reported at least this often. Default 10 s.
    pub progress_every_ms: u64,
    /// And whenever so much of the image has come. Default 5 %.
    pub progress_every_percent: u32,
    /// How long an image may be on trial without a verdict. Default 1 h.
    pub trial_ms_max: u64,
    /// How jobs are found.
    pub discovery: Discovery,
    /// Where the bytes come from when a job offers both.
    pub prefer_http: bool,
}

/// How jobs are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// The service says when its list changes; asked once after each connection.
    Notified,
    /// Also asked this long after the last answer.
    Polled {
        /// In milliseconds.
        every_ms: u64,
    },
}

/// A config that no device can run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// Not 256..=131,072 or not a multiple of 256.
    BlockBytes {
        /// What was set.
        got: u32,
    },
}

impl Config {
    /// The defaults, with blocks of `block_bytes`.
    ///
    /// Errors: [`ConfigError::BlockBytes`]. Source: AWS IoT, MQTT-based file delivery, limits of a block.
    pub const fn new(block_bytes: u32) -> Result<Self, ConfigError> {
        if block_bytes < 256 || block_bytes > 131_072 || !block_bytes.is_multiple_of(256) {
            return Err(ConfigError::BlockBytes { got: block_bytes });
        }
        Ok(Self {
            block_bytes,
            window_bytes_start: 131_072,
            answer_wait_ms: 5_000,
            silence_ms_max: 300_000,
            progress_every_ms: 10_000,
            progress_every_percent: 5,
            trial_ms_max: 3_600_000,
            discovery: Discovery::Notified,
            prefer_http: false,
        })
    }
}
