//! Connections: one lazy channel for each address, and which of them is used at the moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flintwheel_model::DefinitionKey;
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

use crate::error::{Error, reason};
use crate::options::{ApiKey, Options, Tls};
use crate::routes::Routes;

/// What calls go through.
pub(crate) type Transport = InterceptedService<Channel, Authorize>;

/// A connection that stands still is asked whether it lives, so that a server that vanished without a word is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// For a connection to an address that an answer told: it may be one that only nodes can reach, and the others are there.
const DIRECT: Duration = Duration::from_secs(1);

/// Adds the API key to each call.
#[derive(Clone)]
pub(crate) struct Authorize(Option<MetadataValue<Ascii>>);

impl Interceptor for Authorize {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        Ok(request)
    }
}

/// The channels of a client.
pub(crate) struct Transports {
    all: Vec<(String, Transport)>,
    current: AtomicUsize,
    routes: Routes,
    /// To addresses that answers have told, by address.
    direct: Mutex<HashMap<String, Transport>>,
    options: Options,
}

/// Where one call goes.
pub(crate) struct Way {
    /// Of the node.
    pub address: String,
    /// What the call goes through.
    pub transport: Transport,
    /// Which of the given addresses it is; none where an answer told it.
    index: Option<usize>,
}

impl Transports {
    /// Checks the addresses and prepares channels; none connects before its first call.
    pub fn new(addresses: &[String], options: &Options) -> Result<Arc<Self>, Error> {
        if addresses.is_empty() {
            return Err(wrong("no address is given".into()));
        }
        let authorize = Authorize(options.api_key.as_ref().map(header).transpose()?);
        let connect = |address: &String| {
            let channel = endpoint(address, options)?.connect_lazy();
            Ok((address.clone(), InterceptedService::new(channel, authorize.clone())))
        };
        let all = addresses.iter().map(connect).collect::<Result<_, Error>>()?;
        let (current, routes, direct) = (AtomicUsize::new(0), Routes::default(), Mutex::default());
        Ok(Arc::new(Self { all, current, routes, direct, options: options.clone() }))
    }

    /// Where a call goes; `about` the definition that it is about, where it is about one.
    pub fn way(&self, about: Option<&DefinitionKey>) -> Way {
        let leader = about.filter(|_| self.options.follow_leaders).and_then(|key| self.routes.of(key));
        if let Some(address) = leader {
            match self.direct_to(&address) {
                Ok(transport) => return Way { address, transport, index: None },
                // Not an address that this client can use.
                Err(_) => self.routes.avoid(&address, Instant::now()),
            }
        }
        let (index, address, transport) = self.current();
        Way { address: address.to_owned(), transport, index: Some(index) }
    }

    fn direct_to(&self, address: &str) -> Result<Transport, Error> {
        let mut direct = self.direct.lock();
        if let Some(transport) = direct.get(address) {
            return Ok(transport.clone());
        }
        let connect_timeout = self.options.connect_timeout.min(DIRECT);
        let channel = endpoint(address, &Options { connect_timeout, ..self.options.clone() })?.connect_lazy();
        let authorize = Authorize(self.options.api_key.as_ref().map(header).transpose()?);
        let transport = InterceptedService::new(channel, authorize);
        direct.insert(address.to_owned(), transport.clone());
        Ok(transport)
    }

    /// A call found nobody on its way.
    pub fn leave(&self, way: &Way) {
        match way.index {
            Some(index) => self.turn_from(index),
            None => {
                self.routes.avoid(&way.address, Instant::now());
                self.direct.lock().remove(&way.address);
            }
        }
    }

