//! Things with their attributes, and the addresses of the service.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use ota_jobs::ThingName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arn::arn;
use super::authenticate::Caller;
use super::error::{AwsError, Code};
use super::paging::Paging;
use super::request::{Body, Names, Parameters};
use crate::clock::now_s;
use crate::limits::{ATTRIBUTE_NAME_BYTES_MAX, ATTRIBUTE_VALUE_BYTES_MAX, ATTRIBUTES_MAX};
use crate::model::Thing;
use crate::serve::http::app::App;
use crate::serve::jobs::admin_error::AdminError;
use crate::serve::jobs::changes::JobChange;
use crate::store::ThingFilter;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/things", get(list))
        .route("/things/{name}", post(create).get(describe).patch(update).delete(delete))
        .route("/endpoint", get(endpoint))
}

/// CreateThing and UpdateThing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ThingChange {
    #[serde(default)]
    attribute_payload: AttributePayload,
    expected_version: Option<u64>,
    thing_type_name: Option<Value>,
    billing_group_name: Option<Value>,
}

/// Attributes; those with an empty value are removed.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttributePayload {
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    /// Whether attributes that are not named stay.
    #[serde(default)]
    merge: bool,
}

impl ThingChange {
    fn check(&self) -> Result<(), AwsError> {
        if self.thing_type_name.is_some() || self.billing_group_name.is_some() {
            return Err(AwsError::invalid("thingTypeName and billingGroupName are not offered here"));
        }
        for (name, value) in &self.attribute_payload.attributes {
            if name.is_empty() || name.len() > ATTRIBUTE_NAME_BYTES_MAX || value.len() > ATTRIBUTE_VALUE_BYTES_MAX {
                return Err(AwsError::invalid(format!(
                    "an attribute with a name of {} and a value of {} bytes, at most {ATTRIBUTE_NAME_BYTES_MAX} and \
                     {ATTRIBUTE_VALUE_BYTES_MAX}",
                    name.len(),
                    value.len()
                )));
            }
        }
        Ok(())
    }
}

/// Applies the change to the attributes of a thing.
fn changed(
    mut attributes: BTreeMap<String, String>,
    payload: AttributePayload,
) -> Result<BTreeMap<String, String>, AwsError> {
    if !payload.merge {
        attributes.clear();
    }
    attributes.extend(payload.attributes);
    attributes.retain(|_, value| !value.is_empty());
    match attributes.len() {
        count if count > ATTRIBUTES_MAX => {
            Err(AwsError::invalid(format!("{count} attributes, at most {ATTRIBUTES_MAX}")))
        }
        _ => Ok(attributes),
    }
}

/// A thing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThingView {
    #[serde(skip_serializing_if = "Option::is_none")]
    default_client_id: Option<String>,
    thing_arn: String,
    thing_name: String,
    attributes: BTreeMap<String, String>,
    version: u64,
}

impl ThingView {
    fn new(region: &str, thing: Thing) -> Self {
        let thing_arn = arn(region, "thing", &thing.name);
        let Thing { name: thing_name, attributes, version } = thing;
        Self { default_client_id: None, thing_arn, thing_name, attributes, version }
    }
}

/// Response to CreateThing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    thing_arn: String,
    thing_name: String,
}

async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(name): Names<String>,
    Body(request): Body<ThingChange>,
) -> Result<Json<Created>, AwsError> {
    ThingName::new(&name).map_err(|error| AwsError::invalid(format!("thing: {error}")))?;
    request.check()?;
    let thing = Thing { name, attributes: changed(BTreeMap::new(), request.attribute_payload)?, version: 1 };
    if !app.store.create_thing(&thing, &caller.key_id, now_s()).await? {
        // As at AWS, the same request again is not an error.
        let stored = app.store.thing(&thing.name).await?;
        if stored.is_none_or(|stored| stored.attributes != thing.attributes) {
            let message = format!("there is a thing {} with other attributes", thing.name);
            return Err(AwsError::new(Code::ResourceAlreadyExists, message));
        }
    }
    Ok(Json(Created { thing_arn: arn(&caller.region, "thing", &thing.name), thing_name: thing.name }))
}

async fn stored(app: &App, name: String) -> Result<Thing, AwsError> {
    Ok(app.store.thing(&name).await?.ok_or(AdminError::NoThing(name))?)
}

async fn describe(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(name): Names<String>,
) -> Result<Json<ThingView>, AwsError> {
    let thing = stored(&app, name).await?;
    let default_client_id = Some(thing.name.clone());
    Ok(Json(ThingView { default_client_id, ..ThingView::new(&caller.region, thing) }))
}

async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(name): Names<String>,
    Body(request): Body<ThingChange>,
) -> Result<Json<Empty>, AwsError> {
    request.check()?;
    let thing = stored(&app, name).await?;
    if let Some(expected) = request.expected_version.filter(|expected| *expected != thing.version) {
        return Err(AdminError::Version { expected, got: thing.version }.into());
    }
    let attributes = changed(thing.attributes, request.attribute_payload)?;
    let next = Thing { attributes, version: thing.version + 1, name: thing.name };
    app.store.update_thing(&next, &caller.key_id).await?;
    Ok(Json(Empty {}))
}

/// A response without members.
#[derive(Serialize)]
pub struct Empty {}

/// Query of requests for one version.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Version {
    expected_version: Option<u64>,
}

async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Names(name): Names<String>,
    Parameters(Version { expected_version }): Parameters<Version>,
) -> Result<Json<Empty>, AwsError> {
    app.jobs.change(JobChange::DeleteThing { name, expected_version }, &caller.key_id).await?;
    Ok(Json(Empty {}))
}

/// Query of ListThings.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    attribute_name: Option<String>,
    attribute_value: Option<String>,
    max_results: Option<u64>,
    next_token: Option<String>,
}

/// A page of things.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThingPage {
    things: Vec<ThingView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<ThingPage>, AwsError> {
    let paging = Paging::new(query.max_results, query.next_token);
    let filter = ThingFilter { attribute: query.attribute_name.as_deref(), value: query.attribute_value.as_deref() };
    let after: String = paging.after()?.unwrap_or_default();
    let rows = app.store.listed_things(filter, &after, paging.limit()?).await?;
    let (rows, next_token) = paging.page(rows, |thing| thing.name.clone())?;
    let things = rows.into_iter().map(|thing| ThingView::new(&caller.region, thing)).collect();
    Ok(Json(ThingPage { things, next_token }))
}

/// Query of DescribeEndpoint.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EndpointQuery {
    endpoint_type: Option<String>,
}

/// Host and port.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    endpoint_address: String,
}

async fn endpoint(
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<EndpointQuery>,
) -> Result<Json<Endpoint>, AwsError> {
    let address = match query.endpoint_type.as_deref() {
        None | Some("iot:Data" | "iot:Data-ATS") => &app.aws.mqtt,
        Some("iot:Jobs") => &app.aws.http,
        Some(other) => return Err(AwsError::invalid(format!("there is no endpoint {other} here"))),
    };
    Ok(Json(Endpoint { endpoint_address: address.clone() }))
}
