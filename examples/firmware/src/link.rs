//! The memory of a connection, and the connector over it: TCP below TLS.

use embassy_net::Stack;
use rand_chacha::ChaCha20Rng;

use crate::network::{self, Network};
use crate::settings::{Settings, hexadecimal};
use crate::tls::{self, Certificates, Date, RECORD_BYTES_MAX, Tls};

/// The most bytes of a certificate or a key.
const CERTIFICATE_BYTES_MAX: usize = 1024;
/// The device's certificate, and 256 bytes.
const SEND_BYTES: usize = CERTIFICATE_BYTES_MAX + 256;

/// Room for the certificates of a device.
pub struct Identity([[u8; CERTIFICATE_BYTES_MAX]; 3]);

impl Identity {
    /// Empty.
    pub const fn new() -> Self {
        Self([[0; CERTIFICATE_BYTES_MAX]; 3])
    }

    /// Reads the certificates; `None` if they are no hexadecimal digits, or too long.
    pub fn read(&mut self, settings: &Settings<'_>) -> Option<Certificates<'_>> {
        let [ca, device, key] = &mut self.0;
        Some(Certificates {
            ca: hexadecimal(settings.ca, ca)?,
            device: hexadecimal(settings.certificate, device)?,
            key: hexadecimal(settings.key, key)?,
        })
    }
}

/// The buffers of a connection.
pub struct Link {
    socket: network::Buffers,
    record: [u8; RECORD_BYTES_MAX],
    plain: [u8; RECORD_BYTES_MAX],
    send: [u8; SEND_BYTES],
}

impl Link {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self {
            socket: network::Buffers::new(),
            record: [0; RECORD_BYTES_MAX],
            plain: [0; RECORD_BYTES_MAX],
            send: [0; SEND_BYTES],
        }
    }

    /// The connector; `None` if the certificates cannot be used.
    pub fn connector<'l>(
        &'l mut self,
        stack: Stack<'l>,
        certificates: Certificates<'l>,
        random: ChaCha20Rng,
        date: fn() -> Date,
    ) -> Option<Tls<'l, Network<'l>, ChaCha20Rng>> {
        let Self { socket, record, plain, send } = self;
        Tls::new(Network::new(stack, socket), certificates, random, date, tls::Buffers { record, plain, send }).ok()
    }
}
