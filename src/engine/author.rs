//! Who puts channels in force, and why: kept in the audit trail for each version.

use tracing::error;

use crate::config::channel_file::ChannelConfig;
use crate::engine::Engine;
use crate::message::id::VersionId;
use crate::store::StoreError;
use crate::store::access::{AuditEntry, AuditQuery, AuditRecord};

/// What a version's record is called.
const ACTION: &str = "channel.version";

/// Who puts channel files in force.
#[derive(Debug, Clone)]
pub struct Author {
    /// As on record: `user:NAME`, `token:NAME`, `engine`.
    pub by: String,
    /// From where; empty for the engine itself.
    pub address: String,
    /// Why.
    pub reason: String,
    /// The channel groups whose files are put in force; empty for all.
    pub groups: Vec<String>,
}

impl Author {
    /// The engine itself: at its start, or asked by a signal of the machine it runs on.
    #[must_use]
    pub fn engine(reason: &str) -> Self {
        Self {
            by: "engine".to_owned(),
            address: String::new(),
            reason: reason.to_owned(),
            groups: Vec::new(),
        }
    }

    /// Whether a channel of this group is theirs.
    pub(super) fn owns(&self, group: Option<&str>) -> bool {
        self.groups.is_empty()
            || group.is_some_and(|group| self.groups.iter().any(|own| own == group))
    }
}

fn object(channel: &str, version: VersionId) -> String {
    format!("{channel}@{}", version.0)
}

impl Engine {
    /// A record in the trail of what an author does.
    fn authored(&self, author: &Author, action: &str, object: String) -> AuditEntry {
        AuditEntry {
            at: self.clock.now(),
            actor: author.by.clone(),
            address: author.address.clone(),
            action: action.to_owned(),
            outcome: "done".to_owned(),
            object,
            reason: author.reason.clone(),
        }
    }

    /// Notes that files are put in force by the machine's own hand; people's calls are on record already.
    pub(super) async fn note_application(&self, author: &Author) -> Result<(), StoreError> {
        self.trail.audit(&self.authored(author, "config.apply", String::new())).await.map(drop)
    }

    /// Notes who puts a version in force.
    pub(super) async fn note_version(
        &self,
        author: &Author,
        channel: &str,
        version: VersionId,
    ) -> Result<(), StoreError> {
        let entry = self.authored(author, ACTION, object(channel, version));
        self.trail.audit(&entry).await.map(drop)
    }

    /// Notes the start, and versions that are in force for the first time with it. A trail that cannot be written
    /// stops no message: what needs a record of its own is refused then.
    pub(super) async fn note_start(&self, versions: &[(&ChannelConfig, VersionId)]) {
        let author = Author::engine("start");
        let mut entries = vec![self.authored(&author, "engine.start", String::new())];
        for (channel, version) in versions {
            match self.version_author(&channel.name, *version).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let object = object(&channel.name, *version);
                    entries.push(self.authored(&author, ACTION, object));
                }
                Err(error) => error!(%error, "the audit trail cannot be read"),
            }
        }
        if let Err(error) = self.trail.audit_all(&entries).await {
            error!(%error, "the start is not on record: the audit trail cannot be written");
        }
    }

    /// Who put a version in force last, with why.
    ///
    /// # Errors
    /// When the trail cannot be read.
    pub async fn version_author(
        &self,
        channel: &str,
        version: VersionId,
    ) -> Result<Option<AuditRecord>, StoreError> {
        let query = AuditQuery {
            action: Some(ACTION.to_owned()),
            object: Some(object(channel, version)),
            limit: 1,
            ..AuditQuery::default()
        };
        Ok(self.trail.audit_records(&query).await?.pop())
    }
}
