//! Builds the programs of the demo, and the images from them: three versions of the device program, signed.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// A version of the device program, and whether it passes its own test.
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
    pub fn build(&self) -> Result<(), Error> {
        self.cargo(&["--package", "ota-cloud", "--bins", "--package", "ota-examples", "--bin", "boot-selector"], &[])
    }

    /// The path of a program.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where images are kept after the demo, so that their sums can be checked.
    pub fn images(&self) -> PathBuf {
        self.folder.join("demo-images")
    }

    /// Builds the device program as `release` and copies it to `to`, with `payload` behind it if there is one.
    pub fn build_device(&self, release: &Release, payload: Option<&[u8]>, to: &Path) -> Result<(), Error> {
        let settings = [("OTA_DEVICE_VERSION", release.version), ("OTA_DEVICE_SELF_TEST", release.self_test)];
        self.cargo(&["--package", "ota-examples", "--bin", "device"], &settings)?;
        let mut program = fs::read(self.path("device"))?;
        // A program goes on to run with anything behind it.
        program.extend_from_slice(payload.unwrap_or_default());
        Ok(fs::write(to, program)?)
    }

    /// Runs the command line tool and returns what it prints.
    pub fn ota(&self, arguments: &[&str]) -> Result<String, Error> {
        let output = Command::new(self.path("ota")).args(arguments).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("ota {}: {}", arguments.join(" "), said.trim()).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn cargo(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Result<(), Error> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--profile", &self.profile]).args(arguments).envs(settings.iter().copied());
        for (name, _) in env::vars_os().filter(|(name, _)| is_about_this_package(name)) {
            build.env_remove(name);
        }
        if let Some(target) = self.folder.parent() {
            build.arg("--target-dir").arg(target);
        }
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
        if status.success() { Ok(()) } else { Err(format!("cargo build {}: {status}", arguments.join(" ")).into()) }
    }
}

/// Whether `cargo run` set this variable for us. Build scripts that watch it, ring's for one, would run again for it, and
/// what depends on them would be compiled again.
fn is_about_this_package(variable: &OsStr) -> bool {
    variable.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
}
