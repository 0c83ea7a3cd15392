//! Who answers the XML API of this firewall?
//!
//! The one implementation of that API is the manager's, and this crate does not know the manager: whoever starts the
//! process brings the two together, and hands in what is here.

use std::pin::Pin;
use std::sync::Arc;

use anyhow::Result;
use bartizan_api::fleet::{ApiRequest, ApiResponse};

use crate::firewall::Firewall;
use crate::manager::LogQueue;
use crate::store::Store;

/// What is awaited.
pub type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;

/// The XML API of a firewall.
pub trait Api: Send + Sync {
    /// Answers a request that the manager passes on for one of its administrators, who has the rights for it.
    fn answer(&self, request: ApiRequest) -> Future<ApiResponse>;

    /// Where log records go that the firewall keeps itself; `None` when it keeps none.
    fn logs(&self) -> Option<Arc<LogQueue>>;

    /// Ends it: what is under way is finished.
    fn stop(&self) -> Future<()>;
}

/// Starts the API of a firewall that is up, with what the firewall keeps.
pub type Start = Box<dyn FnOnce(Arc<Firewall>, Arc<Store>) -> Future<Result<Arc<dyn Api>>> + Send>;
