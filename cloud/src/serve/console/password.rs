//! The page where people change their password.

use std::sync::Arc;
use std::time::Instant;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::form::Form;
use super::page::{Failure, Frame, page, redirect};
use super::sessions::Session;
use crate::serve::access::{Credential, Principal, SignInRefusal, TooManySignIns, check_password};
use crate::serve::http::app::App;

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    frame: Frame,
    role: &'static str,
    has_password: bool,
    error: String,
}

fn password_page(session: &Session, error: String) -> PasswordPage {
    let Principal { role, credential, .. } = &session.principal;
    let has_password = matches!(credential, Credential::Account { .. });
    PasswordPage { frame: Frame::new("", session), role: role.as_str(), has_password, error }
}

/// `GET /password`.
pub async fn show(Extension(session): Extension<Session>) -> Response {
    page(StatusCode::OK, &password_page(&session, String::new()))
}

/// `POST /password`. All sessions of the account end, this one too: the person signs in with the new password.
pub async fn change(State(app): State<Arc<App>>, headers: HeaderMap, form: Form) -> Result<Response, Failure> {
    let error = match replace(&app, &form).await {
        Ok(()) => return Ok(redirect(&headers, "/sign-in")),
        Err(Refusal::Again(error)) => error,
        Err(Refusal::Failure(failure)) => return Err(failure),
    };
    Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &password_page(&form.session, error)))
}

enum Refusal {
    Again(String),
    Failure(Failure),
}

async fn replace(app: &App, form: &Form) -> Result<(), Refusal> {
    let again = |text: &str| Refusal::Again(text.to_owned());
    let Principal { name, credential: Credential::Account { .. }, .. } = &form.session.principal else {
        return Err(again("You signed in with a token, which has no password."));
    };
    let new = form.text("new");
    check_password(new).map_err(Refusal::Again)?;
    let changed = app.access.change_password(name, form.text("old").to_owned(), new.to_owned(), Instant::now()).await;
    changed.map_err(|refused| match refused {
        SignInRefusal::Wrong => again("The old password is wrong."),
        SignInRefusal::TooMany(TooManySignIns { wait }) => {
            Refusal::Again(format!("Too many passwords were wrong. Try again in {} seconds.", wait.as_secs() + 1))
        }
        SignInRefusal::Busy => again("Too many people sign in at this moment. Try again."),
        SignInRefusal::Store(error) => Refusal::Failure(error.into()),
    })
}
