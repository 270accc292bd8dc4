//! A connection between board and service that can be cut, and that counts what it carries to the board.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use ota_examples::device::Error;

const BUFFER_BYTES: usize = 4096;

/// A port on this machine that forwards to another one.
pub struct Cable {
    port: u16,
    state: Arc<State>,
}

struct State {
    /// Where connections go; `None` before the service runs.
    to: watch::Sender<Option<u16>>,
    is_cut: watch::Sender<bool>,
    received_bytes: AtomicU64,
}

impl Cable {
    /// A cable that leads nowhere yet.
    pub async fn new() -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(State {
            to: watch::Sender::new(None),
            is_cut: watch::Sender::new(false),
            received_bytes: AtomicU64::new(0),
        });
        tokio::spawn(accept(listener, state.clone()));
        Ok(Self { port, state })
    }

    /// The port for the board.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Leads the cable to a port of the service.
    pub fn lead_to(&self, port: u16) {
        self.state.to.send_replace(Some(port));
    }

    /// Cuts the cable, or mends it: a connection of a cut cable carries nothing, and ends when it is mended.
    pub fn cut(&self, is_cut: bool) {
        self.state.is_cut.send_replace(is_cut);
    }

    /// Bytes that arrived at the board.
    pub fn received_bytes(&self) -> u64 {
        self.state.received_bytes.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((board, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move { connect(board, &state).await });
    }
}

/// Serves one connection; an error on either side ends it.
async fn connect(board: TcpStream, state: &State) -> Option<()> {
    let mut is_cut = state.is_cut.subscribe();
    is_cut.wait_for(|cut| !cut).await.ok()?;
    let port = (*state.to.borrow())?;
    let service = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    board.set_nodelay(true).ok()?;
    let (from_board, to_board) = board.into_split();
    let (from_service, to_service) = service.into_split();
    let (uncounted, counted) = (AtomicU64::new(0), &state.received_bytes);
    tokio::select! {
        _ = forward(from_board, to_service, &uncounted) => {}
        _ = forward(from_service, to_board, counted) => {}
        _ = is_cut.wait_for(|cut| *cut) => {}
    }
    // The board gets no end of the connection while the cable is cut.
    is_cut.wait_for(|cut| !cut).await.ok()?;
    Some(())
}

async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, count: &AtomicU64) {
    let mut buffer = [0; BUFFER_BYTES];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        count.fetch_add(len as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}
