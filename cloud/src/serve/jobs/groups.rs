//! Groups of things: their names, and the things of a job for groups.

use ota_jobs::ThingName;

use super::admin_error::AdminError;
use crate::limits::THINGS_MAX;
use crate::store::Store;

/// Checks the name of a group. It has the characters of a thing's name.
///
/// Errors: `Bad` with the reason.
pub fn check_name(name: &str) -> Result<(), AdminError> {
    ThingName::new(name).map(drop).map_err(|error| AdminError::Bad(format!("group: {error}")))
}

/// Checks the names of things that join a group.
///
/// Errors: `Bad` with the reason.
pub fn check_things(things: &[String]) -> Result<(), AdminError> {
    if things.len() > THINGS_MAX {
        return Err(AdminError::Bad(format!("{} things, at most {THINGS_MAX}", things.len())));
    }
    let invalid = things.iter().find_map(|thing| ThingName::new(thing).err());
    invalid.map_or(Ok(()), |error| Err(AdminError::Bad(error.to_string())))
}

/// Returns the things of a job: those named, and the members of its groups, each once.
///
/// Errors: `NoGroup`; `Store`.
pub async fn things(store: &Store, named: &[String], groups: &[String]) -> Result<Vec<String>, AdminError> {
    let mut things = named.to_vec();
    let mut seen: std::collections::HashSet<String> = named.iter().cloned().collect();
    for group in groups {
        let members = store.members(group).await?.ok_or_else(|| AdminError::NoGroup(group.clone()))?;
        things.extend(members.into_iter().filter(|thing| seen.insert(thing.clone())));
    }
    Ok(things)
}
