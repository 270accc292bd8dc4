//! The link between an adapter and a real broker: a forwarder whose way back carries what a clause asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use ota_agent::transport::Broker;
use ota_agent::transport::conformance::{Link, TestBroker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// Lengths of the pieces of a slow link: not those of any packet.
const PIECES: [usize; 4] = [1, 97, 3, 61];
const PIECE_INTERVAL: Duration = Duration::from_millis(1);

/// What is known of a broker.
#[derive(Clone, Copy)]
pub struct Known {
    pub port: u16,
    /// As [`TestBroker::rejected_filter`].
    pub rejected_filter: Option<&'static str>,
    /// As [`TestBroker::added_bytes_max`].
    pub added_bytes_max: usize,
}

/// A broker behind a link, and what makes an adapter from client id and port.
pub struct Bench<B> {
    port: u16,
    link: watch::Sender<Link>,
    sent_bytes: Arc<AtomicU64>,
    adapter: Box<dyn Fn(String, u16) -> B>,
    broker: Known,
}

/// Client ids differ from adapter to adapter: the sessions of earlier ones may still exist.
static ADAPTERS: AtomicU32 = AtomicU32::new(0);

impl<B> Bench<B> {
    /// Starts a link to `broker`, on this machine.
    pub async fn new(broker: Known, adapter: impl Fn(String, u16) -> B + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (link, state) = watch::channel(Link::Open);
        let sent_bytes = Arc::new(AtomicU64::new(0));
        tokio::spawn(accept(listener, broker.port, state, sent_bytes.clone()));
        Self { port, link, sent_bytes, adapter: Box::new(adapter), broker }
    }
}

impl<B: Broker> TestBroker for Bench<B> {
    type Broker = B;

    fn adapter(&mut self) -> B {
        (self.adapter)(format!("conformance-{}", ADAPTERS.fetch_add(1, SeqCst)), self.port)
    }

    fn set(&mut self, link: Link) {
        self.link.send_replace(link);
    }

    fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(SeqCst)
    }

    fn rejected_filter(&self) -> Option<&'static str> {
        self.broker.rejected_filter
    }

    fn added_bytes_max(&self) -> usize {
        self.broker.added_bytes_max
    }
}

async fn accept(listener: TcpListener, broker: u16, link: watch::Receiver<Link>, sent_bytes: Arc<AtomicU64>) {
    while let Ok((adapter, _)) = listener.accept().await {
        if *link.borrow() != Link::Cut {
            tokio::spawn(carry(adapter, broker, link.clone(), sent_bytes.clone()));
        }
    }
}

/// Forwards both ways until one side closes, or the link is cut.
async fn carry(adapter: TcpStream, broker: u16, link: watch::Receiver<Link>, sent_bytes: Arc<AtomicU64>) {
    let Ok(broker) = TcpStream::connect(("127.0.0.1", broker)).await else { return };
    for socket in [&adapter, &broker] {
        socket.set_nodelay(true).unwrap();
    }
    let ((from_adapter, to_adapter), (from_broker, to_broker)) = (adapter.into_split(), broker.into_split());
    let mut cut = link.clone();
    tokio::select! {
        () = up(from_adapter, to_broker, sent_bytes) => {}
        () = down(from_broker, to_adapter, link) => {}
        _ = cut.wait_for(|link| *link == Link::Cut) => {}
    }
}

async fn up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, sent_bytes: Arc<AtomicU64>) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        sent_bytes.fetch_add(len as u64, SeqCst);
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}

async fn down(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut link: watch::Receiver<Link>) {
    let (mut buffer, mut pieces) = ([0; 4096], PIECES.into_iter().cycle());
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        let mut rest = &buffer[..len];
        while !rest.is_empty() {
            let Ok(state) = link.wait_for(|link| *link != Link::Held).await.map(|state| *state) else { return };
            let len = match state {
                Link::Slow => pieces.next().unwrap().min(rest.len()),
                _ => rest.len(),
            };
            if to.write_all(&rest[..len]).await.is_err() {
                return;
            }
            rest = &rest[len..];
            if state == Link::Slow {
                sleep(PIECE_INTERVAL).await;
            }
        }
    }
}
