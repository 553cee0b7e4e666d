//! Which requests pass by the proxies: as for registries, and for the engine, by Go's rules. Those of the clouds'
//! clients know no ports and no `*.example.test`, and send to a proxy what is on this machine.

use std::sync::{Arc, OnceLock};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use larder_tls::proxy::Exceptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientOptions, Result};

/// As it comes among a store's settings.
const VARIABLE: &str = "NO_PROXY";
/// Options of a client that uses no proxy: all is an exception to one that nobody asks. The star means names;
/// addresses are ranges (`hyper_util::client::proxy::matcher`, `NoProxy::contains`).
const NOBODY: &str = "http://nobody.invalid";
const ALL: &str = "*,0.0.0.0/0,::/0";

/// Makes clients that pass by the proxies where they should, over one of these.
#[derive(Debug)]
pub(crate) struct Passage<C> {
    connector: Arc<C>,
    exceptions: Arc<Exceptions>,
}

impl<C> Passage<C> {
    pub(crate) fn new(connector: C, settings: &[(String, String)]) -> Self {
        let mut named = settings.iter().filter(|(name, _)| name == VARIABLE);
        let list = named.next().map_or("", |(_, list)| list.as_str());
        Self {
            connector: Arc::new(connector),
            exceptions: Arc::new(Exceptions::new(list)),
        }
    }
}

impl<C: HttpConnector> HttpConnector for Passage<C> {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let directly = options.clone().with_proxy_url(NOBODY);
        Ok(HttpClient::new(Client {
            usual: self.connector.connect(options)?,
            direct: OnceLock::new(),
            directly: directly.with_proxy_excludes(ALL),
            connector: Arc::clone(&self.connector),
            exceptions: Arc::clone(&self.exceptions),
        }))
    }
}

#[derive(Debug)]
struct Client<C> {
    usual: HttpClient,
    /// Made where it is needed: the machine's authorities are read for it.
    direct: OnceLock<HttpClient>,
    directly: ClientOptions,
    connector: Arc<C>,
    exceptions: Arc<Exceptions>,
}

impl<C: HttpConnector> Client<C> {
    fn direct(&self) -> Result<&HttpClient, HttpError> {
        if let Some(client) = self.direct.get() {
            return Ok(client);
        }
        let made = self.connector.connect(&self.directly);
        let made = made.map_err(|error| HttpError::new(HttpErrorKind::Connect, error))?;
        Ok(self.direct.get_or_init(|| made))
    }
}

impl<C: HttpConnector> HttpService for Client<C> {
    // What `async_trait` makes of an asynchronous function.
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> BoxFuture<'b, Result<HttpResponse, HttpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        async move {
            let url = reqwest::Url::parse(&request.uri().to_string());
            let passes = url.is_ok_and(|url| self.exceptions.hold(&url));
            let client = if passes { self.direct()? } else { &self.usual };
            client.execute(request).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use object_store::ClientConfigKey;
    use object_store::client::{HttpRequestBody, HttpResponseBody};

    use super::*;

    /// Notes who is asked by whom: a client with a proxy that all is an exception to, or another one.
    #[derive(Debug, Clone, Default)]
    struct Notes(Arc<Mutex<Vec<&'static str>>>, &'static str);

    impl HttpConnector for Notes {
        fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
            let excludes = options.get_config_value(&ClientConfigKey::ProxyExcludes);
            let way = if excludes.as_deref() == Some(ALL) {
                "directly"
            } else {
                "as usual"
            };
            Ok(HttpClient::new(Self(Arc::clone(&self.0), way)))
        }
    }

    impl HttpService for Notes {
        fn call<'a, 'b>(&'a self, _: HttpRequest) -> BoxFuture<'b, Result<HttpResponse, HttpError>>
        where
            'a: 'b,
            Self: 'b,
        {
            self.0.lock().expect("not poisoned").push(self.1);
            let body = HttpResponseBody::from(Vec::new());
            futures_util::future::ready(Ok(HttpResponse::new(body))).boxed()
        }
    }

    #[tokio::test]
    async fn what_no_proxy_is_for_passes_by_it() {
        let notes = Notes::default();
        let settings = [(
            VARIABLE.to_owned(),
            "minio.example:9000,*.a.example".to_owned(),
        )];
        let passage = Passage::new(notes.clone(), &settings);
        let client = passage.connect(&ClientOptions::new()).expect("a client");
        for url in [
            "http://minio.example:9000/b/k?x=1",
            "http://minio.example:9001/b",
            "https://s3.a.example/b",
            "https://a.example/b",
            "http://127.0.0.1:9000/b",
        ] {
            let mut request = HttpRequest::new(HttpRequestBody::empty());
            *request.uri_mut() = url.parse().expect("a URI");
            client.execute(request).await.expect("noted");
        }
        let ways = notes.0.lock().expect("not poisoned").clone();
        let expected = ["directly", "as usual", "directly", "as usual", "directly"];
        assert_eq!(ways, expected);
    }
}
