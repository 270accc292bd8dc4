//! Parameters of a simulation.

use ota_agent::AgentConfig;

use crate::nor::{Chip, PLAIN};

/// Parameters of a simulation.
pub struct Setup {
    /// The thing's name.
    pub thing: String,
    /// The agent's settings.
    pub config: AgentConfig,
    /// The flash.
    pub chip: Chip,
    /// Sectors of a slot.
    pub slot_sectors: usize,
    /// Whether there are three slots and a factory slot, instead of two.
    pub factory_slot: bool,
    /// Whether slots only store images, which run from a region of their own.
    pub staged: bool,
    /// Whether the system is a component of its own, with slots of its own.
    pub system: bool,
    /// Whether signatures are P-256.
    pub real_signatures: bool,
    /// The seed of all random choices.
    pub seed: u64,
}

impl Setup {
    /// A small device with the agent's defaults and blocks of 1 KiB; trials end after a minute.
    pub fn new(seed: u64) -> Self {
        let mut config = AgentConfig::new("thing").and_then(|config| config.with_block_bytes(1_024)).expect("valid");
        config.trial_ms_max = 60_000;
        let thing = "thing".into();
        let (factory_slot, staged, system, real_signatures) = (false, false, false, false);
        Self { thing, config, chip: PLAIN, slot_sectors: 40, factory_slot, staged, system, real_signatures, seed }
    }
}
