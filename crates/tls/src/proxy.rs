//! Through which proxy a request goes: the rules of Go's `golang.org/x/net/http/httpproxy`
//! (`proxy.go`: `init`, `parseProxy`, `useProxy`), by which docker and `BuildKit` go.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use url::Url;

/// The values of `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`. Loopback hosts are always reached
/// directly, as by Go's `ProxyFromEnvironment`.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For `http://` requests.
    pub http: Option<String>,
    /// For `https://` requests.
    pub https: Option<String>,
    /// Hosts, domains and address ranges that are reached directly, parted by commas.
    pub none: Option<String>,
}

impl fmt::Debug for Proxies {
    /// A proxy's URL may hold a password, so only its presence is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("none", &self.none)
            .finish()
    }
}

/// A proxy's URL is none. It may hold a password, so it is not told.
#[derive(Debug, thiserror::Error)]
#[error("the URL of {of}: {why}")]
pub struct NoProxyUrl {
    /// Which proxy it is.
    pub of: &'static str,
    /// What is wrong with it.
    pub why: url::ParseError,
}

/// Where proxies are, and where they are not used.
#[derive(Debug, Default)]
pub struct Rules {
    http: Option<Url>,
    https: Option<Url>,
    exceptions: Exceptions,
}

impl Rules {
    /// Reads the variables.
    pub fn new(given: &Proxies) -> Result<Self, NoProxyUrl> {
        Ok(Self {
            http: proxy("the HTTP proxy", given.http.as_deref())?,
            https: proxy("the HTTPS proxy", given.https.as_deref())?,
            exceptions: Exceptions::new(given.none.as_deref().unwrap_or_default()),
        })
    }

    /// The proxy for a request, if there is one.
    pub fn proxy_for(&self, url: &Url) -> Option<Url> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        };
        proxy.filter(|_| !self.exceptions.hold(url)).cloned()
    }
}

/// What no proxy is used for: what `NO_PROXY` lists, and this machine.
#[derive(Debug, Default)]
pub struct Exceptions(Vec<Direct>);

impl Exceptions {
    /// Reads the variable.
    pub fn new(list: &str) -> Self {
        Self(list.split(',').filter_map(Direct::parse).collect())
    }

    /// Whether a request goes directly.
    pub fn hold(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let address = address
            .parse::<IpAddr>()
            .ok()
            .map(|address| address.to_canonical());
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        let port = url.port_or_known_default();
        let port = port.map(|port| port.to_string()).unwrap_or_default();
        self.0.iter().any(|entry| entry.holds(host, address, &port))
    }
}

/// An entry of `NO_PROXY`. An empty port is any.
#[derive(Debug, PartialEq, Eq)]
enum Direct {
    All,
    Network(IpNet),
    Address(IpAddr, String),
    Domain {
        /// With a dot before it.
        suffix: String,
        /// The domain itself is meant too.
        itself: bool,
        port: String,
    },
}

/// An address without a scheme is one of plain http.
fn proxy(of: &'static str, text: Option<&str>) -> Result<Option<Url>, NoProxyUrl> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let url = if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("http://{text}"))
    };
    url.map(Some).map_err(|why| NoProxyUrl { of, why })
}

/// `host:port` taken apart, as `net.SplitHostPort` does; whole if it has no port.
fn host_and_port(entry: &str) -> (&str, &str) {
    if let Some((host, port)) = entry
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]:"))
    {
        return (host, port);
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, port),
        _ => (entry, ""),
    }
}

impl Direct {
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_lowercase();
        if entry == "*" {
            return Some(Self::All);
        }
        if let Ok(network) = entry.parse() {
            return Some(Self::Network(network));
        }
        let (host, port) = host_and_port(&entry);
        let port = port.to_owned();
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical(), port));
        }
        let host = host
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'))
            .unwrap_or(host);
        let name = host.strip_prefix('.').unwrap_or(host);
        (!host.is_empty()).then(|| Self::Domain {
            suffix: format!(".{}", in_ascii(name)),
            itself: name == host,
            port,
        })
    }

    fn holds(&self, host: &str, address: Option<IpAddr>, port: &str) -> bool {
        match (self, address) {
            (Self::All, _) => true,
            (Self::Network(network), Some(address)) => network.contains(&address),
            (Self::Address(own, at), Some(address)) => {
                *own == address && (at.is_empty() || at == port)
            }
            (
                Self::Domain {
                    suffix,
                    itself,
                    port: at,
                },
                None,
            ) => {
                let is_named = host.ends_with(suffix) || (*itself && *host == suffix[1..]);
                is_named && (at.is_empty() || at == port)
            }
            _ => false,
        }
    }
}

