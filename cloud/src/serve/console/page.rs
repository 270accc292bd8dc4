//! Answers of the console: a page, a redirect, or a failure that is a page too.

use askama::Template;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::sessions::Session;
use crate::role::Role;
use crate::serve::access::Principal;
use crate::serve::jobs::admin_error::AdminError;
use crate::serve::log::report_error;
use crate::store::StoreError;

/// Header of a request that htmx sends, and of an answer that makes it load another page. Source: htmx.org, "Request headers".
const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");

/// What the frame around each page shows.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The page in the menu.
    pub section: &'static str,
    /// Token of the sign-out form; empty without a session.
    pub form_token: String,
    /// Who signed in; empty without a session.
    pub name: String,
    role: Role,
}

impl Frame {
    /// The frame of a page of this session.
    pub fn new(section: &'static str, session: &Session) -> Self {
        let Principal { name, role, .. } = session.principal.clone();
        Self { section, form_token: session.form_token.clone(), name, role }
    }

    /// The frame of a page without a session.
    pub fn outside() -> Self {
        Self { section: "", form_token: String::new(), name: String::new(), role: Role::Viewer }
    }

    /// Whether the person may upload images, and create and cancel updates.
    pub fn may_change(&self) -> bool {
        self.role >= Role::Operator
    }

    /// Whether the person may add and remove accounts and tokens.
    pub fn is_admin(&self) -> bool {
        self.role >= Role::Admin
    }
}

/// Answers with a page.
pub fn page(status: StatusCode, template: &impl Template) -> Response {
    (status, Html(render(template))).into_response()
}

/// The text of a template.
pub fn render(template: &impl Template) -> String {
    template.render().expect("templates write to memory and do not fail")
}

/// Answers with a redirect after a form, also to htmx, which would follow an ordinary one by itself.
pub fn redirect(headers: &HeaderMap, to: &str) -> Response {
    match headers.contains_key(HX_REQUEST) {
        true => [(HX_REDIRECT, to)].into_response(),
        false => (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response(),
    }
}

/// A request that cannot be answered with its page.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    text: String,
}

impl Failure {
    /// Creates a failure with a text for the reader.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// There is no such page.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        report_error(format_args!("console: {error}"));
        let status = match error {
            StoreError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            StoreError::Unstorable => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    frame: Frame,
    title: &'static str,
    text: String,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        page(self.status, &FailurePage { frame: Frame::outside(), title, text: self.text })
    }
}

/// The reason why the job service refused a request, for the reader; a fault of the service is a failure.
pub fn refusal(error: AdminError) -> Result<String, Failure> {
    match error {
        AdminError::Bad(text) | AdminError::Misfit(text) => Ok(text),
        AdminError::Ended { id, status } => Ok(format!("job {id} is {status}: nothing is left to cancel")),
        AdminError::Store(error @ StoreError::JobExists { .. }) => Ok(error.to_string()),
        AdminError::NoGroup(name) => Ok(format!("There is no group {name}.")),
        AdminError::State(_) | AdminError::Version { .. } => Ok(error.to_string()),
        AdminError::NoThing(_) | AdminError::NoExecution { .. } => Err(Failure::not_found(error.to_string())),
        AdminError::NoRelease(id) => Err(Failure::not_found(format!("There is no release {id}."))),
        AdminError::NoJob(id) => Err(Failure::not_found(format!("There is no job {id}."))),
        AdminError::Stopping => Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "The service is stopping.")),
        AdminError::Store(error) => Err(error.into()),
    }
}
