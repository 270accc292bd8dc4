//! The agent's connections over embassy-net.

use embassy_net::Stack;
use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::{ConnectError, Error, TcpSocket};
use embedded_io_async::{ErrorType, Read, Write};
use ota_agent::transport::{Activity, Connector, Observed};

/// Bytes that a server may send before they are read. At most one connection receives blocks.
const RECEIVE_BYTES: usize = 8192;
const SEND_BYTES: usize = 2048;

/// The buffers of a socket.
pub struct Buffers {
    receive: [u8; RECEIVE_BYTES],
    send: [u8; SEND_BYTES],
}

impl Buffers {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self { receive: [0; RECEIVE_BYTES], send: [0; SEND_BYTES] }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes connections, one at a time.
pub struct Network<'n> {
    stack: Stack<'n>,
    buffers: &'n mut Buffers,
}

/// Why a connection failed.
#[derive(Debug)]
pub enum NetworkError {
    /// The host has no address.
    Name,
    /// The server did not accept the connection.
    Connect(ConnectError),
    /// TLS was requested.
    NoTls,
}

impl<'n> Network<'n> {
    /// A network over `stack`.
    pub fn new(stack: Stack<'n>, buffers: &'n mut Buffers) -> Self {
        Self { stack, buffers }
    }
}

impl Connector for Network<'_> {
    type Stream<'a>
        = Observed<'a, Socket<'a>>
    where
        Self: 'a;
    type Error = NetworkError;

    async fn connect<'a>(
        &'a mut self,
        host: &str,
        port: u16,
        tls: bool,
        activity: &'a Activity,
    ) -> Result<Self::Stream<'a>, NetworkError> {
        if tls {
            return Err(NetworkError::NoTls);
        }
        self.stack.wait_config_up().await;
        let addresses = self.stack.dns_query(host, DnsQueryType::A).await.map_err(|_| NetworkError::Name)?;
        let address = *addresses.first().ok_or(NetworkError::Name)?;
        let Buffers { receive, send } = &mut *self.buffers;
        let mut socket = TcpSocket::new(self.stack, receive, send);
        socket.set_nagle_enabled(false);
        socket.connect((address, port)).await.map_err(NetworkError::Connect)?;
        Ok(activity.observe(Socket(socket)))
    }
}

/// A socket whose `flush` does not wait: that of embassy-net returns once the other end has acknowledged all bytes, minimq flushes
/// after each packet, and bytes are sent without it.
pub struct Socket<'a>(TcpSocket<'a>);

impl ErrorType for Socket<'_> {
    type Error = Error;
}

impl Read for Socket<'_> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        self.0.read(out).await
    }
}

impl Write for Socket<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
