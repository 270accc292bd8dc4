//! Builds the programs of the demo, and the images from them: versions of the device program, signed.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, Command};

use crate::Error;
use crate::check;
use crate::interrupt::Interrupted;

/// A version of the device program, and whether it passes its own test.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    /// As in its header.
    pub version: &'static str,
    /// What `OTA_DEVICE_SELF_TEST` is set to.
    self_test: &'static str,
}

/// The releases of the story: the third is bad.
pub const RELEASES: [Release; 3] = [
    Release { version: "1.0.0", self_test: "pass" },
    Release { version: "2.0.0", self_test: "pass" },
    Release { version: "3.0.0", self_test: "fail" },
];

/// What a person may try when the story is over: newer than all of it, and good.
pub const NEXT_RELEASE: Release = Release { version: "4.0.0", self_test: "pass" };

impl Release {
    /// The file of its image.
    pub fn image_name(&self) -> String {
        let (major, _) = self.version.split_once('.').unwrap_or((self.version, ""));
        format!("v{major}.img")
    }
}

/// Where the programs lie once they are built.
pub struct Programs {
    folder: PathBuf,
    profile: String,
}

impl Programs {
    /// The programs beside this one, built with the profile that this one was built with.
    pub fn beside_this_one() -> Result<Self, Error> {
        let folder = env::current_exe()?.parent().ok_or("this program lies in no folder")?.to_owned();
        let name = folder.file_name().and_then(|name| name.to_str()).ok_or("this program's folder has no name")?;
        // Cargo calls the folder of its profile `dev` "debug".
        let profile = if name == "debug" { "dev" } else { name }.to_owned();
        Ok(Self { folder, profile })
    }

    /// Builds everything but the device program.
    pub async fn build(&self) -> Result<(), Error> {
        let what = ["--package", "ota-cloud", "--bins", "--package", "ota-examples", "--bin", "boot-selector"];
        self.cargo(&what, &[]).await
    }

    /// The path of a program.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where images are kept after the demo, so that their sums can be checked.
    pub fn images(&self) -> PathBuf {
        self.folder.join("demo-images")
    }

    /// How long the device program of the last build is, 0 if there was none: an estimate of the next one.
    pub fn device_bytes(&self) -> u64 {
        fs::metadata(self.path("device")).map_or(0, |about| about.len())
    }

    /// Builds the device program as `release` and copies it to `to`, with `payload` behind it if there is one.
    ///
    /// Errors: the build's, or an image that no slot holds.
    pub async fn build_device(&self, release: &Release, payload: Option<&[u8]>, to: &Path) -> Result<(), Error> {
        let settings = [("OTA_DEVICE_VERSION", release.version), ("OTA_DEVICE_SELF_TEST", release.self_test)];
        self.cargo(&["--package", "ota-examples", "--bin", "device"], &settings).await?;
        let payload = payload.unwrap_or_default();
        check::fits(payload.len() as u64, self.device_bytes()).map_err(|error| format!("--image: {error}"))?;
        let mut program = fs::read(self.path("device"))?;
        // A program goes on to run with anything behind it.
        program.extend_from_slice(payload);
        Ok(fs::write(to, program)?)
    }

    /// Runs the command line tool and returns what it prints.
    pub async fn ota(&self, arguments: &[&str]) -> Result<String, Error> {
        self.run("ota", arguments).await
    }

    /// Runs a program to its end and returns what it prints. Dropping the future ends the program.
    pub async fn run(&self, name: &str, arguments: &[&str]) -> Result<String, Error> {
        let program = self.path(name);
        let output = Command::new(&program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(ended(output.status, &format!("{name} {}: {}", arguments.join(" "), said.trim())));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    async fn cargo(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Result<(), Error> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(&cargo);
        build.args(["build", "--quiet", "--profile", &self.profile]).args(arguments).envs(settings.iter().copied());
        for (name, _) in env::vars_os().filter(|(name, _)| is_about_this_package(name)) {
            build.env_remove(name);
        }
        if let Some(target) = self.folder.parent() {
            build.arg("--target-dir").arg(target);
        }
        let build = Build::start(build.current_dir(env!("CARGO_MANIFEST_DIR")));
        let status = build.map_err(|error| format!("{}: {error}", cargo.display()))?.0.wait().await?;
        match status.success() {
            true => Ok(()),
            false => Err(ended(status, &format!("cargo build {}: {status}", arguments.join(" ")))),
        }
    }
}

/// A build and all that it starts; they end when this is dropped.
struct Build(Child);

impl Build {
    /// Starts it as a process group of its own: to end cargo alone would leave its compilers at work.
    fn start(command: &mut Command) -> std::io::Result<Self> {
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).spawn().map(Self)
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // Without an id it has been waited for, and its number may be somebody else's by now.
        let Some(group) = self.0.id() else { return };
        // The standard library ends single processes only; every shell can do this.
        let killed = std::process::Command::new("sh").args(["-c", &format!("kill -s KILL -- -{group}")]).status();
        if !killed.is_ok_and(|status| status.success()) {
            eprintln!("demo: the build's processes, group {group}, may still run");
        }
    }
}

/// Why a program's end is ours.
fn ended(status: ExitStatus, why: &str) -> Error {
    Interrupted::ended(status).map_or_else(|| why.into(), Error::from)
}

/// Whether `cargo run` set this variable for us. Build scripts that watch it, ring's for one, would run again for it, and
/// what depends on them would be compiled again.
fn is_about_this_package(variable: &OsStr) -> bool {
    variable.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
}
