//! HTTP connections: plain TCP or TLS, with limits on their number and on idle time.
//! Requests are handled by the router.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use crate::limits::{HTTP_HEAD_TIMEOUT, HTTP_WRITE_TIMEOUT, TLS_HANDSHAKE_TIMEOUT};
use crate::serve::connection_limit::LimitedListener;
use crate::serve::log::report_error;
use crate::serve::metrics::Metrics;

/// Accepts and serves connections; never returns.
///
/// # Cancel safety
///
/// Dropping the future closes the listener and all connections.
pub async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, metrics: Metrics, router: Router) {
    let mut listener = LimitedListener::new(listener, "http");
    let acceptor = acceptor.map(Arc::new);
    let mut open = JoinSet::new();
    loop {
        let (socket, permit) = listener.accept().await;
        let (acceptor, router, counted) = (acceptor.clone(), router.clone(), metrics.http_connection());
        // Each connection has a task: a slow handshake or client does not delay others.
        open.spawn(async move {
            if let Err(error) = connection(socket, acceptor.as_deref(), router, HTTP_WRITE_TIMEOUT).await {
                report_error(format_args!("https: {error}"));
            }
            drop((permit, counted));
        });
        while open.try_join_next().is_some() {}
    }
}

/// Errors: the TLS handshake failed.
async fn connection(
    socket: TcpStream,
    acceptor: Option<&TlsAcceptor>,
    router: Router,
    write_timeout: Duration,
) -> io::Result<()> {
    // Only an optimization; an error is ignored.
    let _ = socket.set_nodelay(true);
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(Some(write_timeout));
    let socket = Box::pin(socket);
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// More than the buffers of both sockets hold.
    const BODY_BYTES: usize = 32 << 20;
    const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

    /// Requests a large body, and waits for the end of the connection's task without reading; returns what arrived.
    async fn received(reads: bool) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let router = Router::new().route("/", get(|| async { vec![0; BODY_BYTES] }));
        let served = tokio::spawn(async move { connection(socket, None, router, WRITE_TIMEOUT).await });
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut bytes = Vec::new();
        if reads {
            tokio::time::sleep(WRITE_TIMEOUT / 5).await;
        } else {
            tokio::time::timeout(Duration::from_secs(20), served).await.expect("it ends").unwrap().unwrap();
        }
        let _ = client.read_to_end(&mut bytes).await; // a reset connection
        bytes.len()
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_left_and_one_that_pauses_is_not() {
        assert!(received(false).await < BODY_BYTES);
        assert!(received(true).await > BODY_BYTES);
    }
}
