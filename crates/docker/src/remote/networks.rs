//! Removing what an engine need not keep: networks that nobody uses.

use hyper::Method;
use serde::de::IgnoredAny;
use serde_json::json;

use super::handle::{Remote, encoded};
use crate::error::Result;

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
}
