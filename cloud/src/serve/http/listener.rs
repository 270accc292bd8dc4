//! HTTP connections: plain TCP or TLS, with limits on their number and on idle time.
//! Requests are handled by the router.

use std::io;
use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::limits::{HTTP_HEAD_TIMEOUT, TLS_HANDSHAKE_TIMEOUT};
use crate::serve::connection_limit::LimitedListener;
use crate::serve::log::report_error;

/// Accepts and serves connections; never returns.
///
/// # Cancel safety
///
/// Dropping the future closes the listener and all connections.
pub async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, router: Router) {
    let mut listener = LimitedListener::new(listener, "http");
    let acceptor = acceptor.map(Arc::new);
    let mut open = JoinSet::new();
    loop {
        let (socket, permit) = listener.accept().await;
        let (acceptor, router) = (acceptor.clone(), router.clone());
        // Each connection has a task: a slow handshake or client does not delay others.
        open.spawn(async move {
            if let Err(error) = connection(socket, acceptor.as_deref(), router).await {
                report_error(format_args!("https: {error}"));
            }
            drop(permit);
        });
        while open.try_join_next().is_some() {}
    }
}

/// Errors: the TLS handshake failed.
async fn connection(socket: TcpStream, acceptor: Option<&TlsAcceptor>, router: Router) -> io::Result<()> {
    // Only an optimization; an error is ignored.
    let _ = socket.set_nodelay(true);
    let Some(acceptor) = acceptor else {
        requests(socket, router).await;
        return Ok(());
    };
    let handshake = tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(socket));
    let stream = handshake.await.map_err(|_| io::Error::other("TLS handshake timed out"))??;
    requests(stream, router).await;
    Ok(())
}

async fn requests(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HTTP_HEAD_TIMEOUT);
    // A client that disconnects or sends an invalid request is not an error of the service.
    let _ = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
}
