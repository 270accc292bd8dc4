//! `ota-cloud serve`: starts, connects and stops the components.
//!
//! `mqtt` connects to a broker (embedded or external); `router` distributes the messages of devices to `jobs` (job service)
//! and `streams` (blocks of files); `http` serves images by signed URL and the admin requests, `console` the pages for people;
//! `access` recognises who sends both.
//! Shared modules are beside them: data directory, log, metrics, readiness, TLS, signed URLs, connection limit.

mod access;
mod aws;
mod config;
mod connection_limit;
mod console;
mod files;
mod http;
mod jobs;
mod line_limit;
mod log;
mod metrics;
mod mqtt;
mod readiness;
mod router;
mod secret;
mod shared_files;
mod signed_url;
mod standby;
mod streams;
mod tls;
mod unused_images;

#[cfg(feature = "tool")]
pub(crate) use jobs::job_admin::check as check_job;
#[cfg(feature = "tool")]
pub(crate) use tls::client as tls_client;

pub use config::{Config, ExternalBroker, ServeError};
pub use log::Format;
pub use tls::{TlsError, TlsFiles};

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use self::access::Access;
use self::aws::key_ring::KeyRing;
use self::aws::state::AwsState;
use self::config::public_base;
use self::connection_limit::connections_max;
use self::console::state::ConsoleState;
use self::files::Files;
use self::http::app::App;
use self::http::listener;
use self::http::url_limit::UrlLimit;
use self::jobs::presence::Presence;
use self::jobs::sessions::Sessions;
use self::log::{Log, report_error};
use self::metrics::Metrics;
use self::mqtt::transport::{self, BrokerAddress, Publisher};
#[cfg(feature = "broker")]
use self::mqtt::{acl, broker, tls_proxy};
use self::readiness::Readiness;
use self::shared_files::SharedFiles;
use self::signed_url::Signer;
use self::standby::Standby;
use crate::clock::now_s;
use crate::limits::{LOCK_RETRY, LOCK_TIMEOUT, START_TIMEOUT, STOP_TIMEOUT, TOKEN_BYTES, URL_CONNECTIONS_SHARE};
use crate::store::{Store, StoreError};

/// File of a token of role admin.
const TOKEN: &str = "token";

/// A running service.
pub struct Service {
    /// Address of the broker.
    pub mqtt: String,
    /// Address of the image server, the admin requests and the console.
    pub http: SocketAddr,
    tasks: JoinSet<()>,
    publisher: Publisher,
    subscribed: watch::Receiver<bool>,
    store: Store,
    log: Log,
    /// Lock of the data directory; released last.
    _lock: std::fs::File,
    #[cfg(feature = "broker")]
    embedded: Option<broker::EmbeddedBroker>,
}

impl Service {
    /// Starts all components. When this returns, both listeners are open and the service is subscribed.
    ///
    /// Errors: see [`ServeError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops everything that was started.
    pub async fn start(config: Config) -> Result<Self, ServeError> {
        let unusable = |error| ServeError::Data { dir: config.data.clone(), error };
        let lock = lock(&config.data).await?;
        let (listener, log) = (bind(config.http).await?, Log::new(config.format));
        let http = listener.local_addr().map_err(|error| ServeError::Bind { address: config.http, error })?;
        let (store, files) = open(&config, &listener, &log).await?;
        if let Err(error) = unused_images::remove(&store, &files, now_s()).await {
            report_error(format_args!("unused images: {error}"));
        }
        let base = public_base(&config, http)?;
        let key_ring = KeyRing::new(&files.secret("access-key-secret").await.map_err(unusable)?);
        let signer = Signer::new(&files.secret("url-key").await.map_err(unusable)?, base.clone(), config.url_lifetime);
        let token: [u8; TOKEN_BYTES] = files.secret(TOKEN).await.map_err(unusable)?;
        let access = Access::new(store.clone(), &hex::encode(token));

        let mut tasks = JoinSet::new();
        let queue = router::queue();
        let presence = Presence::new(config.broker.is_none());
        let broker = start_broker(&config, &mut tasks, Sessions::new(queue.0.clone()), presence.clone()).await?;
        let (publisher, connection) = transport::connect(&broker.address, &router::FILTERS);
        let metrics = broker.metrics();
        let (publisher, subscribed) = (publisher.with_metrics(metrics.clone()), connection.subscribed());
        let jobs = router::spawn(
            &mut tasks,
            connection,
            router::Components {
                store: store.clone(),
                files: files.clone(),
                signer: signer.clone(),
                publisher: publisher.clone(),
                log: log.clone(),
                aws_limits: config.aws_limits,
                has_sessions: config.broker.is_none(),
                presence,
            },
            queue,
        );
        wait_until_subscribed(subscribed.clone()).await?;
        let url_limit = UrlLimit::new(connections_max() / URL_CONNECTIONS_SHARE);
        let console = ConsoleState::new(config.tls.is_some(), broker.shown.clone());
        let aws = AwsState::new(key_ring, broker.shown.clone(), &base);
        let reverting = tokio::sync::Mutex::default();
        let readiness = Readiness::new(store.clone(), subscribed.clone());
        let app = App {
            store: store.clone(),
            files,
            jobs,
            reverting,
            signer,
            url_limit,
            access,
            console,
            aws,
            log: log.clone(),
            metrics: metrics.clone(),
            readiness,
        };
        serve_http(&mut tasks, listener, config.tls.as_ref(), metrics, http::router(Arc::new(app)))?;
        Ok(Self {
            mqtt: broker.shown,
            http,
            tasks,
            publisher,
            subscribed,
            store,
            log,
            _lock: lock,
            #[cfg(feature = "broker")]
            embedded: broker.embedded,
        })
    }

