//! Which Temporal a namespace's firings go to.

use std::collections::HashMap;

use super::sink::Sink;

/// Where one namespace's firings go.
#[derive(Clone)]
pub struct Route {
    /// The cluster.
    pub sink: Sink,
    /// Temporal's namespace there.
    pub temporal_namespace: String,
    /// Where the built-in orchestrator polls.
    pub task_queue: String,
}

/// Routes by namespace, with one for all that are not named.
pub struct Routes {
    default: Route,
    named: HashMap<String, Route>,
}

impl Routes {
    /// `named` by Flintwheel namespace.
    pub fn new(default: Route, named: HashMap<String, Route>) -> Self {
        Self { default, named }
    }

    /// The route of a namespace.
    pub fn of(&self, namespace: &str) -> &Route {
        self.named.get(namespace).unwrap_or(&self.default)
    }

    /// The route of all namespaces that are not named.
    pub fn default_route(&self) -> &Route {
        &self.default
    }
}
