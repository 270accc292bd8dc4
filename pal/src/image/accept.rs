//! Checks whether a device accepts an image, by the image's own header. Job documents are not consulted here.

use crate::image::hardware::HardwareId;
use crate::image::header::Component;
use crate::image::identity::ImageInfo;
use crate::image::slot::SlotId;
use crate::image::version::Version;
use crate::refusal::Refusal;

/// The versions that may replace the running one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionRule {
    /// Only later versions.
    Newer,
    /// Any version, including the same and earlier ones.
    Any,
}

/// The conditions for accepting an image in one slot.
#[derive(Clone, Copy, Debug)]
pub struct AcceptancePolicy<'a> {
    /// The board of the device.
    pub hardware: &'a HardwareId,
    /// The part of the device that is updated.
    pub component: Component,
    /// The running version, `None` if the running program has no header: then every version is newer.
    pub running_version: Option<Version>,
    /// The rule for comparing the versions.
    pub version_rule: VersionRule,
    /// The lowest accepted security counter.
    pub security_counter_min: u32,
    /// The slot that the image is written to.
    pub slot: SlotId,
    /// The version of the system firmware that runs.
    pub system_version: Version,
}

impl ImageInfo {
    /// Checks this image, announced as `image_bytes` long, against the policy. Fields that are not yet available pass.
    ///
    /// # Errors
    /// [`Refusal`] for the first rule broken: component, hardware, slot link, length, security counter, system version,
    /// version.
    pub fn check(&self, accept: &AcceptancePolicy<'_>, image_bytes: u32) -> Result<(), Refusal> {
        if self.component != accept.component {
            return Err(Refusal::WrongComponent { got: self.component });
        }
        if let Some(got) = self.hardware.filter(|got| got != accept.hardware) {
            return Err(Refusal::WrongHardware { got });
        }
        if !self.link.allows(accept.slot) {
            return Err(Refusal::WrongSlotLink { slot: accept.slot });
        }
        if let Some(header) = self.image_bytes.filter(|header| *header != image_bytes) {
            return Err(Refusal::ImageLengthMismatch { announced: image_bytes, header });
        }
        let have = accept.security_counter_min;
        if let Some(got) = self.security_counter.filter(|got| *got < have) {
            return Err(Refusal::SecurityCounterTooLow { have, got });
        }
        let have = accept.system_version;
        if self.system_min > have.major_minor() {
            return Err(Refusal::SystemTooOld { have, min: self.system_min });
        }
        match (accept.version_rule, accept.running_version) {
            (VersionRule::Newer, Some(have)) if self.version <= have => {
                Err(Refusal::VersionNotNewer { have, got: self.version })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::header::{Body, Header, Link};
    use crate::image::version::MajorMinor;

    fn sample() -> ImageInfo {
        ImageInfo::from(Header {
            component: Component::System,
            link: Link::Only(SlotId::B),
            hardware: HardwareId::new("esp32c3-devkit").unwrap(),
            version: Version::new(1, 2, 0x0003_0201),
            security_counter: 5,
            load_address: 0x0801_0200,
            body: Body::new(512, 100_000).unwrap(),
            release_id: 0x1122_3344_5566_7788,
            system_min: MajorMinor::new(2, 1),
        })
    }

    fn accept(hardware: &HardwareId) -> AcceptancePolicy<'_> {
        AcceptancePolicy {
            hardware,
            component: Component::System,
            running_version: Some(Version::new(1, 2, 0)),
            version_rule: VersionRule::Newer,
            security_counter_min: 5,
            slot: SlotId::B,
            system_version: Version::new(2, 1, 0),
        }
    }

    #[test]
    fn a_fitting_image_is_taken() {
        let header = sample();
        assert_eq!(header.check(&accept(header.hardware.as_ref().unwrap()), 100_512), Ok(()));
    }

    #[test]
    fn each_rule_refuses_under_its_own_name() {
        let header = sample();
        let accept = accept(header.hardware.as_ref().unwrap());
        let other = HardwareId::new("esp32c3").unwrap();
        let refused = |accept: AcceptancePolicy<'_>| header.check(&accept, 100_512).unwrap_err();
        assert_eq!(
            refused(AcceptancePolicy { hardware: &other, ..accept }),
            Refusal::WrongHardware { got: header.hardware.unwrap() }
        );
        let app = AcceptancePolicy { component: Component::App, ..accept };
        assert_eq!(refused(app), Refusal::WrongComponent { got: Component::System });
        assert_eq!(refused(AcceptancePolicy { slot: SlotId::A, ..accept }), Refusal::WrongSlotLink { slot: SlotId::A });
        let counter = AcceptancePolicy { security_counter_min: 6, ..accept };
        assert_eq!(refused(counter), Refusal::SecurityCounterTooLow { have: 6, got: 5 });
        for have in [Version::new(2, 0, 9), Version::new(1, 9, 0), Version::default()] {
            let old = AcceptancePolicy { system_version: have, ..accept };
            assert_eq!(refused(old), Refusal::SystemTooOld { have, min: MajorMinor::new(2, 1) });
        }
        let mismatch = header.check(&accept, 100_511);
        assert_eq!(mismatch, Err(Refusal::ImageLengthMismatch { announced: 100_511, header: 100_512 }));
    }

    #[test]
    fn what_an_image_does_not_say_yet_passes() {
        let header = ImageInfo { hardware: None, security_counter: None, image_bytes: None, ..sample() };
        let other = HardwareId::new("other").unwrap();
        let strict = AcceptancePolicy { security_counter_min: u32::MAX, ..accept(&other) };
        assert_eq!(header.check(&strict, 1), Ok(()));
    }

    #[test]
    fn only_a_newer_version_passes_unless_the_rule_is_any() {
        let header = sample();
        for have in [header.version, Version::new(1, 3, 0)] {
            let same = AcceptancePolicy { running_version: Some(have), ..accept(header.hardware.as_ref().unwrap()) };
            let refused = Refusal::VersionNotNewer { have, got: header.version };
            assert_eq!(header.check(&same, 100_512), Err(refused));
            assert_eq!(header.check(&AcceptancePolicy { version_rule: VersionRule::Any, ..same }, 100_512), Ok(()));
        }
        let unknown = AcceptancePolicy { running_version: None, ..accept(header.hardware.as_ref().unwrap()) };
        assert_eq!(header.check(&unknown, 100_512), Ok(()));
    }
}
