//! The scenario: creates jobs, shows the output of device and service, and checks the results.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::certificates::{Authority, ImageInfo};
use ota_examples::device::HARDWARE;

use crate::build::{NEXT_RELEASE, Programs, RELEASES, Release};
use crate::check;
use crate::hints;
use crate::processes::{Folder, Process};
use crate::results::{Expected, JobResult, table};
use crate::screen::Screen;
use crate::view::{BootTimes, View};
use crate::{Error, Options, Protocol};

/// Timeout of an update.
const STEP_WAIT: Duration = Duration::from_secs(120);
const READY_WAIT: Duration = Duration::from_secs(20);
const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// The programs, files and processes that all chapters share.
///
/// The field order matters: the service is dropped, and so ended, before its folder is removed.
struct Environment {
    service: Process,
    programs: Programs,
    folder: Folder,
    images: PathBuf,
    mqtt: String,
    http: String,
    tls: Option<(Authority, ImageInfo)>,
    payload: Option<Vec<u8>>,
}

/// Runs the scenario; returns whether all results are as expected.
pub async fn run(options: &Options, screen: &mut Screen) -> Result<bool, Error> {
    let mut environment = Environment::start(options, screen).await?;
    let protocols = options.protocol.map_or(vec![Protocol::Mqtt, Protocol::Http], |one| vec![one]);
    let mut results = Vec::new();
    let mut devices = Vec::new();
    for protocol in &protocols {
        let last = protocols.last() == Some(protocol);
        let (device, mut chapter_results) = environment.chapter(*protocol, last, screen).await?;
        results.append(&mut chapter_results);
        devices.push(device);
    }
    let all = table(&results, !options.once, screen);
    if !options.once {
        environment.keep_running(&mut devices, protocols[0], screen).await?;
    }
    Ok(all)
}

impl Environment {
    async fn start(options: &Options, screen: &mut Screen) -> Result<Self, Error> {
        let programs = Programs::beside_this_one()?;
        let payload = options.image.as_deref().map(|file| check::image(file, programs.device_bytes())).transpose()?;
        let broker = match &options.broker {
            Some(url) => Some(check::broker(url).await?),
            None => None,
        };
        // The additional release is only needed if the demo keeps running.
        let releases = if options.once { RELEASES.to_vec() } else { [&RELEASES[..], &[NEXT_RELEASE]].concat() };
        let count = releases.len();
        screen.say(&format!("building the service, the boot selector and {count} versions of the device ..."));
        programs.build().await?;
        let images = empty_folder(programs.images())?;
        let folder = Folder::new(&programs.path(""))?;
        make_images(&programs, &releases, &images, folder.path(), payload.as_deref()).await?;

        let tls = match options.broker {
            Some(_) => None,
            None => {
                let authority = Authority::new(folder.path())?;
                let server = authority.server(folder.path(), &["localhost", "127.0.0.1"])?;
                Some((authority, server))
            }
        };
        let arguments = service_arguments(folder.path(), tls.as_ref(), options.broker.as_deref());
        let mut service = Process::start(&programs.path("ota-cloud"), arguments)?;
        let listening = tokio::time::timeout(READY_WAIT, ready(&mut service)).await;
        let (mqtt, http) =
            listening.map_err(|_| format!("the service is not ready after {} s", READY_WAIT.as_secs()))??;
        Ok(Self { service, programs, folder, images, mqtt: broker.unwrap_or(mqtt), http, tls, payload })
    }

