//! From options to running parts: the one place that names every connector.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::engine::EngineConfig;
use crate::config::from::SourceOptions;
use crate::config::to::{DestinationConfig, TransportOptions};
use crate::destination::Destination;
use crate::destination::DestinationName;
use crate::destination::fhir::FhirDestination;
use crate::destination::file::FileDestination;
use crate::destination::mllp::MllpDestination;
use crate::destination::mllp::door::Doors;
use crate::destination::mllp::options::{Listening, MllpDestinationOptions};
use crate::destination::resources::ResourcesDestination;
use crate::destination::topic::TopicDestination;
use crate::destination::webhook::WebhookDestination;

use crate::engine::publish::TopicPublisher;
use crate::engine::registry::Registry;
use crate::engine::upsert::ResourceWriter;
use crate::source::fhir::audit::{Audit, AuditTrail};
use crate::source::fhir::extension::{Extension, NoExtension};
use crate::source::fhir::options::FhirSourceOptions;
use crate::source::fhir::{BoundFhirSource, FhirParts, FhirSource};
use crate::source::file::{BoundFileSource, FileSource};
use crate::source::http::{BoundHttpSource, HttpSource};
use crate::source::intake::Intake;
use crate::source::listener::SourceError;
use crate::source::mllp::options::Side;
use crate::source::mllp::{BoundMllpSource, MllpSource, MllpTls};
use crate::source::status::SourceStatus;
use crate::store::Store;
use crate::store::access::AccessStore;
use crate::store::resources::ResourceStore;
use crate::tls::{ClientTls, ServerTls, TlsProfile};

/// What parts are built with.
pub(crate) struct Parts {
    profiles: BTreeMap<String, TlsProfile>,
    servers: Mutex<BTreeMap<String, Arc<ServerTls>>>,
    clients: Mutex<BTreeMap<String, Arc<ClientTls>>>,
    outbound_allow: Option<Vec<String>>,
    audit: Arc<dyn Audit>,
    fhir: OnceLock<Arc<dyn Extension>>,
    doors: Doors,
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    intake: Intake,
    clock: Clock,
}

/// A source whose port or directory is ours, not running yet.
pub(crate) enum BoundSource {
    Mllp(BoundMllpSource),
    Http(BoundHttpSource),
    Fhir(BoundFhirSource),
    File(BoundFileSource),
}

impl BoundSource {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Mllp(_) => "mllp",
            Self::Http(_) => "http",
            Self::Fhir(_) => "fhir",
            Self::File(_) => "file",
        }
    }

    pub(crate) fn status(&self) -> Arc<SourceStatus> {
        match self {
            Self::Mllp(source) => source.status(),
            Self::Http(source) => source.status(),
            Self::Fhir(source) => source.status(),
            Self::File(source) => source.status(),
        }
    }

    pub(crate) const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Mllp(source) => source.local_addr(),
            Self::Http(source) => Some(source.local_addr()),
            Self::Fhir(source) => Some(source.local_addr()),
            Self::File(_) => None,
        }
    }

    pub(crate) async fn run(self, intake: Intake, stop: CancellationToken, tracker: TaskTracker) {
        match self {
            Self::Mllp(source) => source.run(intake, stop, tracker).await,
            Self::Http(source) => source.run(intake, stop, tracker).await,
            Self::Fhir(source) => source.run(intake, stop, tracker).await,
            Self::File(source) => source.run(intake, stop, tracker).await,
        }
    }
}

impl Parts {
    pub(crate) fn new(
        engine: &EngineConfig,
        store: &Arc<dyn Store>,
        access: Arc<dyn AccessStore>,
        registry: &Arc<Registry>,
        intake: &Intake,
        clock: &Clock,
    ) -> Self {
        Self {
            profiles: engine.tls.clone(),
            servers: Mutex::default(),
            clients: Mutex::default(),
            outbound_allow: engine.outbound_allow.clone(),
            audit: Arc::new(AuditTrail::new(access)),
            fhir: OnceLock::new(),
            doors: Doors::default(),
            store: Arc::clone(store),
            registry: Arc::clone(registry),
            intake: intake.clone(),
            clock: clock.clone(),
        }
    }

