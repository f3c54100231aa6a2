//! The OpenAPI 3.1 document of the gateway. Paths, bodies and schemas come from the code that serves them; this module adds what they have in common.

use axum::http::Method;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Response, ResponseBuilder, Schema, Tag,
};
use utoipa::{PartialSchema, ToSchema};

use crate::paths::{AccessRules, Paths};
use crate::protocol::ErrorAnswer;
use crate::scope::AccessRule;

/// The name of the security scheme of the token.
const TOKEN: &str = "token";
const UNAUTHORIZED: &str = "Unauthorized";
const FORBIDDEN: &str = "Forbidden";
const FAILED: &str = "Failed";

const ABOUT: &str = "The HTTP interface of a running Weir. Top-level field names are in kebab-case; those below are the user's. \
     docs/wire.md describes the same in prose, with the error types.";
const ABOUT_TOKEN: &str = "A token of the gateway, if `weir up` was started with any: every path requires one unless stated otherwise. A \
     token has a scope, `read`, `operate` or `deploy`, each including those before it. For a WebSocket, `?token=TOKEN` may be appended to \
     the address.";
/// The groups of paths, with descriptions.
const GROUPS: [(&str, &str); 6] = [
    ("services", "Compatible with TrustGraph 2.3: every error except 401 and 403 is an answer with status 200 and `error`."),
    ("flows", "Messages into flows and out of them."),
    ("components", "What processors run."),
    ("views", "The current state. These requests change nothing."),
    ("dead letters", "Messages that could not be handled: list, resend or delete them."),
    ("health", "Health checks and metrics."),
];

/// The document of these paths.
pub(crate) fn document(paths: Paths) -> OpenApi {
    let (paths, needs) = paths.into_openapi();
    whole(outline().merge_from(paths), &needs)
}

/// The document without paths.
fn outline() -> OpenApi {
    let mut licence = License::new("Apache License 2.0");
    licence.identifier = Some("Apache-2.0".to_owned());
    let info =
        InfoBuilder::new().title("Weir gateway").version(env!("CARGO_PKG_VERSION")).description(Some(ABOUT)).license(Some(licence)).build();
    let tag = |(name, about): (&str, &str)| -> Tag { TagBuilder::new().name(name).description(Some(about)).build() };
    // A gateway may have a token or none.
    let security = [SecurityRequirement::default(), SecurityRequirement::new(TOKEN, Vec::<String>::new())];
    OpenApiBuilder::new().info(info).tags(Some(GROUPS.map(tag))).security(Some(security)).build()
}

/// Adds the responses that are possible on every path, from access control and error handling, to each operation.
fn whole(mut document: OpenApi, needs: &AccessRules) -> OpenApi {
    let components = document.components.get_or_insert_default();
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(ABOUT_TOKEN)).build();
    components.security_schemes.insert(TOKEN.to_owned(), RefOr::T(SecurityScheme::Http(scheme)));
    components.schemas.insert(ErrorAnswer::name().into_owned(), ErrorAnswer::schema());
    let mut shapes: Vec<(String, RefOr<Schema>)> = Vec::new();
    ErrorAnswer::schemas(&mut shapes);
    components.schemas.extend(shapes);
    for (name, about) in [
        (UNAUTHORIZED, "The gateway requires a token, and none or an unknown one was sent"),
        (
            FORBIDDEN,
            "The scope of the token is too small; or no token was sent, and the request came from a web page or names another host",
        ),
        (FAILED, "Refused or failed: `type` is for programs, `message` states what is wrong, where, why and what to do"),
    ] {
        components.responses.insert(name.to_owned(), RefOr::T(error(about)));
    }
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            add_refusals(path, needs.of(&method, Some(path)), operation);
        }
    }
    document
}

fn error(about: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(ErrorAnswer::name()))).build();
    ResponseBuilder::new().description(about).content("application/json", content).build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn add_refusals(path: &str, need: AccessRule, operation: &mut Operation) {
    let mut add = |status: &str, name: &str| {
        operation.responses.responses.insert(status.to_owned(), RefOr::Ref(Ref::from_response_name(name)));
    };
    add("403", FORBIDDEN);
    // A gateway may have tokens or none.
    let none = SecurityRequirement::default();
    let Some(scope) = need.least() else {
        operation.security = Some(vec![none]);
        return;
    };
    operation.security = Some(vec![none, SecurityRequirement::new(TOKEN, [scope.word()])]);
    add("401", UNAUTHORIZED);
    if path.starts_with("/api/v1/weir/") {
        add("default", FAILED);
    }
}
