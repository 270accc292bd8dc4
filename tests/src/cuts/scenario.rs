//! The scenarios: the actions of each, and how it must end.

use std::sync::LazyLock;

use ota_agent::Command;
use ota_jobs::{Reason, Status};
use ota_pal::{Component, RollbackCounters, Version};

use crate::job::{Kind, Order, Route};
use crate::sim::{Act, Simulation};

/// Six blocks of 1 KiB, the last one short.
pub(super) const IMAGE_BYTES: u32 = 6_000;
/// Three blocks, the last one short: less than a sector.
const SMALL_IMAGE_BYTES: u32 = 2_600;
/// Larger than the journal's lag: its download resumes after a reset.
const LONG_IMAGE_BYTES: u32 = 70_000;
/// The job of the scenario, and the good one after it.
pub(super) const JOB: &str = "job";
pub(super) const NEXT: &str = "next";
/// One that a revoked key signed.
pub(super) const REVOKED: &str = "revoked";
/// The job that supersedes the scenario's.
pub(super) const NEWER: &str = "newer";

/// An action on the simulation.
pub(super) type Action = fn(&mut Simulation);

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name in a case.
    pub name: &'static str,
    kind: Kind,
    route: Route,
    pub(super) image_bytes: u32,
    /// Values to which its image raises the monotonic record.
    pub(super) asks: RollbackCounters,
    /// What its job updates.
    pub(super) component: Component,
    /// Whether app and system of the device are two components.
    pub(super) system: bool,
    /// Whether its job updates both.
    pub(super) release: bool,
    /// Whether the device has three slots and a factory slot.
    pub(super) factory_slot: bool,
    /// Whether its slots only store images, which are copied to where they run.
    pub(super) staged: bool,
    /// Action during the download, and the number of bytes after which it is performed.
    pub(super) middle: Option<(u32, Action)>,
    /// Action of the user after the update.
    pub(super) after: Option<Action>,
    /// Allowed outcomes under power cuts: status and reason of the job, and the patch of the version that runs.
    pub(super) ends: &'static [(Status, Option<Reason>, u32)],
    /// The patch of the version of the other component at the end, if there are two.
    pub(super) other: u32,
}

impl Scenario {
    /// Whether it corrupts an image in flash: it is not combined with other faults.
    pub fn is_of_damage(&self) -> bool {
        self.name == "damaged"
    }

    /// Whether it takes only a few dozen operations, or a few hundred where images are copied.
    pub fn is_short(&self) -> bool {
        self.image_bytes == IMAGE_BYTES
    }

    /// Whether images are copied in it, which is most of its operations.
    pub fn is_staged(&self) -> bool {
        self.staged
    }
}

pub(super) const NEW: u32 = 2;
pub(super) const OLD: u32 = 1;
const SUCCEEDED: (Status, Option<Reason>, u32) = (Status::Succeeded, None, NEW);

const fn failed(reason: Reason) -> (Status, Option<Reason>, u32) {
    (Status::Failed, Some(reason), OLD)
}

pub(super) const GOOD: Scenario = Scenario {
    name: "good",
    kind: Kind::Good,
    route: Route::Mqtt,
    image_bytes: IMAGE_BYTES,
    asks: RollbackCounters { security_counter: 0, key_epoch: 0 },
    component: Component::App,
    system: false,
    release: false,
    factory_slot: false,
    staged: false,
    middle: None,
    after: None,
    ends: &[SUCCEEDED],
    other: OLD,
};

/// An update of the system, which is a component of its own.
const SYSTEM: Scenario = Scenario { name: "system", component: Component::System, system: true, ..GOOD };

/// An update of app and system in one job.
const RELEASE: Scenario = Scenario { name: "release", release: true, other: NEW, ..SYSTEM };

const STAGED: Scenario = Scenario { name: "staged", staged: true, ..GOOD };

