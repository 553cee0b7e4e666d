//! Removing what an engine need not keep: networks, build cache.

use std::time::Duration;

use hyper::Method;
use serde::de::IgnoredAny;
use serde_json::json;

use super::handle::{Remote, encoded};
use crate::error::Result;

/// How far a build cache is cut back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheLimit {
    /// Records that were not used for this long go; the engine counts hours.
    UnusedFor(Duration),
    /// The least recently used records go until this much is left.
    Bytes(u64),
}

impl Remote {
    /// Removes the networks that people made and that no container uses.
    pub async fn prune_networks(&self) -> Result<()> {
        let filters = encoded(&json!({ "type": ["custom"] }).to_string());
        let target = format!("/networks?filters={filters}");
        let custom: Vec<IgnoredAny> = self.get("list networks", &target).await?;
        if custom.is_empty() {
            return Ok(());
        }
        self.command(Method::POST, "remove networks", "/networks/prune")
            .await
    }

    /// Cuts the build cache back. Records that are in use stay.
    pub async fn prune_build_cache(&self, limit: CacheLimit) -> Result<()> {
        let query = match limit {
            CacheLimit::UnusedFor(age) => {
                let hours = age.as_secs().div_ceil(3600);
                let filters = json!({ "until": [format!("{hours}h")] });
                format!("filters={}", encoded(&filters.to_string()))
            }
            // The first is read below API 1.48, the second from there on (moby
            // `daemon/server/router/build/build_routes.go`, `postPrune`).
            CacheLimit::Bytes(bytes) => format!("keep-storage={bytes}&reserved-space={bytes}"),
        };
        let target = format!("/build/prune?all=1&{query}");
        self.command(Method::POST, "cut back its build cache", &target)
            .await
    }
}
