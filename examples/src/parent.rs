//! Ends a process together with its parent: a process started with a pipe as standard input exits when the pipe closes,
//! however the parent ended.

use std::io::{self, Read};
use std::thread;

/// Exits this process when standard input ends.
pub fn leave_with_parent() {
    thread::spawn(|| {
        let mut byte = [0];
        // An error counts as the end.
        while let Ok(1) = io::stdin().read(&mut byte) {}
        std::process::exit(0);
    });
}
