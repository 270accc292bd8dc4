//! The processes of the demo: started with a pipe that ends them together with this process, and read line by line.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::Error;
use crate::interrupt::Interrupted;

/// How often the removal of a folder is retried: a process that was just killed may still have created a file.
const REMOVALS_MAX: u32 = 20;
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);

/// A temporary folder that only its owner can read; removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// Creates a folder for this process below `parent`.
    pub fn new(parent: &Path) -> Result<Self, Error> {
        let path = parent.join(format!("demo-run-{}", std::process::id()));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for _ in 1..REMOVALS_MAX {
            if fs::remove_dir_all(&self.0).is_ok() {
                return;
            }
            thread::sleep(REMOVAL_PAUSE);
        }
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("demo: cannot remove {}: {error}", self.0.display());
        }
    }
}

/// A running program; killed when dropped.
pub struct Process {
    child: Child,
    /// When this pipe closes, the program exits.
    _stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    name: String,
}

impl Process {
    /// Starts `program`.
    pub fn start<A: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = A>) -> Result<Self, Error> {
        let name = program.file_name().and_then(OsStr::to_str).unwrap_or("program").to_owned();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let stdin = child.stdin.take();
        let out = child.stdout.take().ok_or("a process without standard output")?;
        Ok(Self { child, _stdin: stdin, lines: BufReader::new(out).lines(), name })
    }

    /// Returns its next line.
    ///
    /// # Cancel safety
    ///
    /// No line is lost if the future is dropped.
    ///
    /// Errors: the program ended.
    pub async fn line(&mut self) -> Result<String, Error> {
        if let Some(line) = self.lines.next_line().await? {
            return Ok(line);
        }
        let status = self.child.wait().await?;
        let failed = || format!("{} ended: {status}", self.name).into();
        Err(Interrupted::ended(status).map_or_else(failed, Error::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_folder_is_for_its_owner_alone() -> Result<(), Error> {
        let folder = Folder::new(&std::env::temp_dir())?;
        assert_eq!(fs::metadata(folder.path())?.permissions().mode() & 0o777, 0o700);
        Ok(())
    }
}