    /// Takes in what an answer tells of the shard's leader.
    pub fn learn(&self, about: Option<&DefinitionKey>, answer: &MetadataMap) {
        if let Some(key) = about.filter(|_| self.options.follow_leaders) {
            self.routes.learn(key, answer, Instant::now());
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The address in use, its number, and its channel.
    pub fn current(&self) -> (usize, &str, Transport) {
        let index = self.current.load(Ordering::Relaxed) % self.all.len();
        let (address, transport) = &self.all[index];
        (index, address, transport.clone())
    }

    /// Goes on to the next address, unless somebody has since `failed` was in use.
    pub fn turn_from(&self, failed: usize) {
        let next = (failed + 1) % self.all.len();
        // Lost races are fine: then another call has turned already.
        let _ = self.current.compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

fn header(key: &ApiKey) -> Result<MetadataValue<Ascii>, Error> {
    let mut value: MetadataValue<Ascii> =
        key.header().parse().map_err(|_| wrong("the API key holds characters that a header can't carry".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn wrong(message: String) -> Error {
    Error::new(Code::InvalidArgument, reason::INVALID_ARGUMENT, message)
}

fn endpoint(address: &str, options: &Options) -> Result<Endpoint, Error> {
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let url = match address.split_once("://") {
        None => format!("{scheme}://{address}"),
        Some((given, _)) if given == scheme => address.to_owned(),
        Some(("https", _)) => return Err(wrong(format!("address {address:?} asks for TLS, which is not switched on"))),
        Some(_) => return Err(wrong(format!("address {address:?} does not begin with {scheme}://"))),
    };
    let parsed = Endpoint::from_shared(url).ok().filter(|endpoint| endpoint.uri().port_u16().is_some());
    let endpoint = parsed.ok_or_else(|| wrong(format!("address {address:?} is not HOST:PORT")))?;
    let endpoint =
        endpoint.connect_timeout(options.connect_timeout).tcp_nodelay(true).http2_keep_alive_interval(KEEP_ALIVE);
    match &options.tls {
        None => Ok(endpoint),
        Some(tls) => endpoint.tls_config(tls_config(tls)).map_err(|error| wrong(format!("TLS: {error}"))),
    }
}

fn tls_config(tls: &Tls) -> ClientTlsConfig {
    let mut config = match &tls.ca {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let Some((certificate, key)) = &tls.identity {
        config = config.identity(Identity::from_pem(certificate, key));
    }
    match &tls.server_name {
        Some(name) => config.domain_name(name),
        None => config,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(addresses: &[&str], options: &Options) -> Option<String> {
        let addresses: Vec<String> = addresses.iter().map(|a| (*a).to_owned()).collect();
        Transports::new(&addresses, options).err().map(|error| error.message)
    }

    #[tokio::test]
    async fn wrong_addresses_and_keys_are_told_before_the_first_call() {
        let plain = Options::default();
        let tls = Options { tls: Some(Tls::default()), ..Options::default() };
        let odd_key = Options { api_key: Some(ApiKey::new("a\nb")), ..Options::default() };
        for (addresses, options, message) in [
            (&[][..], &plain, "no address is given"),
            (&["localhost"], &plain, "address \"localhost\" is not HOST:PORT"),
            (&["a b:1"], &plain, "address \"a b:1\" is not HOST:PORT"),
            (&["ftp://x:1"], &plain, "address \"ftp://x:1\" does not begin with http://"),
            (&["https://x:1"], &plain, "address \"https://x:1\" asks for TLS, which is not switched on"),
            (&["http://x:1"], &tls, "address \"http://x:1\" does not begin with https://"),
            (&["x:1"], &odd_key, "the API key holds characters that a header can't carry"),
        ] {
            assert_eq!(fault(addresses, options).as_deref(), Some(message));
        }
        assert_eq!(fault(&["localhost:1", "http://[::1]:2"], &plain), None);
    }

    #[tokio::test]
    async fn a_failed_address_is_left_once_however_many_calls_saw_it_fail() {
        let transports = Transports::new(&["a:1".into(), "b:1".into()], &Options::default()).expect("addresses");
        let (failed, ..) = transports.current();
        transports.turn_from(failed);
        transports.turn_from(failed);
        assert_eq!(transports.current().1, "b:1");
    }

    #[test]
    fn no_secret_is_shown() {
        let tls = Tls { identity: Some((b"CERT".to_vec(), b"KEY".to_vec())), ..Tls::default() };
        let options = Options { api_key: Some(ApiKey::new("secret")), tls: Some(tls), ..Options::default() };
        let shown = format!("{options:?}");
        assert!(!shown.contains("secret") && !shown.contains("75, 69, 89"), "{shown}");
    }
}