    /// Prints the ready line with both addresses.
    pub fn announce(&self) {
        self.log.line(format!("ready mqtt={} http={}", self.mqtt, self.http));
    }

    /// Returns when another instance serves, which can only be with a database that they share: this one has to be stopped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn wait_until_taken_over(&self) {
        self.store.wait_until_taken_over().await;
    }

    /// Stops within a second. Every acknowledged change is on disk already.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the tasks are aborted and an embedded broker stops.
    pub async fn stop(mut self) {
        let disconnected = async {
            self.publisher.disconnect().await;
            // The connection's task has ended when the sender of `subscribed` is dropped.
            while self.subscribed.changed().await.is_ok() {}
        };
        let _ = tokio::time::timeout(STOP_TIMEOUT / 4, disconnected).await;
        self.tasks.shutdown().await;
        #[cfg(feature = "broker")]
        if let Some(embedded) = self.embedded.take() {
            embedded.stop(STOP_TIMEOUT / 4).await;
        }
        // An open transaction is finished, or rolled back at the next start.
        let _ = tokio::time::timeout(STOP_TIMEOUT / 4, self.store.close()).await;
        self.log.finish();
    }
}

/// Opens the database and the files. If another instance serves, waits as its standby.
async fn open(config: &Config, listener: &TcpListener, log: &Log) -> Result<(Store, Files), ServeError> {
    let unusable = |error| ServeError::Data { dir: config.data.clone(), error };
    let files = Files::open(&config.data).map_err(unusable)?;
    let Some(url) = &config.database else {
        // The token is stored after the first database.
        if files.has_secret(TOKEN) && Store::is_empty(&config.data).map_err(unusable)? {
            return Err(unusable(StoreError::Emptied));
        }
        let store = Store::open(&config.data, config.database_bytes_max).await.map_err(unusable)?;
        return Ok((store, files));
    };
    // Images that the other database does not have would be removed.
    if Store::is_in(&config.data) {
        let dir = config.data.display();
        return Err(ServeError::Option(format!("--database: {dir} has a database of its own: use another --data")));
    }
    let store = match Standby::open(url.clone()).await? {
        Ok(store) => store,
        Err(standby) => wait(standby, config, listener, log).await?,
    };
    Ok((store.clone(), files.shared(SharedFiles::new(store))))
}

async fn wait(standby: Standby, config: &Config, listener: &TcpListener, log: &Log) -> Result<Store, ServeError> {
    let failed = |error| ServeError::Bind { address: config.http, error };
    log.line(format!("standby http={}", listener.local_addr().map_err(failed)?));
    // Its tasks end when it is dropped.
    let mut tasks = JoinSet::new();
    let listener = standby::again(listener).map_err(failed)?;
    serve_http(&mut tasks, listener, config.tls.as_ref(), Metrics::default(), standby::router())?;
    standby.wait().await
}

/// The broker in use and how it is reached.
struct Broker {
    address: BrokerAddress,
    shown: String,
    #[cfg(feature = "broker")]
    embedded: Option<broker::EmbeddedBroker>,
}

impl Broker {
    /// Numbers of the service, with those of the embedded broker.
    #[cfg(feature = "broker")]
    fn metrics(&self) -> Metrics {
        match &self.embedded {
            Some(embedded) => Metrics::default().with_clients(embedded.clients()),
            None => Metrics::default(),
        }
    }

    #[cfg(not(feature = "broker"))]
    fn metrics(&self) -> Metrics {
        Metrics::default()
    }
}

async fn start_broker(
    config: &Config,
    tasks: &mut JoinSet<()>,
    sessions: Sessions,
    presence: Presence,
) -> Result<Broker, ServeError> {
    match &config.broker {
        Some(external) => external_broker(external),
        None => embedded_broker(config, tasks, sessions, presence).await,
    }
}

fn external_broker(external: &ExternalBroker) -> Result<Broker, ServeError> {
    let address = external.address()?;
    let shown = format!("{}:{}", address.host, address.port);
    Ok(Broker {
        address,
        shown,
        #[cfg(feature = "broker")]
        embedded: None,
    })
}

