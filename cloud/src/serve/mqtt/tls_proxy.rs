//! The TLS front of the embedded broker: it terminates mutual TLS, reads the thing's name from the client certificate
//! and passes the bytes on to the broker's loopback port, telling the acl who is behind the connection.
//! It exists because the broker crate does not show a policy the peer's certificate.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::acl::{Acl, is_thing_name};
use super::x509_name::common_name;
use crate::limits::TLS_HANDSHAKE_TIMEOUT;
use crate::serve::connection_limit::LimitedListener;

/// Bytes that are under way in each direction of one connection.
const COPY_BYTES: usize = 16 * 1024;

/// Serves until it is dropped; connections end with it.
///
/// Dropping it closes the listener, and each connection when its task is next polled by the ending runtime.
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
    let mut device = handshake.await.map_err(|_| std::io::Error::other("the handshake took too long"))??;
    let certificate = device.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let thing = certificate.and_then(common_name);
    let thing = thing.ok_or_else(|| std::io::Error::other("the client certificate has no common name"))?;
    if !is_thing_name(&thing) {
        let text =
            format!("no thing can have the certificate's common name {}", crate::serve::log::quote(thing.as_bytes()));
        return Err(std::io::Error::other(text));
    }

    let inside = TcpSocket::new_v4()?;
    inside.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    // The acl has to know the name before the broker sees the connection.
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
    // A device that vanishes without a TLS goodbye is everyday life and no error.
    let _ = copy_bidirectional_with_sizes(device, &mut inside, COPY_BYTES, COPY_BYTES).await;
    Ok(())
}
