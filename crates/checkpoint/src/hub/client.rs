//! One question to the hub, and its answer. Redirects are followed by hand: who is told the token depends on the host.

use std::io;
use std::time::{Duration, SystemTime};

use fluent_uri::UriRef;
use loupe_spec::echo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body, Timeout};

use super::HubSettings;

/// All but letters, digits and these: a branch's name may hold a slash, a file's anything.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// More hosts than this do not stand between a hub and its files: huggingface.co has one.
const MOST_REDIRECTS: usize = 10;

/// Why a question was not answered.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A status, of which none of the others is said: asked again, it would be the same.
    Status(u16),
    /// What may be better in a while, and how long the hub asks to wait.
    Passing(String, Option<Duration>),
    /// Nobody is there.
    Unreachable(String),
    /// What stays as it is.
    Final(String),
}

impl Trouble {
    /// Nobody is there who was there before: that may be better in a while, too.
    pub fn of_one_that_was_there(self) -> Trouble {
        match self {
            Trouble::Unreachable(what) => Trouble::Passing(what, None),
            other => other,
        }
    }
}

/// Asks one hub.
pub(super) struct Client<'a> {
    agent: Agent,
    endpoint: Uri,
    settings: &'a HubSettings,
}

impl Client<'_> {
    /// # Errors
    /// An endpoint that is no address.
    pub fn new(settings: &HubSettings) -> Result<Client<'_>, Trouble> {
        let endpoint = settings.endpoint.parse().ok().filter(is_http).ok_or_else(|| {
            let found = echo(&settings.shown_endpoint());
            Trouble::Final(format!("HF_ENDPOINT is \"{found}\", expected an address such as https://huggingface.co"))
        })?;
        let patience = &settings.patience;
        let agent = Agent::config_builder()
            .user_agent(concat!("loupe/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(patience.answer))
            .timeout_connect(Some(patience.answer))
            .timeout_send_request(Some(patience.answer))
            .timeout_recv_response(Some(patience.answer))
            .timeout_per_read(Some(patience.read))
            .timeout_recv_body(Some(patience.whole))
            .build()
            .into();
        Ok(Client { agent, endpoint, settings })
    }

    /// The address of `file` of the model `id` at `revision`.
    pub fn address(&self, id: &str, revision: &str, file: &str) -> Result<Uri, Trouble> {
        let escaped = |part| utf8_percent_encode(part, ESCAPED);
        let address = format!("{}/{id}/resolve/{}/{}", self.settings.endpoint, escaped(revision), escaped(file));
        address.parse().map_err(|error| Trouble::Final(format!("\"{}\" is no address: {error}", echo(&address))))
    }

    /// Asks for the headers of `address`, following redirects until one leads no further, or `is_it` says that an answer has what
    /// is wanted. It is told, too, whether the answer leads to another host.
    pub fn head(&self, address: &Uri, is_it: impl Fn(&HeaderMap, bool) -> bool) -> Result<Response<Body>, Trouble> {
        self.ask(address, |uri| self.agent.head(uri), is_it)
    }

    /// Asks for the bytes of `address` from `start` on. The answer may begin earlier: not every server can start in the middle.
    pub fn get(&self, address: &Uri, start: u64) -> Result<Response<Body>, Trouble> {
        let request = |uri: &Uri| match start {
            0 => self.agent.get(uri),
            start => self.agent.get(uri).header("range", format!("bytes={start}-")),
        };
        self.ask(address, request, |_, _| false)
    }

    fn ask(
        &self,
        address: &Uri,
        request: impl Fn(&Uri) -> ureq::RequestBuilder<ureq::typestate::WithoutBody>,
        is_it: impl Fn(&HeaderMap, bool) -> bool,
    ) -> Result<Response<Body>, Trouble> {
        let mut uri = address.clone();
        for _ in 0..=MOST_REDIRECTS {
            // Of the file itself: its size and its parts are not those of a compressed one.
            let mut request = request(&uri).header("accept-encoding", "identity");
            if let Some(token) = self.token_for(&uri) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| self.trouble(&uri, error))?;
            match (response.status().as_u16(), text(response.headers(), "location")) {
                (200..=299, _) => return Ok(response),
                (300..=399, Some(to)) => {
                    let next = leads_to(&uri, to)?;
                    if is_it(response.headers(), origin(&next) != origin(&uri)) {
                        return Ok(response);
                    }
                    uri = next;
                }
                (status, _) => return Err(said_no(&uri, status, response.headers())),
            }
        }
        Err(Trouble::Final(format!("more than {MOST_REDIRECTS} redirects, the last one to {}", named(&uri))))
    }

    /// The token, for the host that it is meant for alone.
    fn token_for(&self, uri: &Uri) -> Option<&str> {
        let token = self.settings.token.as_deref()?;
        (origin(uri) == origin(&self.endpoint)).then_some(token)
    }

    fn trouble(&self, uri: &Uri, error: ureq::Error) -> Trouble {
        let host = named(uri);
        let patience = &self.settings.patience;
        match error {
            ureq::Error::Timeout(Timeout::RecvBody) => {
                Trouble::Passing(format!("{host} was not done after {:?}", patience.whole), None)
            }
            ureq::Error::Timeout(Timeout::PerRead) => {
                Trouble::Passing(format!("{host} sent nothing for {:?} (HF_HUB_DOWNLOAD_TIMEOUT)", patience.read), None)
            }
            ureq::Error::Timeout(_) => Trouble::Unreachable(format!(
                "{host} did not answer within {:?} (HF_HUB_ETAG_TIMEOUT)",
                patience.answer
            )),
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                Trouble::Unreachable(format!("{host} cannot be reached: {error}"))
            }
            ureq::Error::Io(source) => match source.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => Trouble::Passing(format!("{host} hung up: {source}"), None),
                _ => Trouble::Unreachable(format!("{host} cannot be reached: {source}")),
            },
            ureq::Error::ConnectProxyFailed(what) if what.contains("407") => Trouble::Final(
                "the proxy wants a login (407): put user and password into the address in HTTPS_PROXY (or ALL_PROXY)"
                    .into(),
            ),
            ureq::Error::ConnectProxyFailed(what) => {
                Trouble::Passing(format!("the proxy does not lead to {host}: {}", echo(&what)), None)
            }
            // A header that cannot be: the token is the only one that is not ours.
            ureq::Error::Http(_) => Trouble::Final(
                "the token (HF_TOKEN, or what `hf auth login` left) holds characters that no token has".into(),
            ),
            other => Trouble::Final(format!("{host}: {}", echo(&other.to_string()))),
        }
    }

    /// What a body from `uri` that breaks off means.
    pub fn broken_off(&self, uri: &Uri, error: io::Error) -> Trouble {
        self.trouble(uri, ureq::Error::from(error))
    }
}