/// With TLS the broker listens on a loopback port, and the proxy on the configured address.
#[cfg(feature = "broker")]
async fn embedded_broker(
    config: &Config,
    tasks: &mut JoinSet<()>,
    sessions: Sessions,
    presence: Presence,
) -> Result<Broker, ServeError> {
    let acl = Arc::new(acl::Acl::new(config.tls.is_some()));
    let inside = match config.tls {
        Some(_) => SocketAddr::from(([127, 0, 0, 1], 0)),
        None => config.mqtt,
    };
    let embedded = broker::EmbeddedBroker::start(inside, Arc::clone(&acl), sessions, presence).await?;
    let mut shown = embedded.address;
    if let Some(files) = &config.tls {
        let acceptor = TlsAcceptor::from(tls::mutual(files)?);
        let listener = bind(config.mqtt).await?;
        shown = listener.local_addr().map_err(|error| ServeError::Bind { address: config.mqtt, error })?;
        tasks.spawn(tls_proxy::serve(listener, acceptor, embedded.address, Arc::clone(&acl)));
    }
    let host = match embedded.address.ip() {
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        ip => ip.to_string(),
    };
    let login = Some((transport::SERVICE.to_owned(), acl.password().to_owned()));
    let address = BrokerAddress { host, port: embedded.address.port(), tls: None, login, resume: false };
    Ok(Broker { address, shown: shown.to_string(), embedded: Some(embedded) })
}

#[cfg(not(feature = "broker"))]
async fn embedded_broker(_: &Config, _: &mut JoinSet<()>, _: Sessions, _: Presence) -> Result<Broker, ServeError> {
    Err(ServeError::Option("built without the embedded broker: --broker is needed".to_owned()))
}

/// Locks the data directory. The lock of an instance that ended outlives it for a moment if a child process was just started: until
/// that runs its own program, it has the open files of its parent.
async fn lock(dir: &Path) -> Result<std::fs::File, ServeError> {
    let locked = async {
        loop {
            match files::lock(dir) {
                Ok(Some(file)) => return Ok(file),
                Ok(None) => tokio::time::sleep(LOCK_RETRY).await,
                Err(error) => return Err(ServeError::Data { dir: dir.to_owned(), error }),
            }
        }
    };
    let in_use = |_| Err(ServeError::InUse { dir: dir.to_owned() });
    tokio::time::timeout(LOCK_TIMEOUT, locked).await.unwrap_or_else(in_use)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| ServeError::Bind { address, error })
}

async fn wait_until_subscribed(mut subscribed: watch::Receiver<bool>) -> Result<(), ServeError> {
    let wait = tokio::time::timeout(START_TIMEOUT, subscribed.wait_for(|yes| *yes)).await;
    match wait {
        Ok(Ok(_)) => Ok(()),
        _ => Err(ServeError::Broker(format!("no subscription within {START_TIMEOUT:?}"))),
    }
}

fn serve_http(
    tasks: &mut JoinSet<()>,
    listener: TcpListener,
    tls: Option<&TlsFiles>,
    metrics: Metrics,
    router: axum::Router,
) -> Result<(), ServeError> {
    let acceptor = tls.map(tls::server_only).transpose()?.map(TlsAcceptor::from);
    tasks.spawn(listener::serve(listener, acceptor, metrics, router));
    Ok(())
}

#[cfg(all(test, feature = "broker"))]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[tokio::test(start_paused = true)]
    async fn a_start_waits_for_the_lock_of_an_instance_that_ends_and_not_for_one_that_runs() {
        let dir = TempDir::new();
        let held = files::lock(dir.path()).unwrap().unwrap();
        assert!(matches!(lock(dir.path()).await, Err(ServeError::InUse { .. })));
        let (locked, ()) = tokio::join!(lock(dir.path()), async { drop(held) });
        assert!(locked.is_ok());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_data_directory_of_another_database_is_refused_before_anything_in_it_is_removed() {
        let dir = TempDir::new();
        let config = Config::local(dir.path());
        Service::start(config.clone()).await.unwrap().stop().await;
        let database = Some("postgres://ota@127.0.0.1:1/ota".parse().unwrap());
        let refused = Service::start(Config { database, ..config }).await.err();
        assert!(matches!(&refused, Some(ServeError::Option(_))), "{:?}", refused.map(|error| error.to_string()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_empty_database_is_new_only_before_the_first_start_is_complete() {
        let dir = TempDir::new();
        let (config, database) = (Config::local(dir.path()), dir.path().join("cloud.db"));
        std::fs::write(&database, b"").unwrap();
        Service::start(config.clone()).await.unwrap().stop().await;
        std::fs::write(&database, b"").unwrap();
        let refused = Service::start(config.clone()).await.err();
        assert!(
            matches!(&refused, Some(ServeError::Data { error: StoreError::Emptied, .. })),
            "{:?}",
            refused.map(|error| error.to_string())
        );
        std::fs::remove_file(&database).unwrap();
        Service::start(config).await.unwrap().stop().await;
    }
}