    pub(crate) fn server(&self, name: &str) -> Result<Arc<ServerTls>, String> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = servers.get(name) {
            return Ok(Arc::clone(server));
        }
        let server = ServerTls::load(self.profile(name)?).map_err(|error| error.to_string())?;
        let server = Arc::new(server);
        servers.insert(name.to_owned(), Arc::clone(&server));
        Ok(server)
    }

    /// What FHIR endpoints have besides; set once, when the engine is built.
    pub(crate) fn set_extension(&self, extension: Arc<dyn Extension>) {
        let _first = self.fhir.set(extension);
    }

    pub(crate) fn client(&self, name: &str) -> Result<Arc<ClientTls>, String> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(name) {
            return Ok(Arc::clone(client));
        }
        let client = ClientTls::load(self.profile(name)?).map_err(|error| error.to_string())?;
        let client = Arc::new(client);
        clients.insert(name.to_owned(), Arc::clone(&client));
        Ok(client)
    }

    fn profile(&self, name: &str) -> Result<&TlsProfile, String> {
        self.profiles.get(name).ok_or_else(|| format!("engine.yaml has no TLS profile `{name}`"))
    }

    /// Takes certificates from disk that are newer than those in use.
    pub(crate) fn renew_certificates(&self) -> Vec<(String, Result<bool, String>)> {
        let mut all = Vec::new();
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (profile, server) in servers {
            let renewed = told(&profile, server.reload_if_changed());
            all.push((profile.to_string(), renewed));
        }
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (profile, client) in clients {
            let renewed = told(&profile, client.reload_if_changed());
            all.push((profile.to_string(), renewed));
        }
        all
    }

    /// A destination's transport.
    pub(crate) fn destination(
        &self,
        channel: &str,
        config: &DestinationConfig,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Arc<dyn Destination>, String> {
        let name =
            DestinationName { channel: channel.into(), destination: config.name.as_str().into() };
        Ok(match &config.transport {
            TransportOptions::Mllp(options) if options.listen.is_some() => {
                self.reverse_mllp(&name, options, tracker, stop)?
            }
            TransportOptions::Mllp(options) => {
                let tls = options.tls.as_deref().map(|name| self.client(name)).transpose()?;
                let options = (**options).clone();
                Arc::new(MllpDestination::new(&name, options, tls, tracker.clone(), stop.clone()))
            }
            TransportOptions::Webhook(options) => {
                let tls = options.tls.as_deref().map(|name| self.client(name)).transpose()?;
                let mut options = (**options).clone();
                if let Some(allow) = &self.outbound_allow {
                    options.allow.extend(allow.iter().cloned());
                }
                let webhook = WebhookDestination::new(options, tls, self.clock.clone());
                Arc::new(webhook.map_err(|error| error.to_string())?)
            }
            TransportOptions::Fhir(options) => {
                let tls = options.tls.as_deref().map(|name| self.client(name)).transpose()?;
                let fhir = FhirDestination::new((**options).clone(), tls, self.clock.clone());
                Arc::new(fhir.map_err(|error| error.to_string())?)
            }
            TransportOptions::File(options) => {
                Arc::new(FileDestination::new(&name, (**options).clone()))
            }
            TransportOptions::Topic(options) => {
                let (store, registry) = (Arc::clone(&self.store), Arc::clone(&self.registry));
                let publisher = TopicPublisher::new(name, store, registry, self.clock.clone());
                Arc::new(TopicDestination::new(options.clone(), Arc::new(publisher)))
            }
            TransportOptions::Resources(options) => {
                let (intake, clock) = (self.intake.clone(), self.clock.clone());
                let writer = ResourceWriter::new(name, self.resources(), intake, clock);
                Arc::new(ResourcesDestination::new(options.clone(), Arc::new(writer)))
            }
        })
    }

    fn resources(&self) -> Arc<dyn ResourceStore> {
        Arc::<dyn Store>::clone(&self.store)
    }

    /// What a FHIR endpoint stands on.
    fn fhir(&self, options: &FhirSourceOptions) -> Result<FhirParts, String> {
        let tls = options.tls.as_deref().map(|name| self.server(name)).transpose()?;
        let keys_tls = options.access.keys_tls().map(|name| self.client(name)).transpose()?;
        let none = || -> Arc<dyn Extension> { Arc::new(NoExtension) };
        Ok(FhirParts {
            store: self.resources(),
            audit: Arc::clone(&self.audit),
            extension: self.fhir.get().map_or_else(none, Arc::clone),
            tls,
            keys_tls,
            clock: self.clock.clone(),
        })
    }

    /// A destination whose receiver connects to us.
    fn reverse_mllp(
        &self,
        name: &DestinationName,
        options: &MllpDestinationOptions,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Arc<dyn Destination>, String> {
        let Some(Listening { address, .. }) = options.listen else {
            return Err("it does not listen".to_owned());
        };
        let failed = |error| SourceError::Bind { address, error }.to_string();
        let door = self.doors.open(address).map_err(failed)?;
        let tls = options.tls.as_deref().map(|name| self.server(name)).transpose()?;
        let (options, tracker, stop) = (options.clone(), tracker.clone(), stop.clone());
        Ok(Arc::new(MllpDestination::listening(name, options, door, tls, tracker, stop)))
    }

    /// A channel's source, bound; `None` when it listens inside the engine.
    pub(crate) async fn source(
        &self,
        channel: &Arc<str>,
        options: &SourceOptions,
    ) -> Result<Option<BoundSource>, SourceFault> {
        let channel = Arc::clone(channel);
        let clock = self.clock.clone();
        Ok(Some(match options {
            SourceOptions::Mllp(options) => {
                let tls = match (&options.tls, &options.side) {
                    (None, _) => None,
                    (Some(name), Side::Listen(_)) => Some(MllpTls::Server(self.server(name)?)),
                    (Some(name), Side::Connect { .. }) => Some(MllpTls::Client(self.client(name)?)),
                };
                let source = MllpSource::new(channel, (**options).clone(), tls, clock);
                BoundSource::Mllp(source.bind().await?)
            }
            SourceOptions::Http(options) => {
                let tls = options.tls.as_deref().map(|name| self.server(name)).transpose()?;
                let source = HttpSource::new(channel, (**options).clone(), tls, clock);
                BoundSource::Http(source.bind().await?)
            }
            SourceOptions::Fhir(options) => {
                let source = FhirSource::new(channel, (**options).clone(), self.fhir(options)?);
                BoundSource::Fhir(source.bind().await?)
            }
            SourceOptions::File(options) => {
                let source = FileSource::new(channel, (**options).clone(), clock);
                BoundSource::File(source.bind().await?)
            }
            SourceOptions::Topics(_) => return Ok(None),
        }))
    }
}

fn told(profile: &str, renewed: Result<bool, crate::tls::TlsError>) -> Result<bool, String> {
    match &renewed {
        Ok(true) => tracing::info!(profile, "certificates renewed; open connections go on"),
        Ok(false) => {}
        Err(error) => {
            tracing::error!(profile, %error, "new certificates cannot be used; the old ones stay");
        }
    }
    renewed.map_err(|error| error.to_string())
}

/// Why a source is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceFault {
    /// Its port or directory.
    #[error(transparent)]
    Bind(#[from] SourceError),
    /// Its TLS profile.
    #[error("{0}")]
    Tls(String),
}

impl From<String> for SourceFault {
    fn from(reason: String) -> Self {
        Self::Tls(reason)
    }
}
