//! Tests the rules of releases on ten thousand devices in virtual time: a model of the devices, and no store, socket or clock.

use std::collections::BTreeMap;
use std::time::Duration;

use ota_jobs::Status;

use super::halt;
use super::rollout::{self, Pace};
use crate::health::Health;
use crate::job_config::{ExponentialRate, RateIncreaseCriteria, RolloutConfig};
use crate::limits::CHANGES_PER_TRANSACTION_MAX;
use crate::model::Counts;
use crate::release_plan::HaltRule;

const DEVICES: u64 = 10_000;
/// Devices on which the image fails. Unit: of a hundred.
const BAD_PERCENT: u64 = 5;

/// A sequence of numbers from a seed: splitmix64, <https://prng.di.unimi.it/splitmix64.c>.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn between(&mut self, min: u64, max: u64) -> u64 {
        min + self.next() % (max - min + 1)
    }
}

/// What became of a device that got the release.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Succeeds,
    FailsSelfTest,
    /// Starts, and reports nothing more.
    GoesSilent,
}

struct Device {
    fate: Fate,
    /// When it starts. Unit: seconds.
    starts_s: u64,
    /// When it reports the outcome, if it does.
    ends_s: u64,
}

/// What a release did.
#[derive(Debug, Default)]
struct Ended {
    reason: Option<String>,
    reached: u64,
    /// Devices that got the image and on which it fails, also those that it has not failed on yet.
    harmed: u64,
}

/// Runs a release for a day at most. Of the devices, `bad` of a hundred have this fate, the others succeed.
fn run(seed: u64, config: &RolloutConfig, rule: &HaltRule, bad: u64, fate: Fate) -> Ended {
    let (mut dice, mut pace, mut devices) = (Dice(seed), Pace::default(), Vec::<Device>::new());
    for now_s in 0..24 * 3600 {
        let health = health(&devices, rule, now_s);
        if let Some(reason) = halt::reason(rule, &health, Duration::from_secs(now_s)) {
            let harmed = devices.iter().filter(|device| device.fate != Fate::Succeeds && device.starts_s <= now_s);
            return Ended { reason: Some(reason), reached: devices.len() as u64, harmed: harmed.count() as u64 };
        }
        if health.counts.is_ended() {
            break;
        }
        let rate = rollout::rate_per_minute(config, &health.counts);
        let due = pace.due(rate, Duration::from_secs(1), CHANGES_PER_TRANSACTION_MAX) as u64;
        for _ in 0..due.min(DEVICES - devices.len() as u64) {
            let is_bad = dice.between(1, 100) <= bad;
            let starts_s = now_s + dice.between(0, 20);
            let ends_s = starts_s + dice.between(60, 300);
            devices.push(Device { fate: if is_bad { fate } else { Fate::Succeeds }, starts_s, ends_s });
        }
    }
    let harmed = devices.iter().filter(|device| device.fate != Fate::Succeeds).count() as u64;
    Ended { reason: None, reached: devices.len() as u64, harmed }
}

fn health(devices: &[Device], rule: &HaltRule, now_s: u64) -> Health {
    let mut health = Health::default();
    let mut executions: BTreeMap<&'static str, u64> = BTreeMap::new();
    for device in devices {
        let is_silent = device.fate == Fate::GoesSilent;
        let status = match device.fate {
            _ if now_s < device.starts_s => Status::Queued,
            _ if is_silent || now_s < device.ends_s => Status::InProgress,
            Fate::FailsSelfTest => Status::Failed,
            _ => Status::Succeeded,
        };
        health.self_test_failed += u64::from(status == Status::Failed);
        health.begun += u64::from(device.starts_s + rule.silent_minutes * 60 <= now_s);
        health.silent += u64::from(is_silent && now_s >= device.starts_s + rule.silent_minutes * 60);
        *executions.entry(status.as_str()).or_default() += 1;
    }
    health.counts = Counts { waiting: DEVICES - devices.len() as u64, executions };
    health
}

/// The rate of the example in docs/releases.md.
fn careful() -> RolloutConfig {
    RolloutConfig {
        maximum_per_minute: Some(1000),
        exponential_rate: Some(ExponentialRate {
            base_rate_per_minute: 20,
            increment_factor: 2.0,
            rate_increase_criteria: RateIncreaseCriteria::Succeeded(500),
        }),
    }
}

#[test]
fn an_image_that_fails_on_one_in_twenty_is_halted_before_two_in_a_hundred_are_harmed() {
    let rule = HaltRule::default();
    let mut worst = 0;
    for seed in 0..100 {
        let ended = run(seed, &careful(), &rule, BAD_PERCENT, Fate::FailsSelfTest);
        assert!(ended.reason.as_ref().is_some_and(|reason| reason.contains("self-test")), "{seed}: {ended:?}");
        assert!(ended.harmed * 100 < DEVICES * 2, "{seed}: {ended:?}");
        worst = worst.max(ended.harmed);
    }
    println!("of {DEVICES} devices, at most {worst} were harmed");
}

#[test]
fn an_image_that_goes_silent_on_one_in_twenty_is_halted_too() {
    let rule = HaltRule { silent_percent: Some(3.0), silent_minutes: 10, ..HaltRule::default() };
    for seed in 0..20 {
        let ended = run(seed, &careful(), &rule, BAD_PERCENT, Fate::GoesSilent);
        assert!(ended.reason.as_ref().is_some_and(|reason| reason.contains("reported nothing")), "{seed}: {ended:?}");
        assert!(ended.harmed * 100 < DEVICES * 2, "{seed}: {ended:?}");
    }
}

#[test]
fn a_good_image_reaches_all_devices() {
    let rule = HaltRule::default();
    for seed in 0..5 {
        let ended = run(seed, &careful(), &rule, 0, Fate::FailsSelfTest);
        assert_eq!((ended.reason, ended.reached, ended.harmed), (None, DEVICES, 0), "{seed}");
    }
}
