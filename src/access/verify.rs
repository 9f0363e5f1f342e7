//! Verifies the audit trail: every record there, in order, and as it was written.

use crate::store::StoreError;
use crate::store::access::{AccessStore, audit_hash};

/// Records read at once.
const PAGE: u32 = 1000;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// Nothing is missing and nothing was changed.
    Whole {
        /// How many records there are.
        records: i64,
        /// The hash of the last one: compare it with one noted elsewhere, to see that none was cut off.
        head: [u8; 32],
    },
    /// Something is wrong from this record on.
    Broken {
        /// Its number.
        number: i64,
        /// What is wrong.
        why: &'static str,
    },
}

/// Walks the whole trail.
///
/// # Errors
/// When the store cannot be read.
pub async fn verify(store: &dyn AccessStore) -> Result<Verified, StoreError> {
    let (mut records, mut head) = (0_i64, [0_u8; 32]);
    loop {
        let page = store.audit_from(records + 1, PAGE).await?;
        if page.is_empty() {
            return Ok(Verified::Whole { records, head });
        }
        for record in page {
            let broken = |why| Ok(Verified::Broken { number: record.number, why });
            if record.number != records + 1 {
                return broken("records before it are missing");
            }
            if record.previous != head {
                return broken("it does not follow the record before it");
            }
            if audit_hash(record.number, &record.entry, &record.previous) != record.hash {
                return broken("it is not as it was written");
            }
            (records, head) = (record.number, record.hash);
        }
    }
}
