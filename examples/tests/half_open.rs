//! A connection that brings nothing any more, as behind a router that was restarted, while the device goes on publishing: the
//! agent's pump gives it up if `receive` returns nothing. That it does is checked here; the pump in `ota-tests`.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use minimq::{Buffers, ConfigBuilder};
use ota_agent::prelude::*;
use ota_agent::transport::{Activity, Broker, Mqtt, QoS};
use ota_cloud::serve::{Config, Service};
use ota_examples::bench::Device;
use ota_examples::connect::Network;
use ota_examples::device::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// So that no ping is due while the device publishes.
const KEEP_ALIVE_S: u16 = 60;
const PUBLISHES: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// Returns a port that forwards to `port` until `dead`, and then reads on and forwards nothing.
async fn half_open(port: u16, dead: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (from_device, to_device) = listener.accept().await.unwrap().0.into_split();
        let (from_server, to_server) = TcpStream::connect(("127.0.0.1", port)).await.unwrap().into_split();
        tokio::join!(forward(from_device, to_server, &dead), forward(from_server, to_device, &dead));
    });
    own
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, dead: &AtomicBool) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        if !dead.load(SeqCst) && to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
    std::future::pending().await // dropping the halves would close the connection
}

#[tokio::test]
async fn nothing_is_received_from_a_half_open_connection_whatever_the_device_publishes() -> Result<(), Error> {
    let device = Device::new("half-open")?;
    let service = Service::start(Config::local(device.folder())).await?;
    let dead = Arc::new(AtomicBool::new(false));
    let port = half_open(service.mqtt.rsplit_once(':').unwrap().1.parse()?, dead.clone()).await;
    let (mut receive, mut send) = ([0; 512], [0; 2048]);
    let session = ConfigBuilder::new(Buffers::new(&mut receive, &mut send)).client_id("kitchen")?;
    let mut broker = Minimq::new(session, KEEP_ALIVE_S, Network::plain(), "127.0.0.1", port).without_tls();
    let activity = Activity::default();
    let mut connection = broker.connect(&activity).await.map_err(|error| format!("{error:?}"))?;
    for is_dead in [false, true] {
        dead.store(is_dead, SeqCst);
        for _ in 0..PUBLISHES {
            Mqtt::publish(&mut connection, "kitchen/door", b"open", QoS::AtLeastOnce, false).await.unwrap();
            if is_dead {
                assert!(timeout(PAUSE, connection.receive()).await.is_err() && !activity.take(), "nothing arrives");
            } else {
                assert!(connection.receive().await.unwrap().is_none() && activity.take(), "the acknowledgement");
            }
        }
    }
    service.stop().await;
    Ok(())
}
