//! The configuration of an agent and its validation.

use ota_jobs::{FieldError, ThingName};

/// The configuration of an agent; [`AgentConfig::new`] has the defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AgentConfig {
    /// The thing whose jobs the agent executes.
    pub thing: ThingName,
    /// Bytes of one block. Default 4,096; [`AgentConfig::with_block_bytes`] sets it.
    pub(crate) block_bytes: u32,
    /// The size of the first window in bytes, before the rate is measured. Default 131,072.
    pub window_bytes_start: u32,
    /// The timeout of a response of the service. Default 5 s.
    pub response_timeout_ms: u64,
    /// How long a connected source may deliver nothing, no part of a block, before the other one is used, or the job fails.
    /// Default 5 min.
    pub silence_ms_max: u64,
    /// The longest interval between two progress reports. Default 10 s.
    pub progress_every_ms: u64,
    /// The part of the image after which progress is reported. Default 5 %.
    pub progress_every_percent: u32,
    /// How long an image may be on trial without a verdict. Default 1 h.
    pub trial_ms_max: u64,
    /// How long the application may prepare for a reset. Default 10 s.
    pub prepare_ms_max: u64,
    /// How jobs are found. Default [`Discovery::Notified`].
    pub discovery: Discovery,
    /// Whether HTTP is used first if a job offers both sources. Default false.
    pub prefer_http: bool,
}

/// How jobs are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Discovery {
    /// The next job is requested after each connection and after each notification.
    Notified,
    /// The next job is also requested this long after the last response.
    Polled {
        /// Milliseconds.
        every_ms: u64,
        /// A random time up to this many milliseconds is added, so that the devices of a fleet do not ask at once.
        jitter_ms: u32,
        /// The most of these requests until the next reset. Those after a connection and after a notification do not count.
        polls_max: Option<u32>,
    },
    /// The next job is requested on command only, and to resume a download that a reset interrupted. Notifications
    /// offer no update, but the application gets the custom job that one brings.
    /// A job whose download the application postponed is not resumed after a reset without a command.
    OnDemand,
}

/// An invalid configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The thing name is empty, too long, or has characters that AWS does not allow.
    ThingName(FieldError),
    /// The block size is not a multiple of 256 in 256..=131,072.
    BlockBytes {
        /// The value.
        got: u32,
    },
}

impl AgentConfig {
    /// The defaults, for the jobs of `thing`.
    ///
    /// Errors: [`ConfigError::ThingName`].
    pub fn new(thing: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            thing: ThingName::new(thing).map_err(ConfigError::ThingName)?,
            block_bytes: 4_096,
            window_bytes_start: 131_072,
            response_timeout_ms: 5_000,
            silence_ms_max: 300_000,
            progress_every_ms: 10_000,
            progress_every_percent: 5,
            trial_ms_max: 3_600_000,
            prepare_ms_max: 10_000,
            discovery: Discovery::Notified,
            prefer_http: false,
        })
    }

    /// Sets how many bytes one block has: a multiple of 256, so that every flash can write it, in 256..=131,072.
    ///
    /// Errors: [`ConfigError::BlockBytes`]. Source: AWS IoT, MQTT-based file delivery, limits of a block.
    pub fn with_block_bytes(self, block_bytes: u32) -> Result<Self, ConfigError> {
        if !(256..=131_072).contains(&block_bytes) || !block_bytes.is_multiple_of(256) {
            return Err(ConfigError::BlockBytes { got: block_bytes });
        }
        Ok(Self { block_bytes, ..self })
    }

    /// Bytes of one block.
    pub fn block_bytes(&self) -> u32 {
        self.block_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_multiples_of_256_up_to_131_072_are_a_block() {
        let config = AgentConfig::new("thing").expect("a plain name");
        for got in [0, 255, 257, 131_073, 131_328] {
            let refused = config.clone().with_block_bytes(got).map(|config| config.block_bytes());
            assert_eq!(refused, Err(ConfigError::BlockBytes { got }));
        }
        for block_bytes in [256, 4_096, 131_072] {
            let taken = config.clone().with_block_bytes(block_bytes).map(|config| config.block_bytes());
            assert_eq!(taken, Ok(block_bytes));
        }
    }
}