    /// Runs one device from its first program to the last job of the chapter.
    async fn chapter(
        &mut self,
        protocol: Protocol,
        last: bool,
        screen: &mut Screen,
    ) -> Result<(Device, Vec<JobResult>), Error> {
        let name = protocol.name();
        screen.chapter(&format!("Updates over {}: a good image, then a bad one", name.to_uppercase()));
        let mut device = self.start_device(&format!("demo-{name}")).await?;
        let good = Expected { status: "SUCCEEDED", reason: "accepted", version: "2.0.0", image_runs: true };
        let bad = Expected { status: "FAILED", reason: "SelfTestFailed", version: "2.0.0", image_runs: false };
        let forged = Expected { status: "FAILED", reason: "SignatureInvalid", version: "2.0.0", image_runs: false };
        let mut results = vec![
            self.step(&mut device, protocol, &format!("v2-{name}"), "v2.img", good, screen).await?,
            self.step(&mut device, protocol, &format!("v3-{name}"), "v3.img", bad, screen).await?,
        ];
        if last {
            screen.chapter("A tampered image: one bit differs from the signed image");
            let job = format!("forged-{name}");
            results.push(self.step(&mut device, protocol, &job, "forged.img", forged, screen).await?);
        }
        Ok((device, results))
    }

    async fn start_device(&self, thing: &str) -> Result<Device, Error> {
        let flash = self.folder.path().join(format!("{thing}.flash"));
        let selector = self.programs.path("boot-selector");
        let image = self.images.join("v1.img");
        let first = ["--flash", &path(&flash), "--install", &path(&image)];
        self.programs.run("boot-selector", &first).await?;
        let mut arguments: Vec<String> = vec!["--flash".into(), path(&flash), "--leave-with-parent".into()];
        arguments.extend(["--endpoint", &self.mqtt, "--thing", thing, "--allow-host", "127.0.0.1"].map(str::to_owned));
        arguments.extend(["--update-key".into(), path(&self.images.join("public.pem"))]);
        if let Some((authority, _)) = &self.tls {
            let own = authority.client(self.folder.path(), thing)?;
            arguments.extend(["--ca".into(), path(&authority.certificate)]);
            arguments.extend(["--cert".into(), path(&own.certificate), "--key".into(), path(&own.key)]);
        }
        let process = Process::start(&selector, arguments)?;
        Ok(Device { process, thing: thing.to_owned(), flash, view: View::default(), up: BootTimes::default() })
    }

    /// Runs one job, from its creation until the device has settled it.
    async fn step(
        &mut self,
        device: &mut Device,
        protocol: Protocol,
        job: &str,
        image: &str,
        expected: Expected,
        screen: &mut Screen,
    ) -> Result<JobResult, Error> {
        let image = self.images.join(image);
        screen.say("");
        screen.cloud(&format!("job {job} created"));
        let id = ["--id", job, "--protocol", protocol.name(), "--thing", &device.thing];
        self.job(&[&["create", "--image", &path(&image)][..], &id[..]].concat()).await?;
        tokio::time::timeout(STEP_WAIT, self.watch(device, screen))
            .await
            .map_err(|_| format!("job {job} has not ended after {} s", STEP_WAIT.as_secs()))??;
        let output = self.job(&["show", job]).await?;
        let output = output.lines().find(|line| line.starts_with(&device.thing)).unwrap_or_default();
        JobResult::check(job, image, expected, output, &device.flash, self.payload.as_deref(), device.up.take())
    }

    /// Shows the output of both sides until the device has settled its job.
    async fn watch(&mut self, device: &mut Device, screen: &mut Screen) -> Result<(), Error> {
        let Device { process, thing, view, up, .. } = device;
        loop {
            tokio::select! {
                line = process.line() => {
                    if view.device(&line?, up, screen) {
                        return Ok(());
                    }
                }
                line = self.service.line() => view.cloud(&line?, thing, screen),
                () = tokio::time::sleep(FLUSH_EVERY) => view.flush(screen),
            }
        }
    }

    async fn job(&self, arguments: &[&str]) -> Result<String, Error> {
        let mut whole = self.server_arguments();
        whole.push("job".into());
        whole.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let whole: Vec<&str> = whole.iter().map(String::as_str).collect();
        self.programs.ota(&whole).await
    }

