//! Builds the programs of the demo and the signed images: versions of the device program.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, Command};

use crate::Error;
use crate::check;
use crate::interrupt::Interrupted;

/// A version of the device program and the verdict of its self-test.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    /// Version in the image header.
    pub version: &'static str,
    /// Value of `OTA_DEVICE_SELF_TEST`.
    self_test: &'static str,
}

/// Releases of the scenario: the third fails its self-test.
pub const RELEASES: [Release; 3] = [
    Release { version: "1.0.0", self_test: "pass" },
    Release { version: "2.0.0", self_test: "pass" },
    Release { version: "3.0.0", self_test: "fail" },
];

/// Release for a job created by hand after the scenario: a newer version that passes its self-test.
pub const NEXT_RELEASE: Release = Release { version: "4.0.0", self_test: "pass" };

impl Release {
    /// Returns the file name of its image.
    pub fn image_name(&self) -> String {
        let (major, _) = self.version.split_once('.').unwrap_or((self.version, ""));
        format!("v{major}.img")
    }
}

/// Paths of the built programs.
pub struct Programs {
    folder: PathBuf,
    profile: String,
}

impl Programs {
    /// Locates the programs beside this one, built with the same profile.
    pub fn beside_this_one() -> Result<Self, Error> {
        let folder = env::current_exe()?.parent().ok_or("the path of this program has no folder")?.to_owned();
        let name = folder.file_name().and_then(|name| name.to_str()).ok_or("this program's folder has no name")?;
        // Cargo names the folder of the profile `dev` "debug".
        let profile = if name == "debug" { "dev" } else { name }.to_owned();
        Ok(Self { folder, profile })
    }

    /// Builds everything but the device program.
    pub async fn build(&self) -> Result<(), Error> {
        let what = ["--package", "ota-cloud", "--bins", "--package", "ota-examples", "--bin", "boot-selector"];
        self.cargo(&what, &[]).await
    }

    /// Returns the path of a program.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Folder in which the images are kept after the demo, so that their digests can be checked.
    pub fn images(&self) -> PathBuf {
        self.folder.join("demo-images")
    }

    /// Length of the device program of the last build, 0 if there was none: an estimate for the next one.
    pub fn device_bytes(&self) -> u64 {
        fs::metadata(self.path("device")).map_or(0, |about| about.len())
    }

    /// Builds the device program as `release` and copies it to `to`, followed by `payload` if present.
    ///
    /// Errors: the build failed, or the image is too large for a slot.
    pub async fn build_device(&self, release: &Release, payload: Option<&[u8]>, to: &Path) -> Result<(), Error> {
        let settings = [("OTA_DEVICE_VERSION", release.version), ("OTA_DEVICE_SELF_TEST", release.self_test)];
        self.cargo(&["--package", "ota-examples", "--bin", "device"], &settings).await?;
        let payload = payload.unwrap_or_default();
        check::fits(payload.len() as u64, self.device_bytes()).map_err(|error| format!("--image: {error}"))?;
        let mut program = fs::read(self.path("device"))?;
        // Bytes after the end of an ELF file do not affect the program.
        program.extend_from_slice(payload);
        Ok(fs::write(to, program)?)
    }

    /// Runs the command-line tool and returns its output.
    pub async fn ota(&self, arguments: &[&str]) -> Result<String, Error> {
        self.run("ota", arguments).await
    }

    /// Runs a program to its end and returns its output.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future kills the program.
    pub async fn run(&self, name: &str, arguments: &[&str]) -> Result<String, Error> {
        let program = self.path(name);
        let output = Command::new(&program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(ended(output.status, &format!("{name} {}: {}", arguments.join(" "), errors.trim())));
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

/// A build and all processes started by it; killed when dropped.
struct Build(Child);

impl Build {
    /// Starts the build in a process group of its own: killing only cargo would leave its compilers running.
    fn start(command: &mut Command) -> std::io::Result<Self> {
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).spawn().map(Self)
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // Without an id the process has been waited for, and the id may have been reused.
        let Some(group) = self.0.id() else { return };
        // The standard library can only kill single processes, so the shell kills the group.
        let killed = std::process::Command::new("sh").args(["-c", &format!("kill -s KILL -- -{group}")]).status();
        if !killed.is_ok_and(|status| status.success()) {
            eprintln!("demo: the build's processes, group {group}, may still be running");
        }
    }
}

/// Returns the error for a program that failed, or the interruption that ended it.
fn ended(status: ExitStatus, why: &str) -> Error {
    Interrupted::ended(status).map_or_else(|| why.into(), Error::from)
}

/// Returns whether `cargo run` set this variable for us. Build scripts that watch it, for example ring's, would run again,
/// and their dependents would be recompiled.
fn is_about_this_package(variable: &OsStr) -> bool {
    variable.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
}