/// All scenarios.
pub const SCENARIOS: [Scenario; 24] = [
    GOOD,
    Scenario { name: "http", route: Route::Http, ..GOOD },
    Scenario { name: "bad", kind: Kind::FailsItsTest, ends: &[failed(Reason::SelfTestFailed)], ..GOOD },
    Scenario { name: "hangs", kind: Kind::HangsInItsTest, ends: &[failed(Reason::SelfTestTimedOut)], ..GOOD },
    // Both outcomes are allowed: an abort is not stored in flash before the job has ended.
    Scenario {
        name: "abort",
        middle: Some((2_048, |sim| sim.act(Act::Command(Command::Abort)))),
        ends: &[failed(Reason::AbortedByUser), SUCCEEDED],
        ..GOOD
    },
    Scenario {
        name: "cancel",
        middle: Some((2_048, |sim| sim.take_back(JOB, Status::Canceled))),
        ends: &[(Status::Canceled, None, OLD)],
        ..GOOD
    },
    Scenario {
        name: "supersede",
        middle: Some((2_048, |sim| {
            sim.take_back(JOB, Status::Canceled);
            sim.create(&order(NEWER, &GOOD, 3));
        })),
        ends: &[(Status::Canceled, None, 3)],
        ..GOOD
    },
    // Nor is any other command before it is carried out.
    Scenario {
        name: "back",
        after: Some(|sim| sim.act(Act::Command(Command::RollBack))),
        ends: &[(Status::Succeeded, None, OLD), SUCCEEDED],
        ..GOOD
    },
    Scenario {
        name: "factory",
        factory_slot: true,
        after: Some(|sim| sim.act(Act::FactoryReset)),
        ends: &[(Status::Succeeded, None, OLD), SUCCEEDED],
        ..GOOD
    },
    // The confirmed image is corrupted: the one before it runs again.
    Scenario {
        name: "damaged",
        after: Some(damage_the_confirmed_image),
        ends: &[(Status::Succeeded, None, OLD)],
        ..GOOD
    },
    Scenario { name: "rotate", asks: RollbackCounters { security_counter: 0, key_epoch: 1 }, ..GOOD },
    Scenario { name: "counter", asks: RollbackCounters { security_counter: 7, key_epoch: 0 }, ..GOOD },
    Scenario {
        name: "erase",
        after: Some(|sim| sim.act(Act::Command(Command::EraseImages(Version::new(1, 0, OLD))))),
        ..GOOD
    },
    Scenario {
        name: "resume",
        image_bytes: LONG_IMAGE_BYTES,
        middle: Some((68_000, |sim| sim.act(Act::Reset))),
        ..GOOD
    },
    Scenario { name: "app", system: true, ..GOOD },
    SYSTEM,
    Scenario { name: "system-bad", kind: Kind::FailsItsTest, ends: &[failed(Reason::SelfTestFailed)], ..SYSTEM },
    // The journal of the one component is emptied before that of the other has a job.
    Scenario {
        name: "system-then-app",
        middle: Some((2_048, |sim| {
            sim.take_back(JOB, Status::Canceled);
            sim.create(&order(NEWER, &GOOD, 3));
        })),
        ends: &[(Status::Canceled, None, OLD)],
        other: 3,
        ..SYSTEM
    },
    RELEASE,
    Scenario {
        name: "release-bad",
        kind: Kind::FailsItsTest,
        ends: &[failed(Reason::SelfTestFailed)],
        other: OLD,
        ..RELEASE
    },
    STAGED,
    Scenario { name: "staged-bad", kind: Kind::FailsItsTest, ends: &[failed(Reason::SelfTestFailed)], ..STAGED },
    Scenario {
        name: "staged-back",
        after: Some(|sim| sim.act(Act::Command(Command::RollBack))),
        ends: &[(Status::Succeeded, None, OLD), SUCCEEDED],
        ..STAGED
    },
    Scenario {
        name: "staged-factory",
        factory_slot: true,
        after: Some(|sim| sim.act(Act::FactoryReset)),
        ends: &[(Status::Succeeded, None, OLD), SUCCEEDED],
        ..STAGED
    },
];

fn damage_the_confirmed_image(sim: &mut Simulation) {
    let device = &sim.device;
    let confirmed = device.record().confirmed;
    // A device that only has its preinstalled image would have none left.
    if confirmed != device.first_slot() {
        device.nor.burn(device.layout.slot(confirmed).offset_bytes(), &[0; 64]);
    }
}

/// The short scenarios with images small enough to run every pair of cuts: their names begin with `small-`.
pub static SMALL_SCENARIOS: LazyLock<Vec<Scenario>> = LazyLock::new(|| {
    let small = |scenario: &Scenario| Scenario {
        name: format!("small-{}", scenario.name).leak(),
        image_bytes: SMALL_IMAGE_BYTES,
        ..scenario.clone()
    };
    SCENARIOS.iter().filter(|scenario| scenario.is_short()).map(small).collect()
});

/// A job of the scenario's kind.
pub(super) fn order(id: &str, scenario: &Scenario, patch: u32) -> Order {
    let Scenario { kind, route, image_bytes, asks, component, .. } = *scenario;
    Order { id: id.into(), kind, route, patch, image_bytes: image_bytes + patch, asks, component, by_next_key: false }
}
