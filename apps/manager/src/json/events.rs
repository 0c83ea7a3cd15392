//! Answers that go on: server-sent events.

use std::convert::Infallible;

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::problem::Problem;
use super::route::{Answer, Described};

/// Answers that go on at once; each holds a connection.
const STREAMS_MAX: usize = 512;
static STREAMS: Semaphore = Semaphore::const_new(STREAMS_MAX);

/// Events with JSON, until the other end has enough.
pub(crate) struct Events<T> {
    stream: ReceiverStream<T>,
    place: SemaphorePermit<'static>,
}

impl<T> Events<T> {
    /// Sends what comes by the stream; refused when too many are followed already.
    pub(crate) fn new(stream: ReceiverStream<T>) -> Result<Self, Problem> {
        let place = STREAMS.try_acquire();
        let place = place.map_err(|_| Problem::busy(format!("{STREAMS_MAX} streams are followed already")))?;
        Ok(Self { stream, place })
    }
}

impl<T: Serialize + JsonSchema + Send + 'static> Answer for Events<T> {
    fn describe(generator: &mut SchemaGenerator) -> Described {
        let schema = Some(generator.subschema_for::<T>());
        Described { status: StatusCode::OK, content_type: Some("text/event-stream"), schema }
    }

    fn into_response(self) -> Response {
        let place = self.place;
        let events = self.stream.map(move |value| {
            let _place = &place;
            // What is sent is made of strings, numbers and lists of them.
            Ok::<_, Infallible>(Event::default().data(serde_json::to_string(&value).unwrap_or_default()))
        });
        Sse::new(events).keep_alive(KeepAlive::default()).into_response()
    }
}
