//! Counts bodies of HTTP requests and responses in the [budget](crate::budget): that of a request until its handler is done, that of a response until
//! the connection has written it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::Extensions;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::budget::{Budget, FREE_BYTES, Share};
use crate::error::Result;

/// The share of the budget that a request holds while its handler runs.
#[derive(Clone)]
pub(crate) struct RequestShare(Arc<Mutex<Share>>);

impl RequestShare {
    /// The share of a request.
    pub(crate) fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get::<RequestShare>().cloned()
    }

    /// Resizes it to the bytes read.
    ///
    /// # Errors
    /// `Overloaded`.
    pub(crate) fn resize(&self, bytes: usize) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).resize(bytes)
    }
}

/// Starts counting the bytes of a request.
pub(crate) fn begin(budget: &Arc<Budget>, request: &mut Request) -> RequestShare {
    let received = RequestShare(Arc::new(Mutex::new(budget.share())));
    request.extensions_mut().insert(received.clone());
    received
}

/// Counts a response in place of its request; replaces one that exceeds the budget by an error.
pub(crate) fn answer(received: &RequestShare, response: Response, budget: &Arc<Budget>) -> Response {
    let _ = received.resize(0);
    counted(response, budget)
}

fn counted(response: Response, budget: &Arc<Budget>) -> Response {
    let size = response.body().size_hint();
    let whole = match size.exact() {
        // Nearly all responses.
        Some(bytes) if bytes <= FREE_BYTES as u64 => return response,
        Some(bytes) => match budget.hold(usize::try_from(bytes).unwrap_or(usize::MAX)) {
            Ok(share) => Some(share),
            Err(error) => return error.into_response(),
        },
        None => None,
    };
    let budget = budget.clone();
    response.map(|body| Body::new(CountedBody { body, whole, budget }))
}

/// The body of a response, whose chunks are counted while the connection holds them.
struct CountedBody {
    body: Body,
    /// For a body of known size, which is a single chunk.
    whole: Option<Share>,
    budget: Arc<Budget>,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else { return Poll::Ready(None) };
        let data = match frame?.into_data() {
            Ok(data) => data,
            Err(other) => return Poll::Ready(Some(Ok(other))),
        };
        let share = match self.whole.take() {
            Some(share) => share,
            None if data.len() <= FREE_BYTES => return Poll::Ready(Some(Ok(Frame::data(data)))),
            None => self.budget.hold(data.len()).map_err(axum::Error::new)?,
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(CountedBytes { data, _share: share })))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes that are counted until the last clone is dropped.
struct CountedBytes {
    data: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}
