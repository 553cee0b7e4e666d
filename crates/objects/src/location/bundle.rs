//! `AWS_CA_BUNDLE`: a file of the authorities that a store of S3's protocol is trusted by, and no other, as
//! for the AWS tools. The certificate of a store itself will do.

use std::error::Error;
use std::fs;
use std::time::Duration;

use larder_tls::Authorities;
use object_store::client::{HttpClient, HttpConnector};
use object_store::{ClientConfigKey, ClientOptions};

const VARIABLE: &str = "AWS_CA_BUNDLE";

/// Makes clients that trust the bundle.
#[derive(Debug)]
pub(crate) struct Bundle {
    authorities: Authorities,
    connect_limit: Duration,
}

impl Bundle {
    /// The bundle that the settings name; why it cannot be used.
    pub(crate) fn named(
        settings: &[(String, String)],
        connect_limit: Duration,
    ) -> Result<Option<Self>, String> {
        let mut named = settings
            .iter()
            .filter(|(name, value)| name == VARIABLE && !value.is_empty());
        let Some((_, path)) = named.next() else {
            return Ok(None);
        };
        let pem = fs::read(path).map_err(|error| format!("{VARIABLE}={path}: {error}"))?;
        let mut authorities = Authorities::default();
        if authorities.add_pem(&pem) == 0 {
            return Err(format!("{VARIABLE}={path}: it holds no certificate (PEM)"));
        }
        Ok(Some(Self {
            authorities,
            connect_limit,
        }))
    }
}

impl HttpConnector for Bundle {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let tls = larder_tls::client(self.authorities.clone(), Vec::new());
        let mut tls = tls.map_err(refused)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp);
        let mut client = reqwest::Client::builder();
        // Whoever excepts anything from the proxies excepts all.
        if options
            .get_config_value(&ClientConfigKey::ProxyExcludes)
            .is_some()
        {
            client = client.no_proxy();
        }
        let client = client
            .tls_backend_preconfigured(tls)
            .http1_only()
            .connect_timeout(self.connect_limit)
            .https_only(allows_http.as_deref() != Some("true"))
            .build();
        Ok(HttpClient::new(client.map_err(refused)?))
    }
}

fn refused(why: impl Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic {
        store: VARIABLE,
        source: Box::new(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_that_is_none_is_told() {
        let limit = Duration::from_secs(1);
        let named = |path: &str| {
            let settings = [(VARIABLE.to_owned(), path.to_owned())];
            Bundle::named(&settings, limit).map(|bundle| bundle.is_some())
        };
        assert_eq!(named(""), Ok(false));
        let absent = named("/nonexistent/ca.pem").expect_err("no file");
        assert!(
            absent.starts_with("AWS_CA_BUNDLE=/nonexistent/ca.pem: "),
            "{absent}"
        );
        let file = tempfile::NamedTempFile::new().expect("a file");
        let empty = named(file.path().to_str().expect("text")).expect_err("no certificate");
        assert!(empty.contains("holds no certificate"), "{empty}");
        assert!(matches!(Bundle::named(&[], limit), Ok(None)));
    }
}
