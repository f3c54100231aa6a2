//! Query strings, with errors in the common format.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::GatewayError;

/// The fields of a query string.
pub(crate) struct Fields<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Fields<T> {
    type Rejection = GatewayError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, GatewayError> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        let Query(fields) = read.map_err(|error| GatewayError::BadField { field: "the query".to_owned(), problem: error.body_text() })?;
        Ok(Fields(fields))
    }
}