/// Where a redirect from `uri` leads.
fn leads_to(uri: &Uri, to: &str) -> Result<Uri, Trouble> {
    let shown = to.split(['?', '#']).next().unwrap_or_default();
    let wrong = |why: &str| Trouble::Final(format!("{} redirects to \"{}\", {why}", named(uri), echo(shown)));
    let from = uri.to_string();
    let next = UriRef::parse(to).ok().zip(fluent_uri::Uri::parse(from.as_str()).ok()).and_then(|(to, from)| {
        let next = to.resolve_against(&from).ok()?;
        next.as_str().parse().ok().filter(is_http)
    });
    let next = next.ok_or_else(|| wrong("which is no address"))?;
    if uri.scheme_str() == Some("https") && next.scheme_str() == Some("http") {
        return Err(wrong("where anybody on the way could read and change what is sent"));
    }
    Ok(next)
}

fn said_no(uri: &Uri, status: u16, headers: &HeaderMap) -> Trouble {
    match status {
        511 => Trouble::Final(format!("the network wants a login first (511); {LOG_IN}")),
        408 | 429 | 500..=599 => {
            let is_count = status == 429;
            let why = if is_count { "is asked too often" } else { "has trouble of its own" };
            Trouble::Passing(format!("{} {why} ({status})", named(uri)), wait(headers, is_count))
        }
        status => Trouble::Status(status),
    }
}

/// What a network with a login page of its own needs.
pub(super) const LOG_IN: &str = "open any page in a browser, log in there, and run again";

/// How long the hub asks to wait: `Retry-After`, in seconds or as a date; or, of requests that are too many, the `t` of `RateLimit`,
/// with which huggingface.co says beside every answer when its count begins anew.
fn wait(headers: &HeaderMap, is_count: bool) -> Option<Duration> {
    let after = text(headers, "retry-after").and_then(|after| match after.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(after).ok()?.duration_since(SystemTime::now()).ok(),
    });
    let reset = || {
        text(headers, "ratelimit")
            .filter(|_| is_count)?
            .split(';')
            .find_map(|part| part.trim().strip_prefix("t=")?.parse().ok())
    };
    after.or_else(|| reset().map(Duration::from_secs))
}

/// The header `name`, if it is there and is a text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn is_http(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
}

/// Scheme, host and port, read from the type by which the connection is made.
fn origin(uri: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    (uri.scheme_str(), uri.host().map(str::to_ascii_lowercase), uri.port_u16().or(Some(usual)))
}

/// What messages call an address: without its query, in which a signed link carries its signature, and without a password.
pub(super) fn named(uri: &Uri) -> String {
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    echo(&format!("{}://{}{port}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn a_hub_says_in_three_ways_how_long_to_wait() {
        let wait = |headers| super::wait(&headers, true);
        assert_eq!(wait(headers("retry-after", "7")), Some(Duration::from_secs(7)));
        let count = headers("ratelimit", "\"resolvers\";r=0;t=55");
        assert_eq!(wait(count.clone()), Some(Duration::from_secs(55)));
        // What it says beside another trouble is not how long that lasts.
        assert_eq!(super::wait(&count, false), None);
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(1000));
        let waits = wait(headers("retry-after", &later)).unwrap();
        assert!(waits > Duration::from_secs(900) && waits <= Duration::from_secs(1000), "{waits:?}");
        for text in ["soon", "-1", ""] {
            assert_eq!(wait(headers("retry-after", text)), None, "{text}");
        }
    }

    #[test]
    fn a_redirect_leads_to_an_address_that_nobody_can_read_along() {
        let from = "https://a.example/x/y".parse().unwrap();
        for (to, there) in [("/z", "https://a.example/z"), ("z", "https://a.example/x/z"), ("//b/z", "https://b/z")] {
            assert_eq!(leads_to(&from, to).unwrap(), there);
        }
        for to in ["http://a.example/z", "file:///etc/passwd", "ftp://b/z", "https://"] {
            assert!(matches!(leads_to(&from, to), Err(Trouble::Final(_))), "{to}");
        }
    }

    #[test]
    fn what_is_signed_is_not_said() {
        let uri = "https://me:secret@cdn.example:8443/a/b?Signature=secret".parse().unwrap();
        assert_eq!(named(&uri), "https://cdn.example:8443");
        let text = format!("{:?}", leads_to(&uri, "http://b/z?Signature=secret").unwrap_err());
        assert!(text.contains("http://b/z") && !text.contains("secret"), "{text}");
    }
}
