//! Who may do what: roles of tokens and accounts, over the admin requests, in the console and by `ota`, and how access ends.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command, Stdio};

mod common;
#[path = "common/console.rs"]
mod console;

use common::{Answer, TempDir, TestService, request};
use console::{Console, create, sign_in, start, with_job};
use ota_cloud::limits::SIGN_IN_FAILURES_MAX;

const ROLES: [&str; 3] = ["viewer", "operator", "admin"];
const PASSWORD: &str = "correct horse";

async fn api(world: &TestService, token: &str, method: &str, path: &str, body: &str) -> Answer {
    let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
    request(world.service.http, method, path, &headers, body.as_bytes()).await
}

/// Adds a token with the name of its role.
async fn token(world: &TestService, role: &str) -> String {
    let added =
        api(world, &world.token, "PUT", &format!("/api/tokens/{role}"), &format!(r#"{{"role":"{role}"}}"#)).await;
    assert_eq!(added.status, 201, "{}", added.text());
    let added: serde_json::Value = serde_json::from_slice(&added.body).unwrap();
    added["token"].as_str().unwrap().to_owned()
}

/// Adds an account with the name of its role, or gives it this password.
async fn account(world: &TestService, role: &str, password: &str) -> u16 {
    let body = serde_json::json!({"role": role, "password": password}).to_string();
    api(world, &world.token, "PUT", &format!("/api/accounts/{role}"), &body).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_reads_an_operator_changes_and_an_admin_gives_access() {
    let dir = TempDir::new();
    let world = with_job(&dir, &["lamp"]).await;
    let token_body = r#"{"role":"admin"}"#;
    for (rank, role) in ROLES.into_iter().enumerate() {
        let token = token(&world, role).await;
        let allowed = |needed: usize, status: u16| if rank >= needed { status } else { 403 };
        for (method, path, body, expected) in [
            ("GET", "/api/jobs", "", allowed(0, 200)),
            ("GET", "/api/events", "", allowed(0, 200)),
            ("PUT", "/api/images/fw.img", "image", allowed(1, 201)),
            ("PUT", &format!("/api/jobs/of-{role}"), r#"{"things":["lamp"],"document":{}}"#, allowed(1, 201)),
            ("POST", &format!("/api/jobs/of-{role}/cancel"), "", allowed(1, 200)),
            ("PUT", "/api/groups/lights", "", allowed(1, 201)),
            ("PUT", "/api/things/lamp/pin", "", allowed(1, 204)),
            ("DELETE", "/api/things/lamp/pin", "", allowed(1, 204)),
            ("GET", "/api/accounts", "", allowed(2, 200)),
            ("GET", "/api/tokens", "", allowed(2, 200)),
            ("PUT", &format!("/api/tokens/by-{role}"), token_body, allowed(2, 201)),
            ("DELETE", "/api/tokens/none", "", allowed(2, 404)),
            ("DELETE", "/api/accounts/none", "", allowed(2, 404)),
        ] {
            let answer = api(&world, &token, method, path, body).await;
            assert_eq!(answer.status, expected, "{role} {method} {path}: {}", answer.text());
        }
    }
    let refused = api(&world, "viewer", "GET", "/api/jobs", "").await;
    assert_eq!(refused.status, 401, "a name is no token");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_buttons_are_those_of_the_role() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let image = world.upload(b"image").await;
    for (rank, role) in ROLES.into_iter().enumerate() {
        create(&world, role, &image, &["lamp"]).await;
        assert_eq!(account(&world, role, PASSWORD).await, 201);
        let console = Console::sign_in_with(&world, &format!("{PASSWORD}&name={role}")).await;
        let (operates, administers) = (rank >= 1, rank >= 2);
        assert_eq!(console.page("/").await.contains("href=\"/new\" id=\"create\""), operates, "{role}");
        assert_eq!(console.page("/images").await.contains("id=\"upload-form\""), operates, "{role}");
        assert_eq!(console.page(&format!("/jobs/{role}")).await.contains("id=\"cancel\""), operates, "{role}");
        assert_eq!(console.page("/").await.contains("href=\"/access\""), administers, "{role}");
        let allowed = |allowed: bool, status: u16| if allowed { status } else { 403 };
        assert_eq!(console.get("/new").await.status, allowed(operates, 200), "{role}");
        assert_eq!(console.post("/new", "step=review").await.status, allowed(operates, 422), "{role}");
        let upload = console.upload(&console.form_token, "fw.img", "", role.as_bytes()).await;
        assert_eq!(upload.status, allowed(operates, 303), "{role}");
        assert_eq!(console.get("/access").await.status, allowed(administers, 200), "{role}");
        let fields = format!("name=new-{role}&role=viewer&password={PASSWORD}");
        assert_eq!(console.post("/access/accounts", &fields).await.status, allowed(administers, 303), "{role}");
        assert_eq!(console.post("/access/tokens", &fields).await.status, allowed(administers, 201), "{role}");
        for kind in ["accounts", "tokens"] {
            let path = format!("/access/{kind}/new-{role}/remove");
            let page = console.get("/access").await.text();
            assert_eq!(page.contains(&format!("action=\"{path}\"")), administers, "{role}: {page}");
            assert_eq!(console.post(&path, "").await.status, allowed(administers, 303), "{role}");
        }
        let cancelled = console.post(&format!("/jobs/{role}/cancel"), "").await.status;
        assert_eq!(cancelled, allowed(operates, 303), "{role}");
    }
    let audit = Console::sign_in(&world).await.page("/audit").await;
    let by = |name: &str, text: &str| {
        audit.contains(&format!("{name}</td>\n<td role=\"cell\" data-label=\"Event\" class=\"text\">{text}"))
    };
    assert!(by("operator", "cancelled") && by("first token", "created for 1 thing<"), "{audit}");
    assert!(by("admin", "account new-admin removed") && by("admin", "token new-admin added, role viewer"), "{audit}");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_ends_with_its_token_its_account_and_its_password() {
    let dir = TempDir::new();
    let world = with_job(&dir, &["lamp"]).await;
    let viewer = token(&world, "viewer").await;
    let by_token = Console::sign_in_with(&world, &viewer).await;
    assert_eq!(account(&world, "admin", PASSWORD).await, 201);
    let mut sessions = vec![];
    for _ in 0..2 {
        sessions.push(Console::sign_in_with(&world, &format!("{PASSWORD}&name=admin")).await);
    }
    let mut live = sessions[0].live("/jobs/one/live?after=0").await;
    live.until("event: devices").await;

    // The person changes the password: the old one is needed, and each session ends.
    for (fields, status) in [("old=wrong&new=battery staple", 422), ("old=correct horse&new=short", 422)] {
        assert_eq!(sessions[1].post("/password", fields).await.status, status, "{fields}");
    }
    assert_eq!(sessions[1].post("/password", "old=correct horse&new=battery staple").await.status, 303);
    for session in &sessions {
        assert_eq!(session.get("/").await.header("location"), Some("/sign-in"));
    }
    assert!(live.rest().await.contains("You are signed out."));
    assert_eq!(sign_in(&world, "correct horse&name=admin", "").await.status, 401);
    let session = Console::sign_in_with(&world, "battery staple&name=admin").await;
    // An admin lowers the role: with a new password, or a new account.
    let body = serde_json::json!({"role": "viewer", "password": PASSWORD}).to_string();
    assert_eq!(api(&world, &world.token, "PUT", "/api/accounts/admin", &body).await.status, 204);
    assert_eq!(session.get("/access").await.header("location"), Some("/sign-in"));
    let session = Console::sign_in_with(&world, &format!("{PASSWORD}&name=admin")).await;
    assert_eq!(session.get("/access").await.status, 403);

    assert_eq!(api(&world, &world.token, "DELETE", "/api/accounts/admin", "").await.status, 204);
    assert_eq!(api(&world, &world.token, "DELETE", "/api/tokens/viewer", "").await.status, 204);
    assert_eq!(session.get("/").await.header("location"), Some("/sign-in"));
    assert_eq!(by_token.get("/").await.header("location"), Some("/sign-in"));
    assert_eq!(api(&world, &viewer, "GET", "/api/jobs", "").await.status, 401);
    assert_eq!(sign_in(&world, &format!("{PASSWORD}&name=admin"), "").await.status, 401);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_that_are_made_at_the_same_time_count_too_and_long_names_are_refused() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    account(&world, "admin", PASSWORD).await;
    let guesses = (0..SIGN_IN_FAILURES_MAX + 5).map(|_| sign_in(&world, "wrong&name=admin", ""));
    let statuses: Vec<u16> = futures_util::future::join_all(guesses).await.iter().map(|answer| answer.status).collect();
    let compared = statuses.iter().filter(|status| **status == 401).count();
    assert!(compared <= SIGN_IN_FAILURES_MAX && statuses.contains(&429), "{statuses:?}");
    let name = "a".repeat(1000);
    for _ in 0..=SIGN_IN_FAILURES_MAX {
        assert_eq!(sign_in(&world, &format!("wrong&name={name}"), "").await.status, 401, "not counted");
    }
    let flood = format!("wrong&name={}", "a".repeat(5000));
    assert_eq!(sign_in(&world, &flood, "").await.status, 413);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_many_wrong_passwords_a_name_is_refused_and_others_are_not() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    for role in ROLES {
        account(&world, role, PASSWORD).await;
    }
    for _ in 0..SIGN_IN_FAILURES_MAX {
        assert_eq!(sign_in(&world, "wrong&name=admin", "").await.status, 401);
    }
    let refused = sign_in(&world, &format!("{PASSWORD}&name=admin"), "").await;
    assert_eq!((refused.status, refused.header("set-cookie")), (429, None));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    Console::sign_in_with(&world, &format!("{PASSWORD}&name=viewer")).await;
    Console::sign_in(&world).await;
    world.service.stop().await;
}

/// Runs `ota`, with `input` on stdin; returns what it printed.
fn ota(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ota"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().unwrap();
    running.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_programs_get_access_on_the_command_line() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let (server, root) = (format!("http://{}", world.service.http), dir.path().join("token"));
    let run = |token: &std::path::Path, words: &str, input: &str| {
        let words = words.split(' ').chain(["--server", &server, "--token-file", token.to_str().unwrap()]);
        ota(&words.collect::<Vec<_>>(), input)
    };
    assert_eq!(run(&root, "account set ann --role operator", "correct horse\n"), Ok(String::new()));
    assert_eq!(run(&root, "account list", ""), Ok("ann  operator\n".to_owned()));
    Console::sign_in_with(&world, "correct horse&name=ann").await;
    let ci = dir.path().join("ci");
    std::fs::write(&ci, run(&root, "token add ci --role viewer", "").unwrap()).unwrap();
    assert_eq!(run(&ci, "job list", ""), Ok(String::new()));
    let refused = run(&ci, "group create lights", "").unwrap_err();
    assert!(refused.contains("token ci has the role viewer, this needs the role operator"), "{refused}");
    // More than a socket takes.
    let image = dir.path().join("fw.img");
    std::fs::write(&image, vec![0x5A; 16 << 20]).unwrap();
    let flash = format!("flash lamp {} --raw --unsigned", image.display());
    let refused = run(&ci, &flash, "").unwrap_err();
    assert!(refused.contains("token ci has the role viewer, this needs the role operator"), "{refused}");
    assert_eq!(run(&root, "token list", ""), Ok("ci  viewer\n".to_owned()));
    assert_eq!(run(&root, "token remove ci", ""), Ok(String::new()));
    assert!(run(&ci, "job list", "").unwrap_err().contains("the bearer token is missing or wrong"));
    assert_eq!(run(&root, "account remove ann", ""), Ok(String::new()));
    assert!(run(&root, "account remove ann", "").unwrap_err().contains("there is no account ann"));
    assert!(run(&root, "account set ann --role owner", "").unwrap_err().contains("viewer, operator and admin"));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_names_roles_and_passwords_are_refused_by_name_and_nothing_is_stored() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let long = "a".repeat(257);
    for (path, body, text) in [
        ("/api/accounts/a%20b", r#"{"role":"viewer","password":"correct horse"}"#, "a name has 1 to 256 bytes"),
        (&*format!("/api/accounts/{long}"), r#"{"role":"viewer","password":"correct horse"}"#, "a name has 1 to"),
        (
            "/api/accounts/ann",
            r#"{"role":"viewer","password":"seven77"}"#,
            "a password has 8 to 256 bytes, this one has 7",
        ),
        ("/api/accounts/ann", r#"{"role":"owner","password":"correct horse"}"#, "owner"),
        ("/api/accounts/ann", r#"{"role":"viewer"}"#, "password"),
        ("/api/tokens/%3Cscript%3E", r#"{"role":"viewer"}"#, "a name has 1 to 256 bytes"),
        ("/api/tokens/ci", r#"{"role":"viewer","token":"mine"}"#, "token"),
        ("/api/tokens/ci", r#"["viewer"]"#, "an object"),
        ("/api/tokens/%2E%2E", r#"{"role":"viewer"}"#, "is not . or .."),
    ] {
        let refused = api(&world, &world.token, "PUT", path, body).await;
        assert!((400..=422).contains(&refused.status) && refused.text().contains(text), "{path}: {}", refused.text());
    }
    token(&world, "viewer").await;
    let again = api(&world, &world.token, "PUT", "/api/tokens/viewer", r#"{"role":"admin"}"#).await;
    assert_eq!((again.status, again.text().contains("token viewer exists already")), (409, true));
    let holders = |text: String| serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap();
    assert!(holders(api(&world, &world.token, "GET", "/api/accounts", "").await.text()).is_empty());
    let tokens = holders(api(&world, &world.token, "GET", "/api/tokens", "").await.text());
    assert_eq!((tokens.len(), &tokens[0]["name"], &tokens[0]["role"]), (1, &"viewer".into(), &"viewer".into()));
    assert!(tokens[0].get("token").is_none() && tokens[0].get("digest").is_none());
    world.service.stop().await;
}
