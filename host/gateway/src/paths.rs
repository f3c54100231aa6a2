//! The list of paths while it is made: none gets into it without its description and what it [requires](Need).

use std::collections::BTreeMap;

use axum::Router;
use axum::http::Method;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::gateway::Shared;
use crate::scope::{Need, Scope};

/// Paths, each with its description and what it requires.
pub(crate) struct Paths {
    router: OpenApiRouter<Shared>,
    needs: Needs,
}

/// What each path requires, by its pattern and method.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs(BTreeMap<String, Vec<(Method, Need)>>);

impl Paths {
    /// None yet.
    pub(crate) fn new() -> Self {
        Paths { router: OpenApiRouter::new(), needs: Needs::default() }
    }

    /// With further ones that require this.
    pub(crate) fn with(mut self, need: Need, routes: UtoipaMethodRouter<Shared>) -> Self {
        for (path, item) in &routes.1.paths {
            let methods = methods(item).map(|(method, _)| (method, need));
            self.needs.0.entry(path.clone()).or_default().extend(methods);
        }
        self.router = self.router.routes(routes);
        self
    }

    /// The routes.
    pub(crate) fn into_router(self) -> Router<Shared> {
        Router::from(self.router)
    }

    /// The description of all, and what each requires.
    pub(crate) fn into_openapi(self) -> (OpenApi, Needs) {
        (self.router.into_openapi(), self.needs)
    }

    /// What each requires.
    pub(crate) fn into_needs(self) -> Needs {
        self.needs
    }
}

impl Needs {
    /// What a request requires, by the pattern of its path. A request for an unknown path or method requires scope `read` as well, since the
    /// answer may show names.
    pub(crate) fn of(&self, method: &Method, pattern: Option<&str>) -> Need {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let of_path = pattern.and_then(|pattern| self.0.get(pattern)).into_iter().flatten();
        of_path.into_iter().find(|(known, _)| known == method).map_or(Need::Scope(Scope::Read), |(_, need)| *need)
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
