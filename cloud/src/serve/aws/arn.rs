//! Names of resources in the form of AWS: `arn:aws:iot:REGION:ACCOUNT:TYPE/NAME`. There is one account, and regions have no
//! meaning: those of a request are taken, and those of a response are the client's.

use super::error::AwsError;

/// The account of all resources.
pub const ACCOUNT: &str = "000000000000";

/// A target of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A thing, by name.
    Thing(String),
    /// A group of things, by name.
    Group(String),
}

/// Returns the ARN of a resource of this type, as `thing`, `thinggroup`, `job`.
pub fn arn(region: &str, kind: &str, name: &str) -> String {
    format!("arn:aws:iot:{region}:{ACCOUNT}:{kind}/{name}")
}

/// Returns the name in an ARN of this type.
///
/// Errors: `InvalidRequestException` with the ARN.
pub fn name_in<'a>(arn: &'a str, kind: &str) -> Result<&'a str, AwsError> {
    let found = resource(arn).and_then(|(found, name)| (found == kind).then_some(name));
    found.ok_or_else(|| AwsError::invalid(format!("{arn:?} is not arn:aws:iot:REGION:ACCOUNT:{kind}/NAME")))
}

/// Reads the target of a job.
///
/// Errors: `InvalidRequestException` with the ARN.
pub fn target(arn: &str) -> Result<Target, AwsError> {
    match resource(arn) {
        Some(("thing", name)) => Ok(Target::Thing(name.to_owned())),
        Some(("thinggroup", name)) => Ok(Target::Group(name.to_owned())),
        _ => Err(AwsError::invalid(format!("target {arn:?} is not the ARN of a thing or of a thing group"))),
    }
}

/// Type and name of the resource.
fn resource(arn: &str) -> Option<(&str, &str)> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _partition, "iot", _region, _account, resource] = parts[..] else { return None };
    resource.split_once('/').filter(|(_, name)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_comes_back_as_it_was_and_others_are_refused() {
        assert_eq!(arn("eu-central-1", "thing", "a:b"), "arn:aws:iot:eu-central-1:000000000000:thing/a:b");
        assert_eq!(target(&arn("x", "thing", "a:b")).unwrap(), Target::Thing("a:b".into()));
        assert_eq!(target(&arn("x", "thinggroup", "g")).unwrap(), Target::Group("g".into()));
        for bad in
            ["", "lamp", "arn:aws:s3:::bucket/key", "arn:aws:iot:x:1:job/j", "arn:aws:iot:x:1:thing/", "arn:aws:iot"]
        {
            assert!(target(bad).is_err(), "{bad}");
        }
        assert_eq!(name_in(&arn("x", "job", "j"), "job").unwrap(), "j");
        assert!(name_in(&arn("x", "job", "j"), "jobtemplate").is_err());
    }
}
