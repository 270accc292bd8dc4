//! The images of the service on the command line and over HTTP: list, deletion, the deletion of the jobs that use them, and
//! uploads that are not repeated.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/console.rs"]
mod console;
#[path = "common/image.rs"]
mod image;
#[path = "common/tool.rs"]
mod tool;

use common::{TempDir, TestService, request};
use console::{Console, start};
use serde_json::Value;
use tool::{done, ota, write};

/// The ids of the images in the list, newest first.
async fn ids(world: &TestService, dir: &TempDir) -> Vec<String> {
    let list = done(world, dir, "image list").await;
    list.lines().map(|line| line.split("  ").next().unwrap().to_owned()).collect()
}

async fn refusal(world: &TestService, dir: &TempDir, arguments: &str) -> String {
    let (code, _, error) = ota(world, dir, arguments).await;
    assert_eq!(code, 1, "{arguments}: {error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_deleted_once_no_job_uses_it() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    write(&dir, "v2.img", &image::header(2, 0));
    done(&world, &dir, "job create --unsigned --id v2 --image v2.img --thing lamp").await;
    let list = done(&world, &dir, "image list").await;
    let [id] = &ids(&world, &dir).await[..] else { panic!("{list}") };
    let file = dir.path().join("images").join(id);
    assert!(list.contains("  v2.img  ") && list.contains("  unsigned  sha256 ") && file.exists(), "{list}");
    assert!(refusal(&world, &dir, &format!("image delete {id}")).await.contains("is used by job v2"));
    let token = world.admin("PUT", "/api/tokens/eve", "Content-Type: application/json\r\n", br#"{"role":"viewer"}"#);
    let token: Value = serde_json::from_slice(&token.await).unwrap();
    let headers = format!("Authorization: Bearer {}\r\n", token["token"].as_str().unwrap());
    for path in [format!("/api/images/{id}"), "/api/jobs/v2?force=true".to_owned()] {
        assert_eq!(request(world.service.http, "DELETE", &path, &headers, b"").await.status, 403, "{path}");
    }
    assert!(refusal(&world, &dir, "job delete v2").await.contains("job v2 has not ended"));
    done(&world, &dir, "job delete v2 --force").await;
    assert!(refusal(&world, &dir, "job show v2").await.contains("there is no job v2"));
    done(&world, &dir, &format!("image delete {id}")).await;
    assert!(ids(&world, &dir).await.is_empty() && !file.exists());
    assert!(refusal(&world, &dir, &format!("image delete {id}")).await.contains("there is no image"));
    let audit = Console::sign_in(&world).await.page("/audit").await;
    for text in ["deleted with its executions".to_owned(), format!("v2.img ({id}) deleted")] {
        assert!(audit.contains(&text), "{text}: {audit}");
    }
    world.service.stop().await;
}

/// Each name, content and signature is uploaded once.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_the_service_has_is_not_uploaded_again() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let create = async |id: &str, image: &str| {
        done(&world, &dir, &format!("job create --unsigned --raw --id {id} --thing lamp --image {image}")).await;
        ids(&world, &dir).await.len()
    };
    write(&dir, "v2.img", &image::header(2, 0));
    assert_eq!((create("one", "v2.img").await, create("two", "v2.img").await), (1, 1));
    let image = async |id: &str| {
        let job: Value = serde_json::from_str(&done(&world, &dir, &format!("job show {id} --json")).await).unwrap();
        (job["document"]["afr_ota"]["files"][0].clone(), job["document"]["afr_ota"]["streamname"].clone())
    };
    let (one, two) = (image("one").await, image("two").await);
    assert!(one.0 == two.0 && one.1 != two.1, "{one:?} {two:?}");
    std::fs::copy(dir.path().join("v2.img"), dir.path().join("other.img")).unwrap();
    assert_eq!(create("name", "other.img").await, 2);
    std::fs::write(dir.path().join("v2.img.sig"), "MEUC").unwrap();
    assert_eq!(create("signature", "v2.img").await, 3);
    write(&dir, "other.img", &image::header(3, 0));
    assert_eq!(create("content", "other.img").await, 4);
    for id in ids(&world, &dir).await {
        std::fs::remove_file(dir.path().join("images").join(id)).unwrap();
    }
    assert_eq!(create("lost", "other.img").await, 5, "the service has its row only");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_a_document_names_stays() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let id = world.upload(b"image").await;
    let document = format!(r#"{{"things":["lamp"],"document":{{"url":"${{presigned-url:{id}}}"}}}}"#);
    world.admin("PUT", "/api/jobs/custom", "Content-Type: application/json\r\n", document.as_bytes()).await;
    assert!(refusal(&world, &dir, &format!("image delete {id}")).await.contains("is used by job custom"));
    assert_eq!(ids(&world, &dir).await, [id]);
    world.service.stop().await;
}
