//! Builds the list of paths: each is added together with its description and its [access rule](AccessRule).

use std::collections::BTreeMap;

use axum::Router;
use axum::http::Method;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::gateway::Shared;
use crate::scope::{AccessRule, Scope};

/// Paths, each with its description and access rule.
pub(crate) struct Paths {
    router: OpenApiRouter<Shared>,
    access_rules: AccessRules,
}

/// The access rules of each path, by its pattern and method.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessRules(BTreeMap<String, Vec<(Method, AccessRule)>>);

impl Paths {
    /// An empty list.
    pub(crate) fn new() -> Self {
        Paths { router: OpenApiRouter::new(), access_rules: AccessRules::default() }
    }

    /// Adds paths with this access rule.
    pub(crate) fn with(mut self, need: AccessRule, routes: UtoipaMethodRouter<Shared>) -> Self {
        for (path, item) in &routes.1.paths {
            let methods = methods(item).map(|(method, _)| (method, need));
            self.access_rules.0.entry(path.clone()).or_default().extend(methods);
        }
        self.router = self.router.routes(routes);
        self
    }

    /// The routes.
    pub(crate) fn into_router(self) -> Router<Shared> {
        Router::from(self.router)
    }

    /// The description of all paths, and the access rules.
    pub(crate) fn into_openapi(self) -> (OpenApi, AccessRules) {
        (self.router.into_openapi(), self.access_rules)
    }

    /// The access rules.
    pub(crate) fn into_access_rules(self) -> AccessRules {
        self.access_rules
    }
}

impl AccessRules {
    /// The access rule of a request, by the pattern of its path. A request for an unknown path or method requires scope `read` as well, since the
    /// response may show names.
    pub(crate) fn of(&self, method: &Method, pattern: Option<&str>) -> AccessRule {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let of_path = pattern.and_then(|pattern| self.0.get(pattern)).into_iter().flatten();
        of_path.into_iter().find(|(known, _)| known == method).map_or(AccessRule::Scope(Scope::Read), |(_, need)| *need)
    }
}

/// The operations of a path.
pub(crate) fn methods(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let all = [
        (Method::GET, &item.get),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}
