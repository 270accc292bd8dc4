//! What holds for all pages: a session and its role, requests of the console's own pages only, and headers that keep scripts out.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::cookie;
use super::page::{Failure, redirect};
use super::sessions::Session;
use crate::role::Role;
use crate::serve::http::app::App;
use crate::store::StoreError;

/// Headers of every answer. No script and no style is inline, and nothing is loaded from elsewhere.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // Not `no-referrer`: forms would be sent with `Origin: null`.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Passes the session of the cookie to the page; without one, leads to the sign-in.
pub async fn require_session(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match session(&app, request.headers()).await {
        Ok(Some(session)) => request.extensions_mut().insert(session),
        Ok(None) => return redirect(request.headers(), "/sign-in"),
        Err(error) => return Failure::from(error).into_response(),
    };
    next.run(request).await
}

/// Refuses what changes something to a viewer.
pub async fn require_operator(Extension(session): Extension<Session>, request: Request, next: Next) -> Response {
    require(&session, Role::Operator, request, next).await
}

/// Refuses the pages of accounts and tokens to others than admins.
pub async fn require_admin(Extension(session): Extension<Session>, request: Request, next: Next) -> Response {
    require(&session, Role::Admin, request, next).await
}

async fn require(session: &Session, needed: Role, request: Request, next: Next) -> Response {
    match session.principal.check(needed) {
        Ok(()) => next.run(request).await,
        Err(text) => Failure::new(StatusCode::FORBIDDEN, text).into_response(),
    }
}

/// The open session of a request's cookie, with the role of today. It ends with its account or token, and with the password.
pub async fn session(app: &App, headers: &HeaderMap) -> Result<Option<Session>, StoreError> {
    let id = cookie::session_id(headers, app.console.tls);
    let Some(session) = id.and_then(|id| app.console.sessions.find(id, Instant::now())) else { return Ok(None) };
    let principal = app.access.by_credential(&session.principal.credential).await?;
    Ok(principal.map(|principal| Session { principal, ..session }))
}

/// Whether nothing has ended a session since it was found.
pub async fn is_open(app: &App, session: &Session) -> Result<bool, StoreError> {
    let is_open = app.console.sessions.is_open(session, Instant::now());
    Ok(is_open && app.access.by_credential(&session.principal.credential).await?.is_some())
}

/// Refuses a request that may change something and comes from another site's page.
pub async fn check_origin(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && is_foreign(request.headers()) {
        return Failure::new(StatusCode::FORBIDDEN, "the request comes from another site").into_response();
    }
    next.run(request).await
}

/// Browsers send `Origin` with each POST; a client without it is no browser, and has no cookie of a person.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let Some(origin) = text(header::ORIGIN) else { return false };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_none() || host != text(header::HOST)
}

/// Adds the headers of every answer. Pages are not cached; an asset has a rule of its own.
pub async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_host_is_no_foreign_origin() {
        let with = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("ota.example:8080"));
            origin.map(|origin| headers.insert(header::ORIGIN, HeaderValue::from_static(origin)));
            is_foreign(&headers)
        };
        assert!(!with(None) && !with(Some("http://ota.example:8080")) && !with(Some("https://ota.example:8080")));
        for foreign in ["null", "", "http://ota.example", "http://ota.example:8081", "https://a/://ota.example:8080"] {
            assert!(with(Some(foreign)), "{foreign}");
        }
    }
}
