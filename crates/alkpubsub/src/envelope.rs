//! The one message: `{type, id, payload}`.

use crate::event::Event;
use crate::protocol::check::{self, MessageLimits, Refusal};
use crate::protocol::hub::LinkId;
use crate::topic::{BadTopic, Topic};
use bytestring::ByteString;
use serde::de::DeserializeOwned;
use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A value that JSON cannot hold, with serde's own words for it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the payload cannot be written as JSON: {0}")]
pub struct EncodeError(Arc<str>);

/// A payload that does not fit the Rust type asked for.
///
/// Its `Display` has serde's own words for why, and these may quote a value of the payload; its `Debug` does not.
#[derive(Clone, thiserror::Error)]
#[error("the payload does not fit {}: {}", self.0.wanted, self.0.why)]
pub struct DecodeError(Arc<Misfit>);

/// Behind a pointer, as every item of a stream is as large as the one that holds this.
struct Misfit {
    wanted: &'static str,
    why: String,
}

/// Payloads are nobody's business in a log.
impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeError").field("wanted", &self.0.wanted).finish_non_exhaustive()
    }
}

/// Why an [`EventEnvelope`] could not be made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The type or the id cannot be a topic's.
    #[error(transparent)]
    BadTopic(#[from] BadTopic),
    /// The payload cannot be written as JSON.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// One event: a type, an id and a payload. A clone shares everything.
///
/// The payload is JSON text or, where it was published typed, the Rust value itself; its JSON is then made once,
/// on first need. An envelope that came over a wire keeps the very text it came in, so that passing it on sends
/// the same bytes: key order, numbers above 2^53, escapes and unknown members survive.
///
/// ```
/// use alkpubsub::EventEnvelope;
///
/// let text = r#"{"type":"call.responded","id":"uuid-123","payload":{"output":42}}"#;
/// let event = EventEnvelope::parse(text)?;
/// assert_eq!(event.topic().as_str(), "call.responded:uuid-123");
/// assert_eq!(event.payload_json()?, Some(r#"{"output":42}"#));
/// assert_eq!(event.to_json()?, text);
///
/// // Bad input has a name.
/// let error = EventEnvelope::parse(r#"{"type":"call.responded"}"#).unwrap_err();
/// assert_eq!(error.to_string(), "`id` is missing");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct EventEnvelope(Arc<Inner>);

struct Inner {
    topic: Topic,
    payload: Payload,
    /// The whole envelope's JSON: as it came, or made on first need.
    text: OnceLock<Result<ByteString, EncodeError>>,
    source: Option<LinkId>,
}

enum Payload {
    Missing,
    Json(ByteString),
    Value { value: Arc<dyn Value>, json: OnceLock<Result<ByteString, EncodeError>> },
}

/// A typed payload behind a pointer.
trait Value: Any + Send + Sync {
    fn to_json(&self) -> serde_json::Result<String>;
    fn shallow_size(&self) -> usize;
}

impl<E: Event> Value for E {
    fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    fn shallow_size(&self) -> usize {
        size_of::<Self>()
    }
}

impl EventEnvelope {
    /// An envelope with the JSON of `payload`.
    ///
    /// # Errors
    /// [`EnvelopeError`] where type and id make no topic, or the payload cannot be written as JSON.
    pub fn new(event_type: &str, id: &str, payload: &impl serde::Serialize) -> Result<Self, EnvelopeError> {
        let topic = Topic::new(event_type, id)?;
        let json = serde_json::to_string(payload).map_err(encode_error)?;
        Ok(Self::from_parts(topic, Payload::Json(json.into())))
    }

    /// An envelope without a payload; the member is then missing on the wire.
    ///
    /// # Errors
    /// [`BadTopic`] where type and id make no topic.
    pub fn without_payload(event_type: &str, id: &str) -> Result<Self, BadTopic> {
        Ok(Self::from_parts(Topic::new(event_type, id)?, Payload::Missing))
    }

    /// An envelope that shares a typed payload: listeners of the same Rust type get this very value.
    pub(crate) fn typed<E: Event>(id: &str, value: Arc<E>) -> Result<Self, BadTopic> {
        let topic = Topic::new(E::TYPE, id)?;
        Ok(Self::from_parts(topic, Payload::Value { value, json: OnceLock::new() }))
    }

    /// Reads an envelope from JSON text, with the checks of a trust boundary and their default limits (64 KiB,
    /// 64 deep). Control types (`__…`) can be read; no target takes them to dispatch.
    ///
    /// # Errors
    /// [`Refusal`] names the first thing that is wrong with the text.
    pub fn parse(text: impl Into<String>) -> Result<Self, Refusal> {
        Self::parse_within(text, &MessageLimits::DEFAULT)
    }

    /// [`parse`](Self::parse) with other limits.
    ///
    /// # Errors
    /// [`Refusal`] names the first thing that is wrong with the text.
    pub fn parse_within(text: impl Into<String>, limits: &MessageLimits) -> Result<Self, Refusal> {
        let text = ByteString::from(text.into());
        let parts = check::text_parts(&text, limits)?;
        Ok(Self::checked(&text, &parts, None))
    }

    /// From a message that was checked; `text` is the text of `parts`, or a copy of it.
    pub(crate) fn checked(text: &ByteString, parts: &check::Parts<'_>, source: Option<LinkId>) -> Self {
        let topic = Topic::join(&parts.event_type, &parts.id);
        let payload = match parts.payload {
            None => Payload::Missing,
            Some(json) => {
                let start = json.as_ptr().addr() - parts.text.as_ptr().addr();
                Payload::Json(text.slice_ref(&text[start..start + json.len()]))
            }
        };
        Self(Arc::new(Inner { topic, payload, text: OnceLock::from(Ok(text.clone())), source }))
    }

    fn from_parts(topic: Topic, payload: Payload) -> Self {
        Self(Arc::new(Inner { topic, payload, text: OnceLock::new(), source: None }))
    }

    /// The topic, `type:id`.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.0.topic
    }

    /// The event type.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.0.topic.event_type()
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.topic.id()
    }

    /// The connection that a hub had it from; `None` for events made here. It does not travel.
    #[must_use]
    pub fn source(&self) -> Option<LinkId> {
        self.0.source
    }

    /// The payload's JSON text; `None` where the payload is missing.
    ///
    /// # Errors
    /// [`EncodeError`] where a typed payload cannot be written as JSON.
    pub fn payload_json(&self) -> Result<Option<&str>, EncodeError> {
        match &self.0.payload {
            Payload::Missing => Ok(None),
            Payload::Json(json) => Ok(Some(json)),
            Payload::Value { value, json } => {
                let made = json.get_or_init(|| value.to_json().map(ByteString::from).map_err(encode_error));
                made.as_ref().map(|json| Some(&**json)).map_err(Clone::clone)
            }
        }
    }

    /// The payload as a Rust type; a missing one reads as `null`.
    ///
    /// # Errors
    /// [`DecodeError`] where it does not fit.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        let error = |why: String| DecodeError(Arc::new(Misfit { wanted: std::any::type_name::<T>(), why }));
        let json = self.payload_json().map_err(|why| error(why.to_string()))?.unwrap_or("null");
        serde_json::from_str(json).map_err(|why| error(why.to_string()))
    }

    /// The payload as the event type `E`: the shared value itself where one was published, else from its JSON.
    ///
    /// # Errors
    /// [`DecodeError`] where it does not fit.
    pub fn payload_shared<E: Event>(&self) -> Result<Arc<E>, DecodeError> {
        if let Payload::Value { value, .. } = &self.0.payload {
            let value: Arc<dyn Any + Send + Sync> = value.clone();
            if let Ok(value) = value.downcast() {
                return Ok(value);
            }
        }
        self.payload().map(Arc::new)
    }

    /// The whole envelope as JSON text: as it came over the wire, or made once, on first need.
    ///
    /// # Errors
    /// [`EncodeError`] where a typed payload cannot be written as JSON.
    pub fn to_json(&self) -> Result<&str, EncodeError> {
        self.text().map(|text| &**text)
    }

    /// Where it is in memory: of two that are there, equal for clones of one alone.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub(crate) fn text(&self) -> Result<&ByteString, EncodeError> {
        let made = self.0.text.get_or_init(|| self.write());
        made.as_ref().map_err(Clone::clone)
    }

    fn write(&self) -> Result<ByteString, EncodeError> {
        let mut text = String::from(r#"{"type":"#);
        let quote = |text: &str| serde_json::to_string(text).map_err(encode_error);
        text.push_str(&quote(self.event_type())?);
        text.push_str(r#","id":"#);
        text.push_str(&quote(self.id())?);
        if let Some(payload) = self.payload_json()? {
            text.push_str(r#","payload":"#);
            text.push_str(payload);
        }
        text.push('}');
        Ok(text.into())
    }

    /// What it counts for against a queue's bound in bytes: its JSON text where there is one, else what its
    /// parts take, a typed value's own heap memory left out.
    #[must_use]
    pub fn weight(&self) -> usize {
        // As it came it may hold far more than its payload: unknown members, white space.
        if let Some(Ok(text)) = self.0.text.get() {
            return self.0.topic.as_str().len() + text.len();
        }
        let payload = match &self.0.payload {
            Payload::Missing => 0,
            Payload::Json(json) => json.len(),
            Payload::Value { value, .. } => value.shallow_size(),
        };
        self.0.topic.as_str().len() + payload
    }
}

fn encode_error(error: serde_json::Error) -> EncodeError {
    EncodeError(error.to_string().into())
}

/// Shows type and id; payloads are nobody's business in a log.
impl fmt::Debug for EventEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventEnvelope")
            .field("type", &self.event_type())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
