//! One try at one address: redirects, what the headers must say, and the body within its bounds.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, IF_RANGE, LOCATION, RANGE};
use reqwest::{Response, StatusCode};
use tokio::time::{Instant, timeout};

use crate::error::StoreError;
use crate::fetch::address::Address;
use crate::fetch::client::{Roots, chain};
use crate::fetch::error::{AttemptError, BodyKind, Received};
use crate::fetch::netrc::{Login, Netrc};
use crate::fetch::proxy::Proxies;
use crate::fetch::range::{Rest, total_of_rest, validator};
use crate::fetch::settings::FetchLimits;
use crate::partial::{Origin, PartialBlob};

/// Where a body goes.
pub(crate) trait Sink: Send {
    /// Returns what is to be asked for if a beginning is there; `address` is where.
    fn rest(&self, address: &str) -> Option<Rest>;

    /// Makes ready for bytes that start at `offset`: 0, or where the rest starts.
    fn begin(&mut self, offset: u64, origin: Origin) -> Result<(), StoreError>;

    /// Takes the next bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<(), StoreError>;
}

impl Sink for PartialBlob {
    fn rest(&self, address: &str) -> Option<Rest> {
        let validator = self
            .origin()
            .and_then(|origin| origin.validator_of(address));
        (self.held() > 0).then(|| Rest {
            offset: self.held(),
            validator: validator.map(str::to_owned),
        })
    }

    fn begin(&mut self, offset: u64, origin: Origin) -> Result<(), StoreError> {
        Self::begin(self, offset, origin)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.append(bytes)
    }
}

impl Sink for Vec<u8> {
    fn rest(&self, _address: &str) -> Option<Rest> {
        None
    }

    fn begin(&mut self, _offset: u64, _origin: Origin) -> Result<(), StoreError> {
        self.clear();
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// How many bytes a body may have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// Exactly this many.
    Size(u64),
    /// No more than this many.
    Limit(u64),
}

/// Why a try ended: the first may be different elsewhere, the second is not.
#[derive(Debug)]
pub(crate) enum TransferError {
    Attempt(AttemptError),
    /// The rest was asked for, and is not what came: only from the start can this go on.
    NotTheRest(AttemptError),
    Store(StoreError),
}

impl From<AttemptError> for TransferError {
    fn from(error: AttemptError) -> Self {
        Self::Attempt(error)
    }
}

impl From<StoreError> for TransferError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What an address is asked for, besides everything that lies there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Question<'a> {
    /// Only what follows a beginning that is there.
    pub(crate) rest: Option<&'a Rest>,
    /// Headers of a protocol over HTTP, names in lower case.
    pub(crate) headers: &'a [(&'static str, &'a str)],
    /// Is posted.
    pub(crate) body: Option<&'a [u8]>,
}

/// What every try needs.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) client: reqwest::Client,
    pub(crate) roots: Roots,
    pub(crate) proxies: Arc<Proxies>,
    /// Read before the first try.
    pub(crate) netrc: OnceLock<Netrc>,
    pub(crate) limits: FetchLimits,
}

