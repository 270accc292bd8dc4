//! A PostgreSQL server of this test program, if it is installed: one for all tests, each of which has a database of its own.

#![allow(dead_code)] // each test program uses a part of it

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Debian installs each version in a directory of its own, which is not in the PATH.
const DEBIAN: &str = "/usr/lib/postgresql";
/// User and password of the server.
const USER: &str = "ota";
pub const PASSWORD: &str = "pass-word";
/// Starts a server in a new directory, prints the directory, and stops the server when the input ends: when the test program
/// does, also by a signal. The databases sort texts by a language, unless a column is sorted otherwise.
const SCRIPT: &str = r#"
    set -e
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    echo "$3" > "$dir/password"
    "$1/initdb" -D "$dir/data" -U "$2" -A scram-sha-256 --pwfile "$dir/password" -E UTF8 --no-sync \
        --locale C.UTF-8 --locale-provider icu --icu-locale en > "$dir/log" 2>&1
    "$1/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off >> "$dir/log" 2>&1 < /dev/null &
    until "$1/pg_isready" -q -h "$dir"; do sleep 0.05; kill -0 $!; done
    echo "$dir"
    cat > /dev/null
    kill -QUIT $!
    wait $! || true
"#;

static SERVER: OnceLock<Option<Server>> = OnceLock::new();
static COUNTER: AtomicU32 = AtomicU32::new(0);

struct Server {
    programs: PathBuf,
    dir: String,
}

/// An empty database.
pub struct Database {
    server: &'static Server,
    name: String,
}

impl Database {
    /// Creates a database; `None` if PostgreSQL is not installed.
    pub fn new() -> Option<Self> {
        let server = SERVER.get_or_init(Server::start).as_ref()?;
        let name = format!("test{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        server.run("postgres", &format!("CREATE DATABASE {name}"));
        Some(Self { server, name })
    }

    /// The URL with the login.
    pub fn url(&self) -> String {
        self.url_with(PASSWORD)
    }

    /// The URL with another password.
    pub fn url_with(&self, password: &str) -> String {
        format!("postgres://{USER}:{password}@localhost/{}?host={}", self.name, self.server.dir)
    }

    /// The URL with another path of the socket's directory.
    pub fn url_at(&self, dir: &Path) -> String {
        self.url().replace(&self.server.dir, &dir.display().to_string())
    }

    /// The directory of the server's socket.
    pub fn socket_dir(&self) -> &Path {
        Path::new(&self.server.dir)
    }

    /// Runs a query, and returns its rows as text.
    pub fn run(&self, query: &str) -> String {
        self.server.run(&self.name, query)
    }

    /// Ends the connections of all programs to this database, and waits for their end; returns their number.
    pub fn disconnect(&self) -> usize {
        let ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        self.run(ended).lines().count()
    }
}

impl Server {
    fn start() -> Option<Self> {
        let programs = programs()?;
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        // The server refuses to run as root; Debian's package has a user for it.
        let mut command = if is_root { Command::new("runuser") } else { Command::new("sh") };
        if is_root {
            command.args(["-u", "postgres", "--", "sh"]);
        }
        command.args(["-c", SCRIPT, "sh"]).arg(&programs).args([USER, PASSWORD]);
        let mut child = command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut dir = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut dir).unwrap();
        assert!(!dir.is_empty(), "the server does not start");
        // The input stays open as long as this program runs.
        std::mem::forget(child);
        Some(Self { programs, dir: dir.trim_end().to_owned() })
    }

    fn run(&self, database: &str, query: &str) -> String {
        let psql = Command::new(self.programs.join("psql"))
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", &self.dir, "-U", USER, "-d", database])
            .args(["-c", query])
            .env("PGPASSWORD", PASSWORD)
            .output()
            .unwrap();
        assert!(psql.status.success(), "{query}: {}", String::from_utf8_lossy(&psql.stderr));
        String::from_utf8(psql.stdout).unwrap().trim_end().to_owned()
    }
}

/// The directory of the newest version.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(Path::new(DEBIAN)).ok()?.filter_map(|entry| entry.ok());
    let programs = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists());
    programs.max_by_key(|bin| bin.parent()?.file_name()?.to_str()?.parse::<u32>().ok())
}
