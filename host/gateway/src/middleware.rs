//! The middleware for every request and response: one layer, since each layer of a router costs every request some allocations.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::gateway::{Gateway, Shared};
use crate::paths::AccessRules;
use crate::{cors, guard, request_share};

/// Counts a request, checks access, and counts the bytes of the request and its response in the budget.
pub(crate) async fn pass(State((gateway, access_rules)): State<(Shared, &'static AccessRules)>, request: Request, next: Next) -> Response {
    // Outermost, so that refused requests are counted, too.
    let waiting = gateway.requests.begin(&request);
    let response = match cors::is_readable(&gateway, &request) {
        false => admitted(&gateway, access_rules, request, next).await,
        true => {
            let mut response = match cors::preflight(&request) {
                Some(response) => response,
                None => admitted(&gateway, access_rules, request, next).await,
            };
            cors::make_readable(&mut response);
            response
        }
    };
    waiting.end(response.status());
    response
}

async fn admitted(gateway: &Gateway, access_rules: &AccessRules, request: Request, next: Next) -> Response {
    let need = access_rules.of(request.method(), request.extensions().get::<MatchedPath>().map(MatchedPath::as_str));
    let mut request = match guard::admit(gateway.settings.tokens.as_ref(), need, request).await {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    let received = request_share::begin(&gateway.budget, &mut request);
    let response = next.run(request).await;
    request_share::answer(&received, response, &gateway.budget)
}