impl Line {
    /// Sends the body at `address` to `sink`, within `bound`; says what it looked like.
    ///
    /// `advanced` hears how many bytes of the file are there.
    pub(crate) async fn transfer(
        &self,
        address: &Address,
        bound: Bound,
        sink: &mut dyn Sink,
        advanced: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<BodyKind, TransferError> {
        let shown = address.to_string();
        let rest = sink.rest(&shown);
        let question = Question {
            rest: rest.as_ref(),
            ..Question::default()
        };
        let (_, response) = self.ask(address, &question).await?;
        let start = check_headers(&response, rest.as_ref())?;
        sink.begin(start, Origin::new(&shown, validator(response.headers())))?;
        advanced(start);
        let announced = response.content_length();
        let mut body = Body {
            announced: announced.and_then(|length| length.checked_add(start)),
            response,
            received: start,
            kind: BodyKind::Other,
            pace: Pace::start(&self.limits),
        };
        while let Some(bytes) = body.next().await? {
            if body.received == 0 {
                body.kind = recognize(&bytes);
            }
            body.received += bytes.len() as u64;
            body.check_not_longer(bound)?;
            sink.take(&bytes)?;
            advanced(body.received);
        }
        body.check_not_shorter(bound)?;
        Ok(body.kind)
    }

    /// Asks for an answer that is read piece by piece; says where it came from in the end.
    ///
    /// # Errors
    /// As any try's; what is posted is not redirected.
    pub(crate) async fn answer(
        &self,
        address: &Address,
        question: &Question<'_>,
    ) -> Result<(Address, Body), AttemptError> {
        let (reached, response) = self.ask(address, question).await?;
        match check_headers(&response, None) {
            Ok(_) => {}
            Err(TransferError::Attempt(error) | TransferError::NotTheRest(error)) => {
                return Err(error);
            }
            Err(TransferError::Store(_)) => unreachable!("headers are not stored"),
        }
        let body = Body {
            announced: response.content_length(),
            response,
            received: 0,
            kind: BodyKind::Other,
            pace: Pace::start(&self.limits),
        };
        Ok((reached, body))
    }

    /// Asks, and follows redirects. Credentials go no further than to the place they are for.
    async fn ask(
        &self,
        address: &Address,
        question: &Question<'_>,
    ) -> Result<(Address, Response), AttemptError> {
        let mut login = self.login(address)?;
        let mut address = address.clone();
        for _ in 0..=self.limits.redirects {
            let response = self.ask_once(&address, login, question).await?;
            let status = response.status();
            let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
            if !is_redirect {
                return Ok((address, response));
            }
            let Some(target) = response.headers().get(LOCATION) else {
                return Ok((address, response));
            };
            let next = address.redirected(&String::from_utf8_lossy(target.as_bytes()))?;
            if question.body.is_some() {
                return Err(AttemptError::Redirect {
                    target: next.to_string(),
                    reason: "what is posted stays where it was sent",
                });
            }
            if !next.has_origin_of(&address) {
                login = None;
            }
            address = next;
        }
        Err(AttemptError::Redirects {
            limit: self.limits.redirects,
        })
    }

    /// Returns who we are there, if that may be said: an address with credentials of its own needs
    /// no others, and a password from a file that names no scheme is not sent in the clear.
    fn login(&self, address: &Address) -> Result<Option<&Login>, AttemptError> {
        let is_private = address.is_encrypted() || address.is_loopback();
        match (self.netrc.get(), address.url().host_str()) {
            (Some(netrc), Some(host)) if is_private && !address.has_credentials() => {
                netrc.login(host.trim_matches(['[', ']']))
            }
            _ => Ok(None),
        }
    }

    async fn ask_once(
        &self,
        address: &Address,
        login: Option<&Login>,
        question: &Question<'_>,
    ) -> Result<Response, AttemptError> {
        if address.is_encrypted() && self.roots == Roots::NotFound {
            return Err(AttemptError::NoRoots);
        }
        let url = address.url().clone();
        let mut request = match question.body {
            Some(body) => self.client.post(url).body(body.to_vec()),
            None => self.client.get(url),
        };
        for (name, value) in question.headers {
            request = request.header(*name, *value);
        }
        if let Some(login) = login {
            request = request.basic_auth(&login.name, login.password.as_ref());
        }
        if let Some(rest) = question.rest {
            request = request.header(RANGE, format!("bytes={}-", rest.offset));
            if let Some(validator) = &rest.validator {
                request = request.header(IF_RANGE, validator);
            }
        }
        let idle = self.limits.connect_timeout + self.limits.idle_timeout;
        match timeout(idle, request.send()).await {
            Err(_) => Err(AttemptError::Idle { idle }),
            Ok(outcome) => outcome.map_err(|error| self.not_answered(address, error)),
        }
    }

    fn not_answered(&self, address: &Address, error: reqwest::Error) -> AttemptError {
        let is_connect = error.is_connect();
        let reason = chain(&error.without_url());
        // A refused certificate is the server's: the way to it stood.
        let is_certificate = reason.contains("certificate");
        match self.proxies.lead_to(address.url()) {
            Some(proxy) if is_connect && !is_certificate => AttemptError::Proxy {
                proxy: proxy.to_string(),
                reason,
            },
            _ if is_connect => AttemptError::Connect { reason },
            _ => AttemptError::Answer { reason },
        }
    }
}

/// Returns where in the file the body starts.
fn check_headers(response: &Response, rest: Option<&Rest>) -> Result<u64, TransferError> {
    let status = response.status();
    let start = match (status, rest) {
        (StatusCode::OK, _) => 0,
        (StatusCode::PARTIAL_CONTENT, Some(rest)) => {
            let not_the_rest = || {
                TransferError::NotTheRest(AttemptError::Status {
                    status: status.as_u16(),
                })
            };
            total_of_rest(response, rest.offset).ok_or_else(not_the_rest)?;
            rest.offset
        }
        _ => {
            let error = AttemptError::Status {
                status: status.as_u16(),
            };
            return Err(match status {
                StatusCode::RANGE_NOT_SATISFIABLE => TransferError::NotTheRest(error),
                _ => error.into(),
            });
        }
    };
    match response.headers().get(CONTENT_ENCODING) {
        None => Ok(start),
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"identity") => Ok(start),
        Some(value) => Err(AttemptError::Encoding {
            encoding: String::from_utf8_lossy(value.as_bytes())
                .chars()
                .filter(|c| !c.is_control())
                .take(40)
                .collect(),
        }
        .into()),
    }
}