/// A name as it stands in URLs.
fn in_ascii(name: &str) -> String {
    let url = Url::parse(&format!("http://{name}/"))
        .ok()
        .filter(|_| !name.is_ascii());
    let host = url.and_then(|url| url.host_str().map(str::to_owned));
    host.unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(none: &str) -> Rules {
        let proxies = Proxies {
            http: Some("http://proxy.example:1".to_owned()),
            https: Some("proxy.example:2".to_owned()),
            none: Some(none.to_owned()),
        };
        Rules::new(&proxies).expect("proxies")
    }

    fn goes_through(none: &str, url: &str) -> bool {
        rules(none)
            .proxy_for(&Url::parse(url).expect("a URL"))
            .is_some()
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let rules = rules("");
        for (url, proxy) in [
            ("http://a.example/", Some("http://proxy.example:1/")),
            ("https://a.example/", Some("http://proxy.example:2/")),
            ("https://localhost:5000/", None),
            ("http://127.8.0.1/", None),
            ("http://[::1]:5000/", None),
            ("http://[::ffff:127.0.0.1]/", None),
        ] {
            let found = rules.proxy_for(&Url::parse(url).expect("a URL"));
            assert_eq!(found.as_ref().map(Url::as_str), proxy, "{url}");
        }
        let none = Rules::default().proxy_for(&Url::parse("http://a.example").expect("a URL"));
        assert_eq!(none, None);
    }

    /// A `NO_PROXY`, what it has go directly, and what through the proxy: the table of `proxy_test.go`,
    /// `TestUseProxy`, and some more.
    type Entry = (
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    );

    const ENTRIES: &[Entry] = &[
        ("*", &["http://a.example", "https://1.2.3.4"], &[]),
        (
            "registry.example.test:5000",
            &[
                "http://registry.example.test:5000",
                "http://a.registry.example.test:5000",
            ],
            &[
                "http://registry.example.test",
                "http://registry.example.test:5001",
            ],
        ),
        (
            "a.example:443",
            &["https://a.example"],
            &["http://a.example"],
        ),
        (
            "example.test",
            &["http://example.test", "http://a.example.test:8"],
            &["http://notexample.test", "http://example.test.org"],
        ),
        (
            ".example.test",
            &["http://a.example.test"],
            &["http://example.test"],
        ),
        (
            "*.example.test",
            &["http://a.b.example.test"],
            &["http://example.test"],
        ),
        (
            "*.example.test:80",
            &["http://a.example.test"],
            &["https://a.example.test"],
        ),
        (
            "*example.test",
            &[],
            &["http://example.test", "http://a.example.test"],
        ),
        (
            " A.Example , ,b.example",
            &["http://a.example", "http://b.example"],
            &["http://c.example"],
        ),
        (
            "a.example b.example",
            &[],
            &["http://a.example", "http://b.example"],
        ),
        (
            "10.0.0.0/8",
            &["http://10.1.2.3:5000"],
            &["http://11.0.0.1", "http://a.10.0.0.1.example"],
        ),
        ("10.1.2.3", &["http://10.1.2.3:5000"], &["http://10.1.2.4"]),
        (
            "10.1.2.3:5000",
            &["http://10.1.2.3:5000"],
            &["http://10.1.2.3"],
        ),
        ("fd00::/8", &["http://[fd00::1]"], &["http://[fe80::1]"]),
        ("fd00::1", &["http://[fd00::1]:5000"], &["http://[fd00::2]"]),
        (
            "[fd00::1]:5000",
            &["http://[fd00::1]:5000"],
            &["http://[fd00::1]"],
        ),
        ("[fd00::1]", &[], &["http://[fd00::1]"]),
        ("2.3.4", &[], &["http://1.2.3.4"]),
        (":80", &[], &["http://a.example"]),
        (
            "bücher.example",
            &["http://xn--bcher-kva.example"],
            &["http://b.example"],
        ),
    ];

    #[test]
    fn entries_are_read_as_go_reads_them() {
        for (none, direct, through) in ENTRIES {
            for url in *direct {
                assert!(!goes_through(none, url), "{none}: {url}");
            }
            for url in *through {
                assert!(goes_through(none, url), "{none}: {url}");
            }
        }
    }
}
