//! A server whose responses a clause writes.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ota_agent::transport::HttpSource;
use ota_agent::transport::conformance::{Respond, TestServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The one host that clients are allowed to connect to.
pub const HOSTS: [&str; 1] = ["127.0.0.1"];
const PIECE_BYTES: usize = 700;
const PIECE_INTERVAL: Duration = Duration::from_millis(1);

/// The server, and what makes a client.
pub struct Server<H> {
    port: u16,
    respond: Arc<Mutex<Respond>>,
    connections: Arc<AtomicUsize>,
    client: Box<dyn Fn() -> H>,
}

impl<H> Server<H> {
    /// Starts the server.
    pub async fn new(client: impl Fn() -> H + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let respond: Arc<Mutex<Respond>> = Arc::new(Mutex::new(|_| Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, response) = (connections.clone(), respond.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, SeqCst);
                tokio::spawn(answer(socket, response.clone()));
            }
        });
        Self { port, respond, connections, client: Box::new(client) }
    }
}

impl<H: HttpSource> TestServer for Server<H> {
    type Http = H;

    fn client(&mut self) -> H {
        (self.client)()
    }

    fn serve(&mut self, respond: Respond) {
        *self.respond.lock().unwrap() = respond;
    }

    fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    fn other_url(&self) -> String {
        format!("http://localhost:{}/file", self.port)
    }
}

async fn answer(mut socket: TcpStream, respond: Arc<Mutex<Respond>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let respond = *respond.lock().unwrap();
    for piece in respond(&String::from_utf8_lossy(&head)).chunks(PIECE_BYTES) {
        if socket.write_all(piece).await.is_err() {
            return;
        }
        sleep(PIECE_INTERVAL).await;
    }
    let _ = socket.shutdown().await; // the client may have closed first
}