/// A body that is being read.
#[derive(Debug)]
pub(crate) struct Body {
    response: Response,
    /// Bytes that the whole file has, as the server announced.
    announced: Option<u64>,
    /// Bytes of the file that are there.
    received: u64,
    kind: BodyKind,
    pace: Pace,
}

impl Body {
    async fn next(
        &mut self,
    ) -> Result<Option<impl AsRef<[u8]> + std::ops::Deref<Target = [u8]> + use<>>, AttemptError>
    {
        let chunk = self.pace.wait(self.response.chunk()).await?;
        let bytes = chunk.map_err(|error| AttemptError::Broken {
            received: self.received,
            announced: self.announced,
            reason: chain(&error.without_url()),
        })?;
        if let Some(bytes) = &bytes {
            self.pace.count(bytes.len() as u64)?;
        }
        Ok(bytes)
    }

    /// Returns the next bytes of an answer; `None` at its end.
    pub(crate) async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, AttemptError> {
        let bytes = self.next().await?.map(|bytes| bytes.to_vec());
        self.received += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Ok(bytes)
    }

    /// Returns what the server calls it.
    pub(crate) fn content_type(&self) -> Option<&str> {
        let value = self.response.headers().get(CONTENT_TYPE)?;
        value.to_str().ok()
    }

    /// Refuses a body that is, or says it is, longer than allowed. The first bytes have come then,
    /// so that it is known what they look like.
    fn check_not_longer(&self, bound: Bound) -> Result<(), AttemptError> {
        let (Bound::Size(most) | Bound::Limit(most)) = bound;
        let known = self.received.max(self.announced.unwrap_or(0));
        if known <= most {
            return Ok(());
        }
        let actual = match self.announced {
            Some(announced) => Received::Exactly(announced),
            None => Received::AtLeast(known),
        };
        let kind = self.kind;
        Err(match bound {
            Bound::Size(expected) => AttemptError::Length {
                expected,
                actual,
                kind,
            },
            Bound::Limit(limit) => AttemptError::Limit {
                limit,
                actual,
                kind,
            },
        })
    }

    fn check_not_shorter(&self, bound: Bound) -> Result<(), AttemptError> {
        match bound {
            Bound::Size(expected) if self.received < expected => Err(AttemptError::Length {
                expected,
                actual: Received::Exactly(self.received),
                kind: self.kind,
            }),
            _ => Ok(()),
        }
    }
}

/// Watches that bytes come at all, and fast enough.
///
/// Only waiting counts, not the time that the store takes: a slow disk is not the mirror's fault.
#[derive(Debug)]
struct Pace {
    idle: Duration,
    window: Duration,
    expected: u64,
    waited: Duration,
    received: u64,
}

impl Pace {
    fn start(limits: &FetchLimits) -> Self {
        let seconds = limits.rate_window.as_secs_f64();
        // Precise enough: a window has seconds, a rate thousands of bytes.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rate and a window are small and positive"
        )]
        let expected = (limits.minimum_rate as f64 * seconds) as u64;
        Self {
            idle: limits.idle_timeout,
            window: limits.rate_window,
            expected,
            waited: Duration::ZERO,
            received: 0,
        }
    }

    async fn wait<T>(&mut self, future: impl Future<Output = T>) -> Result<T, AttemptError> {
        let start = Instant::now();
        let outcome = timeout(self.idle, future).await;
        self.waited += start.elapsed();
        outcome.map_err(|_| AttemptError::Idle { idle: self.idle })
    }

    fn count(&mut self, bytes: u64) -> Result<(), AttemptError> {
        self.received += bytes;
        if self.waited < self.window {
            return Ok(());
        }
        if self.received < self.expected {
            return Err(AttemptError::Slow {
                window: self.window,
                expected: self.expected,
                actual: self.received,
            });
        }
        (self.waited, self.received) = (Duration::ZERO, 0);
        Ok(())
    }
}

/// Looks at the first bytes of a body.
fn recognize(bytes: &[u8]) -> BodyKind {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = text.trim_ascii_start();
    let starts_with = |start: &str| {
        text.get(..start.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
    };
    if starts_with("<!doctype") || starts_with("<html") {
        BodyKind::WebPage
    } else {
        BodyKind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_recognized() {
        for text in ["<!DOCTYPE html>", "\u{feff}\r\n <html lang=en>", "<HTML>"] {
            assert_eq!(recognize(text.as_bytes()), BodyKind::WebPage, "{text}");
        }
        for text in ["", "<", "\x1f\u{8b}", "<?xml", "html"] {
            assert_eq!(recognize(text.as_bytes()), BodyKind::Other, "{text}");
        }
    }
}
