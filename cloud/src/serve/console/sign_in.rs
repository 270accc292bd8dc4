//! Signing in with the admin token of the data directory, and signing out.

use std::sync::Arc;
use std::time::Instant;

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::form::Form;
use super::page::{Frame, page, redirect};
use super::sign_in_limit::SignInRefusal;
use super::{cookie, guard};
use crate::serve::http::app::App;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    error: String,
    tls: bool,
}

fn answer(app: &App, status: StatusCode, error: &str) -> Response {
    page(status, &SignInPage { frame: Frame::outside(), error: error.to_owned(), tls: app.console.tls })
}

/// `GET /sign-in`.
pub async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    match guard::session(&app, &headers) {
        Some(_) => redirect(&headers, "/"),
        None => answer(&app, StatusCode::OK, ""),
    }
}

/// `POST /sign-in`. There is no session yet, so the form has no token; its origin is checked.
pub async fn sign_in(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    let field = form_urlencoded::parse(&body).find(|(name, _)| name == "token");
    let token = field.map(|(_, value)| value.trim().to_owned()).unwrap_or_default();
    match app.console.sign_ins.attempt(Instant::now(), || app.token.is(&token)) {
        Ok(()) => {
            let id = app.console.sessions.begin(Instant::now());
            ([(header::SET_COOKIE, cookie::begin(&id, app.console.tls))], redirect(&headers, "/")).into_response()
        }
        Err(SignInRefusal::Wrong) => answer(&app, StatusCode::UNAUTHORIZED, "This is not the token."),
        Err(SignInRefusal::TooMany { wait }) => {
            let seconds = wait.as_secs() + 1;
            let text = format!("Too many sign-ins failed. Try again in {seconds} seconds.");
            let retry = [(header::RETRY_AFTER, seconds.to_string())];
            (retry, answer(&app, StatusCode::TOO_MANY_REQUESTS, &text)).into_response()
        }
    }
}

/// `POST /sign-out`.
pub async fn sign_out(State(app): State<Arc<App>>, headers: HeaderMap, form: Form) -> Response {
    app.console.sessions.end(&form.session);
    ([(header::SET_COOKIE, cookie::end(app.console.tls))], redirect(&headers, "/sign-in")).into_response()
}
