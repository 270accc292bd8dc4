//! Groups of things, without a hierarchy.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arn::{arn, name_in};
use super::authenticate::Caller;
use super::error::{AwsError, Code};
use super::jobs::known_things;
use super::paging::Paging;
use super::request::{Body, Names, Parameters};
use super::things::Empty;
use crate::clock::now_s;
use crate::model::Group;
use crate::serve::http::app::App;
use crate::serve::jobs::admin_error::AdminError;
use crate::serve::jobs::changes::check_text;
use crate::serve::jobs::groups::check_name;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/thing-groups", get(list))
        .route("/thing-groups/addThingToThingGroup", put(add))
        .route("/thing-groups/removeThingFromThingGroup", put(remove))
        .route("/thing-groups/{name}", post(create).get(describe).delete(delete))
        .route("/thing-groups/{name}/things", get(things))
        .route("/things/{thing}/thing-groups", get(of_thing))
}

/// CreateThingGroup.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateGroup {
    #[serde(default)]
    thing_group_properties: Properties,
    parent_group_name: Option<Value>,
    /// Tags of the account's resources; they have no effect, and are not kept.
    #[serde(default, rename = "tags")]
    _tags: Value,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Properties {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thing_group_description: Option<String>,
}

/// A group, by name and ARN.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    thing_group_arn: String,
    thing_group_name: String,
}

impl Created {
    fn new(region: &str, name: String) -> Self {
        Self { thing_group_arn: arn(region, "thinggroup", &name), thing_group_name: name }
    }
}

async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(name): Names<String>,
    Body(request): Body<CreateGroup>,
) -> Result<Json<Created>, AwsError> {
    check_name(&name)?;
    if request.parent_group_name.is_some() {
        return Err(AwsError::invalid("parentGroupName is not offered here"));
    }
    let description = request.thing_group_properties.thing_group_description;
    check_text("thingGroupDescription", description.as_deref())?;
    let group = Group { name, description, created_at_s: now_s() };
    if !app.store.create_group_with(&group, &caller.key_id).await? {
        // As at AWS, the same request again is not an error.
        let stored = app.store.group(&group.name).await?;
        if stored.is_none_or(|stored| stored.description != group.description) {
            let message = format!("there is a group {} with another description", group.name);
            return Err(AwsError::new(Code::ResourceAlreadyExists, message));
        }
    }
    Ok(Json(Created::new(&caller.region, group.name)))
}

/// DescribeThingGroup.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    #[serde(flatten)]
    group: Created,
    version: u64,
    thing_group_properties: Properties,
    thing_group_metadata: Metadata,
}

/// Seconds since 1970.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    creation_date: u64,
}

async fn stored(app: &App, name: String) -> Result<Group, AwsError> {
    Ok(app.store.group(&name).await?.ok_or(AdminError::NoGroup(name))?)
}

async fn describe(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(name): Names<String>,
) -> Result<Json<Described>, AwsError> {
    let group = stored(&app, name).await?;
    Ok(Json(Described {
        group: Created::new(&caller.region, group.name),
        version: 1,
        thing_group_properties: Properties { thing_group_description: group.description },
        thing_group_metadata: Metadata { creation_date: group.created_at_s },
    }))
}

/// As at AWS, a group that does not exist is no error.
async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(name): Names<String>,
) -> Result<Json<Empty>, AwsError> {
    app.jobs.delete_group(name, &caller.key_id).await?;
    Ok(Json(Empty {}))
}

/// Query of ListThingGroups.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    #[serde(default)]
    name_prefix_filter: String,
    /// There are no groups in groups.
    #[serde(default, rename = "recursive")]
    _recursive: bool,
    max_results: Option<u64>,
    next_token: Option<String>,
}

/// A page of groups.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupPage {
    thing_groups: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    group_name: String,
    group_arn: String,
}

async fn page(
    app: &App,
    caller: &Caller,
    prefix: &str,
    member: Option<&str>,
    paging: &Paging,
) -> Result<Json<GroupPage>, AwsError> {
    let after: String = paging.after()?.unwrap_or_default();
    let rows = app.store.listed_groups(prefix, member, &after, paging.limit()?).await?;
    let (rows, next_token) = paging.page(rows, String::clone)?;
    let row = |name: String| Row { group_arn: arn(&caller.region, "thinggroup", &name), group_name: name };
    Ok(Json(GroupPage { thing_groups: rows.into_iter().map(row).collect(), next_token }))
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<GroupPage>, AwsError> {
    let paging = Paging::new(query.max_results, query.next_token);
    page(&app, &caller, &query.name_prefix_filter, None, &paging).await
}

async fn of_thing(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(thing): Names<String>,
    Parameters(paging): Parameters<Paging>,
) -> Result<Json<GroupPage>, AwsError> {
    if !app.store.has_thing(&thing).await? {
        return Err(AdminError::NoThing(thing).into());
    }
    page(&app, &caller, "", Some(&thing), &paging).await
}

/// Query of ListThingsInThingGroup.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MembersQuery {
    /// There are no groups in groups.
    #[serde(default, rename = "recursive")]
    _recursive: bool,
    max_results: Option<u64>,
    next_token: Option<String>,
}

/// A page of the members of a group.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberPage {
    things: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

async fn things(
    State(app): State<Arc<App>>,
    Names(name): Names<String>,
    Parameters(query): Parameters<MembersQuery>,
) -> Result<Json<MemberPage>, AwsError> {
    let paging = Paging::new(query.max_results, query.next_token);
    let group = stored(&app, name).await?;
    let after: String = paging.after()?.unwrap_or_default();
    let rows = app.store.listed_members(&group.name, &after, paging.limit()?).await?;
    let (things, next_token) = paging.page(rows, String::clone)?;
    Ok(Json(MemberPage { things, next_token }))
}

/// AddThingToThingGroup and RemoveThingFromThingGroup: each of both by name or by ARN.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Membership {
    thing_group_name: Option<String>,
    thing_group_arn: Option<String>,
    thing_name: Option<String>,
    thing_arn: Option<String>,
    /// There are no dynamic groups.
    #[serde(default, rename = "overrideDynamicGroups")]
    _override_dynamic_groups: Value,
}

impl Membership {
    /// Group and thing.
    fn names(self) -> Result<(String, String), AwsError> {
        let group = named(self.thing_group_name, self.thing_group_arn, "thinggroup")?;
        Ok((group, named(self.thing_name, self.thing_arn, "thing")?))
    }
}

fn named(name: Option<String>, arn: Option<String>, kind: &str) -> Result<String, AwsError> {
    match (name, arn) {
        (Some(name), None) => Ok(name),
        (None, Some(arn)) => name_in(&arn, kind).map(str::to_owned),
        _ => Err(AwsError::invalid(format!("a {kind} is named by its name or by its ARN"))),
    }
}

async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(request): Body<Membership>,
) -> Result<Json<Empty>, AwsError> {
    let (group, thing) = request.names()?;
    let things = vec![thing];
    known_things(&app, &things).await?;
    app.jobs.join(group, things, &caller.key_id).await?;
    Ok(Json(Empty {}))
}

async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(request): Body<Membership>,
) -> Result<Json<Empty>, AwsError> {
    let (group, thing) = request.names()?;
    match app.store.remove_members(&group, &[thing], &caller.key_id).await? {
        true => Ok(Json(Empty {})),
        false => Err(AdminError::NoGroup(group).into()),
    }
}
