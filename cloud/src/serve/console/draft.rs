//! An update as a person enters it: the texts of the form, and the job that they describe.

use std::collections::BTreeSet;

use super::form::Form;
use super::rollout_draft::RolloutDraft;
use crate::api::{NewFile, NewJob, Protocol};
use crate::ids::job_id;

/// Values of the field `protocols`, with their words.
pub const PROTOCOLS: [(&str, &str, &[Protocol]); 4] = [
    ("MQTT", "MQTT stream", &[Protocol::Mqtt]),
    ("HTTP", "HTTP from a signed URL", &[Protocol::Http]),
    ("MQTT,HTTP", "MQTT stream first, or else HTTP", &[Protocol::Mqtt, Protocol::Http]),
    ("HTTP,MQTT", "HTTP first, or else MQTT stream", &[Protocol::Http, Protocol::Mqtt]),
];

/// The texts of the form, as they were entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Job id.
    pub id: String,
    /// Ids of the chosen images.
    pub images: Vec<String>,
    /// Chosen devices.
    pub things: Vec<String>,
    /// Further device names, separated by spaces, commas or line breaks.
    pub names: String,
    /// A value of [`PROTOCOLS`].
    pub protocols: String,
    /// Minutes; empty for no timeout.
    pub timeout: String,
    /// Whether devices are asked not to postpone the update.
    pub forced: bool,
    /// Part of a name: which devices are offered.
    pub filter: String,
    /// Chosen groups.
    pub groups: Vec<String>,
    /// How the update is rolled out.
    pub rollout: RolloutDraft,
}

impl Draft {
    /// An empty form with a new job id.
    pub fn new() -> Self {
        Self {
            id: job_id(),
            images: Vec::new(),
            things: Vec::new(),
            names: String::new(),
            protocols: PROTOCOLS[0].0.to_owned(),
            timeout: String::new(),
            forced: false,
            filter: String::new(),
            groups: Vec::new(),
            rollout: RolloutDraft::default(),
        }
    }

    /// The texts of a form that was sent.
    pub fn read(form: &Form) -> Self {
        Self {
            id: form.text("id").trim().to_owned(),
            images: form.all("image"),
            things: form.all("thing"),
            names: form.text("names").to_owned(),
            protocols: form.text("protocols").to_owned(),
            timeout: form.text("timeout").trim().to_owned(),
            forced: form.text("forced") == "yes",
            filter: form.text("filter").to_owned(),
            groups: form.all("group"),
            rollout: RolloutDraft::read(form),
        }
    }

    /// The job that the form describes; its rules are those of the job service.
    ///
    /// Errors: the reason, for the reader.
    pub fn job(&self) -> Result<NewJob, String> {
        if self.images.is_empty() {
            return Err("Choose an image.".to_owned());
        }
        let things = self.all_things();
        if things.is_empty() && self.groups.is_empty() {
            return Err("Choose a device or a group, or enter the name of a device.".to_owned());
        }
        let protocols = PROTOCOLS.iter().find(|(value, ..)| *value == self.protocols);
        let (.., protocols) = protocols.ok_or("Choose a protocol.")?;
        let timeout_minutes = match self.timeout.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| format!("The timeout is not a number of minutes: {text}"))?),
        };
        let file = |image: &String| NewFile {
            image: image.clone(),
            file_id: None,
            file_path: None,
            key_name: None,
            signature: None,
            file_type: None,
        };
        let files = self.images.iter().map(file).collect();
        let (protocols, forced) = (protocols.to_vec(), self.forced);
        let (groups, config) = (self.groups.clone(), self.rollout.config()?);
        Ok(NewJob { things, groups, files, protocols, timeout_minutes, forced, config, ..NewJob::default() })
    }

    /// Chosen and entered names, each once.
    pub fn all_things(&self) -> Vec<String> {
        let entered = self.names.split(|c: char| c.is_whitespace() || c == ',').filter(|name| !name.is_empty());
        let mut seen = BTreeSet::new();
        let all = self.things.iter().map(String::as_str).chain(entered);
        all.filter(|name| seen.insert(*name)).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        let (images, things) = (vec!["0a".to_owned()], vec!["lamp".to_owned()]);
        Draft { images, things, ..Draft::new() }
    }

    #[test]
    fn a_name_that_is_chosen_and_entered_is_one_device() {
        let names = " door, lamp\r\nfan,, door ".to_owned();
        assert_eq!(Draft { names, ..draft() }.job().unwrap().things, ["lamp", "door", "fan"]);
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let refused = |draft: Draft, word: &str| assert!(draft.job().unwrap_err().contains(word), "{word}");
        refused(Draft { images: vec![], ..draft() }, "image");
        refused(Draft { things: vec![], ..draft() }, "device");
        refused(Draft { protocols: "FTP".into(), ..draft() }, "protocol");
        refused(Draft { timeout: "soon".into(), ..draft() }, "soon");
        let job = Draft { timeout: "30".into(), protocols: "HTTP,MQTT".into(), ..draft() }.job().unwrap();
        assert_eq!((job.timeout_minutes, job.protocols), (Some(30), vec![Protocol::Http, Protocol::Mqtt]));
    }
}