    fn server_arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--server".into(), self.url(), "--token-file".into(), path(&self.token())];
        if let Some((authority, _)) = &self.tls {
            arguments.extend(["--ca".into(), path(&authority.certificate)]);
        }
        arguments
    }

    fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.http)
    }

    fn token(&self) -> PathBuf {
        self.folder.path().join("cloud").join("token")
    }

    /// Keeps showing both sides until a signal drops this future.
    async fn keep_running(
        &mut self,
        devices: &mut [Device],
        protocol: Protocol,
        screen: &mut Screen,
    ) -> Result<(), Error> {
        let Some(device) = devices.first_mut() else { return Ok(()) };
        screen.say("\nService and device keep running until Ctrl-C. To create another job, type in");
        screen.say("a second terminal in this folder:\n");
        let (url, token, ota) = (self.url(), self.token(), self.programs.path("ota"));
        let ca = self.tls.as_ref().map(|(authority, _)| authority.certificate.as_path());
        let service = hints::Service { url: &url, token: &token, ca };
        let image = self.images.join(NEXT_RELEASE.image_name());
        screen.say(&hints::next_job(&service, &ota, &device.thing, protocol, &image).join("\n"));
        screen.say(&format!("\nThe device will download, test and commit it: v{} starts", NEXT_RELEASE.version));
        screen.say("and the job ends as SUCCEEDED. v2.img as next-2 is then REJECTED: it is older.\n");
        screen.say(&(hints::console(&service).join("\n") + "\n"));
        loop {
            self.watch(device, screen).await?;
        }
    }
}

/// A device: the process of its boot selector, and its flash.
struct Device {
    process: Process,
    thing: String,
    flash: PathBuf,
    view: View,
    up: BootTimes,
}

/// Returns the folder at `path`, empty_folder: images of an earlier run are signed with a discarded key.
fn empty_folder(path: PathBuf) -> Result<PathBuf, Error> {
    if path.exists() {
        fs::remove_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

async fn make_images(
    programs: &Programs,
    releases: &[Release],
    images: &Path,
    secret: &Path,
    payload: Option<&[u8]>,
) -> Result<(), Error> {
    programs.ota(&["keygen", "--out", &path(secret)]).await?;
    let (key, public) = key_files(secret)?;
    fs::copy(public, images.join("public.pem"))?;
    for release in releases {
        let program = secret.join("program");
        programs.build_device(release, payload, &program).await?;
        let image = images.join(release.image_name());
        let about = ["sign", "--key", &path(&key), "--version", release.version, "--hardware", HARDWARE];
        programs.ota(&[&about[..], &[&path(&program), &path(&image)]].concat()).await?;
    }
    let mut forged = fs::read(images.join("v3.img"))?;
    let middle = forged.len() / 2;
    forged[middle] ^= 1;
    fs::write(images.join("forged.img"), forged)?;
    fs::copy(images.join("v3.img.sig"), images.join("forged.img.sig"))?;
    Ok(())
}

/// Returns the private and the public key file of `ota keygen`.
fn key_files(folder: &Path) -> Result<(PathBuf, PathBuf), Error> {
    Ok((folder.join("private.pem"), folder.join("public.pem")))
}

fn service_arguments(folder: &Path, tls: Option<&(Authority, ImageInfo)>, broker: Option<&str>) -> Vec<String> {
    let mut arguments: Vec<String> = vec!["serve".into(), "--data".into(), path(&folder.join("cloud"))];
    arguments.extend(["--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log", "json"].map(str::to_owned));
    if let Some((authority, server)) = tls {
        arguments.extend(["--tls-cert".into(), path(&server.certificate), "--tls-key".into(), path(&server.key)]);
        arguments.extend(["--tls-ca".into(), path(&authority.certificate)]);
    }
    if let Some(broker) = broker {
        arguments.extend(["--broker".into(), broker.to_owned()]);
    }
    arguments
}

/// Waits for the ready line of the service; returns its addresses.
async fn ready(service: &mut Process) -> Result<(String, String), Error> {
    loop {
        let line = service.line().await?;
        let Some(rest) = line.strip_prefix("ready mqtt=") else { continue };
        let (mqtt, http) = rest.split_once(" http=").ok_or("a ready line without an HTTP address")?;
        return Ok((mqtt.to_owned(), http.to_owned()));
    }
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
