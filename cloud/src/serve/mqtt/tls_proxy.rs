//! TLS proxy in front of the embedded broker: terminates mutual TLS, reads the thing's name from the client certificate,
//! registers it with the access control list and forwards the bytes to the broker's loopback port.
//! Needed because the broker crate does not pass the peer's certificate to its authentication provider.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::acl::{Acl, is_thing_name};
use super::x509_name::common_name;
use crate::limits::TLS_HANDSHAKE_TIMEOUT;
use crate::serve::connection_limit::LimitedListener;

/// Buffer for each direction of one connection. Unit: bytes.
const COPY_BYTES: usize = 16 * 1024;

/// Accepts and forwards connections; never returns.
///
/// # Cancel safety
///
/// Dropping the future closes the listener and all connections.
pub async fn serve(listener: TcpListener, acceptor: TlsAcceptor, broker: SocketAddr, acl: Arc<Acl>) {
    let mut listener = LimitedListener::new(listener, "mqtt over TLS");
    let mut open = tokio::task::JoinSet::new();
    loop {
        let (socket, permit) = listener.accept().await;
        let (acceptor, acl) = (acceptor.clone(), Arc::clone(&acl));
        open.spawn(async move {
            if let Err(error) = connection(socket, &acceptor, broker, &acl).await {
                crate::serve::log::report_error(format_args!("mqtt over TLS: {error}"));
            }
            drop(permit);
        });
        while open.try_join_next().is_some() {}
    }
}

async fn connection(socket: TcpStream, acceptor: &TlsAcceptor, broker: SocketAddr, acl: &Acl) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let handshake = tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(socket));
    let mut device = handshake.await.map_err(|_| std::io::Error::other("TLS handshake timed out"))??;
    let certificate = device.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let thing = certificate.and_then(common_name);
    let thing = thing.ok_or_else(|| std::io::Error::other("the client certificate has no common name"))?;
    if !is_thing_name(&thing) {
        let text = format!(
            "the certificate's common name is not a valid thing name: {}",
            crate::serve::log::quote(thing.as_bytes())
        );
        return Err(std::io::Error::other(text));
    }

    let inside = TcpSocket::new_v4()?;
    inside.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    // The name must be registered before the broker sees the connection.
    let address = inside.local_addr()?;
    acl.register(address, thing);
    let passed = pass(&mut device, inside, broker).await;
    acl.unregister(address);
    passed
}

async fn pass(
    device: &mut tokio_rustls::server::TlsStream<TcpStream>,
    inside: TcpSocket,
    broker: SocketAddr,
) -> std::io::Result<()> {
    let mut inside = inside.connect(broker).await?;
    inside.set_nodelay(true)?;
    // A device that disconnects without a TLS close is not an error.
    let _ = copy_bidirectional_with_sizes(device, &mut inside, COPY_BYTES, COPY_BYTES).await;
    Ok(())
}
