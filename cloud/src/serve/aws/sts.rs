//! The security token service: who signed the request.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;

use super::arn::ACCOUNT;
use super::authenticate::Caller;
use super::error::{AwsError, Code, Protocol};
use crate::serve::http::app::App;

/// The routes.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/", post(answer))
}

async fn answer(caller: Caller, body: Bytes) -> Response {
    let action = form_urlencoded::parse(&body).find(|(name, _)| name == "Action").map(|(_, action)| action);
    match action.as_deref() {
        Some("GetCallerIdentity") => caller_identity(&caller),
        action => {
            let message = format!("the action {:?} is not offered here", action.unwrap_or_default());
            AwsError::new(Code::UnknownOperation, message).response(Protocol::Query)
        }
    }
}

fn caller_identity(Caller { key_id, .. }: &Caller) -> Response {
    let body = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::{ACCOUNT}:user/{key_id}</Arn><UserId>{key_id}</UserId><Account>{ACCOUNT}</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>"
    );
    ([(header::CONTENT_TYPE, "text/xml")], body).into_response()
}
