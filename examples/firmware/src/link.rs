//! A connection over its buffers: TCP below TLS. The buffers themselves are in `memory`.

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

/// The buffers of TLS for one connection.
pub struct TlsBuffers {
    record: [u8; RECORD_BYTES_MAX],
    plain: [u8; RECORD_BYTES_MAX],
    send: [u8; SEND_BYTES],
}

impl TlsBuffers {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self { record: [0; RECORD_BYTES_MAX], plain: [0; RECORD_BYTES_MAX], send: [0; SEND_BYTES] }
    }
}

/// The buffers of a connection.
pub struct Link {
    /// Below TLS.
    pub socket: &'static mut network::Buffers,
    /// Of TLS.
    pub tls: &'static mut TlsBuffers,
}

impl Link {
    /// The connector; `None` if the certificates cannot be used.
    pub fn connector(
        self,
        stack: Stack<'static>,
        certificates: Certificates<'static>,
        random: ChaCha20Rng,
        date: fn() -> Date,
    ) -> Option<Tls<'static, Network<'static>, ChaCha20Rng>> {
        let TlsBuffers { record, plain, send } = self.tls;
        let network = Network::new(stack, self.socket);
        Tls::new(network, certificates, random, date, tls::Buffers { record, plain, send }).ok()
    }
}
