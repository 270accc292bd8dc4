//! Creating an update in two steps: the form, and a summary of what it will do with the button that creates it.
//! Whatever is refused, the form is shown again with all that was entered.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use super::draft::{Draft, PROTOCOLS};
use super::form::Form;
use super::image_rows::{ImageRow, newest_and};
use super::page::{Failure, Frame, page, redirect, refusal};
use super::sessions::Session;
use super::text::counted;
use crate::api::NewJob;
use crate::clock::now_s;
use crate::limits::{PAGE_ROWS_MAX, TIMER_MINUTES, UNSEEN_LISTED_MAX};
use crate::serve::http::app::App;
use crate::serve::http::new_job::prepare;
use crate::serve::jobs::job_admin::{self, Created};
use crate::store::{PageNumber, Paged, StoreError};

/// Query of the empty form: what is chosen already.
#[derive(Debug, Default, Deserialize)]
pub struct Chosen {
    #[serde(default)]
    image: String,
    #[serde(default)]
    thing: String,
}

/// A device that can be chosen.
struct Choice {
    name: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "create.html")]
struct CreatePage {
    frame: Frame,
    draft: Draft,
    images: Paged<ImageRow>,
    choices: Paged<Choice>,
    groups: Vec<GroupChoice>,
    error: String,
    minutes_max: u64,
}

/// A group that can be chosen.
struct GroupChoice {
    name: String,
    members: String,
    is_chosen: bool,
}

impl CreatePage {
    fn is_chosen(&self, image: &ImageRow) -> bool {
        self.draft.images.contains(&image.id)
    }
}

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    frame: Frame,
    draft: Draft,
    images: Vec<ImageRow>,
    things: Vec<String>,
    devices: String,
    /// Those of them that the update passes over.
    pinned: Vec<String>,
    unseen: Vec<String>,
    has_more_unseen: bool,
    protocols: &'static str,
}

/// `GET /new`.
pub async fn begin(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Query(chosen): Query<Chosen>,
) -> Result<Response, Failure> {
    let one = |text: String| Some(text).filter(|text| !text.is_empty()).into_iter().collect();
    let draft = Draft { images: one(chosen.image), things: one(chosen.thing), ..Draft::new() };
    form(&app, &session, draft, StatusCode::OK, String::new()).await
}

/// `POST /new`. The field `step` is the button that was pressed.
pub async fn submit(State(app): State<Arc<App>>, headers: HeaderMap, sent: Form) -> Result<Response, Failure> {
    let draft = Draft::read(&sent);
    let done = match sent.text("step") {
        "review" => review(&app, &sent.session, &draft).await?,
        "create" => create(&app, &headers, &sent.session, &draft).await?,
        _ => return form(&app, &sent.session, draft, StatusCode::OK, String::new()).await,
    };
    match done {
        Ok(answer) => Ok(answer),
        Err(error) => form(&app, &sent.session, draft, StatusCode::UNPROCESSABLE_ENTITY, error).await,
    }
}

/// An answer, or the reason why the form is shown again.
type Step = Result<Result<Response, String>, Failure>;

async fn review(app: &App, session: &Session, draft: &Draft) -> Step {
    let job = match complete(app, draft).await? {
        Ok(job) => job,
        Err(error) => return Ok(Err(error)),
    };
    match job_admin::validate(&app.store, &draft.id, &job).await {
        Ok(created) => Ok(Ok(page(StatusCode::OK, &review_page(app, session, draft, created).await?))),
        Err(error) => Ok(Err(refusal(error)?)),
    }
}

async fn create(app: &App, headers: &HeaderMap, session: &Session, draft: &Draft) -> Step {
    let job = match complete(app, draft).await? {
        Ok(job) => job,
        Err(error) => return Ok(Err(error)),
    };
    match app.jobs.create(draft.id.clone(), job, &session.principal.name).await {
        Ok(_) => Ok(Ok(redirect(headers, &format!("/jobs/{}", draft.id)))),
        Err(error) => Ok(Err(refusal(error)?)),
    }
}

/// The job of the form with the types of its files, which fit its devices.
async fn complete(app: &App, draft: &Draft) -> Result<Result<NewJob, String>, Failure> {
    let mut job = match draft.job() {
        Ok(job) => job,
        Err(error) => return Ok(Err(error)),
    };
    let schedule = job.config.schedule.as_ref();
    if let Err(error) = schedule.map_or(Ok(()), |schedule| schedule.check_at(now_s())) {
        return Ok(Err(error));
    }
    match prepare(app, &mut job).await {
        Ok(_) => Ok(Ok(job)),
        Err(error) => Ok(Err(refusal(error)?)),
    }
}

async fn review_page(app: &App, session: &Session, draft: &Draft, created: Created) -> Result<ReviewPage, Failure> {
    let Created { things, pinned } = created;
    let images = newest_and(app, &draft.images).await?.rows;
    let images = images.into_iter().filter(|image| draft.images.contains(&image.id)).collect();
    let unseen = app.jobs.unseen(&things);
    let protocols = PROTOCOLS.iter().find(|(value, ..)| *value == draft.protocols).map_or("", |(_, words, _)| *words);
    Ok(ReviewPage {
        frame: Frame::new("updates", session),
        draft: draft.clone(),
        images,
        devices: counted((things.len() - pinned.len()) as u64, "device"),
        things,
        pinned,
        has_more_unseen: unseen.len() == UNSEEN_LISTED_MAX,
        unseen,
        protocols,
    })
}

async fn form(
    app: &App,
    session: &Session,
    draft: Draft,
    status: StatusCode,
    error: String,
) -> Result<Response, Failure> {
    let shown = CreatePage {
        frame: Frame::new("updates", session),
        images: newest_and(app, &draft.images).await?,
        choices: choices(app, &draft).await?,
        groups: groups(app, &draft).await?,
        draft,
        error,
        minutes_max: *TIMER_MINUTES.end(),
    };
    Ok(page(status, &shown))
}

async fn groups(app: &App, draft: &Draft) -> Result<Vec<GroupChoice>, StoreError> {
    let choice = |(name, members)| GroupChoice {
        is_chosen: draft.groups.contains(&name),
        members: counted(members, "device"),
        name,
    };
    Ok(app.store.groups().await?.into_iter().map(choice).collect())
}

/// The chosen devices, and a page of the others whose name contains the filter.
async fn choices(app: &App, draft: &Draft) -> Result<Paged<Choice>, StoreError> {
    let known = app.store.things_page(&draft.filter, PageNumber::FIRST).await?;
    let new = app.store.things_without_job(&app.jobs.seen(), &draft.filter).await?;
    let mut others: Vec<String> = known.rows.into_iter().chain(new.rows).collect();
    others.retain(|name| !draft.things.contains(name));
    others.sort();
    let max = usize::try_from(PAGE_ROWS_MAX).expect("a small number");
    let has_next = known.has_next || new.has_next || others.len() > max;
    others.truncate(max);
    let choice = |is_chosen: bool| move |name: String| Choice { name, is_chosen };
    let chosen = draft.things.iter().cloned().map(choice(true));
    Ok(Paged { rows: chosen.chain(others.into_iter().map(choice(false))).collect(), has_next })
}
