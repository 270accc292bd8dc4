//! The fields of a form of the console; a form without the token of the session is refused.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::page::Failure;
use super::sessions::Session;
use crate::limits::FORM_FIELDS_MAX;
use crate::serve::http::app::App;

/// Name of the field with the session's token.
pub const TOKEN_FIELD: &str = "form_token";

/// The fields of a form that carries the token of its session, in their order.
#[derive(Clone, Debug)]
pub struct Form {
    /// The session.
    pub session: Session,
    fields: Vec<(String, String)>,
}

impl Form {
    /// The value of a field; empty if it is missing.
    pub fn text(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }

    /// All values of a field that may be there several times.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.clone()).collect()
    }
}

impl FromRequest<Arc<App>> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let session = request.extensions().get::<Session>().cloned().expect("the guard requires a session");
        let body = Bytes::from_request(request, app).await.map_err(IntoResponse::into_response)?;
        let fields: Vec<_> = form_urlencoded::parse(&body).into_owned().take(FORM_FIELDS_MAX + 1).collect();
        if fields.len() > FORM_FIELDS_MAX {
            let text = format!("The form has more than {FORM_FIELDS_MAX} fields.");
            return Err(Failure::new(StatusCode::BAD_REQUEST, text).into_response());
        }
        let form = Self { session, fields };
        match form.session.is_form_token(form.text(TOKEN_FIELD)) {
            true => Ok(form),
            false => Err(not_of_this_session().into_response()),
        }
    }
}

/// The form was made for another session, or by another site.
pub fn not_of_this_session() -> Failure {
    Failure::new(StatusCode::FORBIDDEN, "The form is not of this session. Open the page again and repeat what you did.")
}
