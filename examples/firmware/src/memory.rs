//! The memory of the firmware: each buffer is a static of its own, so that the symbols of a program name what it costs, and none is
//! built on the stack before it is used. `tests/size/run` prints them.

use static_cell::ConstStaticCell;

use crate::link::{Identity, Link, TlsBuffers};
use crate::network;
use crate::settings;

const BLOCK_BYTES: usize = settings::BLOCK_BYTES_MAX as usize;
/// One block and the overhead of MQTT and CBOR.
const RECEIVE_BYTES: usize = BLOCK_BYTES + 512;
const SEND_BYTES: usize = 2048;
/// The longest URL.
const URL_BYTES: usize = 2048;

static MQTT_SOCKET: ConstStaticCell<network::Buffers> = ConstStaticCell::new(network::Buffers::new());
static MQTT_TLS: ConstStaticCell<TlsBuffers> = ConstStaticCell::new(TlsBuffers::new());
static MQTT_RECEIVE: ConstStaticCell<[u8; RECEIVE_BYTES]> = ConstStaticCell::new([0; RECEIVE_BYTES]);
static MQTT_SEND: ConstStaticCell<[u8; SEND_BYTES]> = ConstStaticCell::new([0; SEND_BYTES]);
static HTTP_SOCKET: ConstStaticCell<network::Buffers> = ConstStaticCell::new(network::Buffers::new());
static HTTP_TLS: ConstStaticCell<TlsBuffers> = ConstStaticCell::new(TlsBuffers::new());
static HTTP_BLOCK: ConstStaticCell<[u8; BLOCK_BYTES]> = ConstStaticCell::new([0; BLOCK_BYTES]);
static HTTP_URL: ConstStaticCell<[u8; URL_BYTES]> = ConstStaticCell::new([0; URL_BYTES]);
static SETTINGS: ConstStaticCell<[u8; settings::BYTES_MAX]> = ConstStaticCell::new([0; settings::BYTES_MAX]);
static IDENTITY: ConstStaticCell<Identity> = ConstStaticCell::new(Identity::new());

/// All buffers. There is one of each: [`Memory::take`].
pub struct Memory {
    /// Of the connection to the broker.
    pub mqtt: Link,
    /// A received packet.
    pub receive: &'static mut [u8; RECEIVE_BYTES],
    /// Packets to send.
    pub send: &'static mut [u8; SEND_BYTES],
    /// Of the connection to the server of images.
    pub http: Link,
    /// The block that is received over HTTP.
    pub block: &'static mut [u8; BLOCK_BYTES],
    /// Where the image is.
    pub url: &'static mut [u8; URL_BYTES],
    /// The lines that the factory wrote.
    pub settings: &'static mut [u8; settings::BYTES_MAX],
    /// The certificates in them.
    pub identity: &'static mut Identity,
}

impl Memory {
    /// Takes the buffers; `None` if they were taken before.
    pub fn take() -> Option<Self> {
        Some(Self {
            mqtt: Link { socket: MQTT_SOCKET.try_take()?, tls: MQTT_TLS.try_take()? },
            receive: MQTT_RECEIVE.try_take()?,
            send: MQTT_SEND.try_take()?,
            http: Link { socket: HTTP_SOCKET.try_take()?, tls: HTTP_TLS.try_take()? },
            block: HTTP_BLOCK.try_take()?,
            url: HTTP_URL.try_take()?,
            settings: SETTINGS.try_take()?,
            identity: IDENTITY.try_take()?,
        })
    }
}
