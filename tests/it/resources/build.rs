//! Resources of made-up people to write.

use std::sync::Arc;

use medway::message::payload::Payload;
use medway::message::resource::{
    Expect, IndexValue, Indexed, Interaction, ResourceKey, ResourceWrite,
};
use medway::message::time::Timestamp;
use medway::store::resources::{ResourceBatch, Written};
use medway::store::{Appended, Store, StoreError};

use crate::store::build::START;

pub(crate) fn key(kind: &str, id: &str) -> ResourceKey {
    ResourceKey::new(kind, id)
}

fn body(kind: &str, id: &str, version: u64) -> Payload {
    let body = format!(
        r#"{{"resourceType":"{kind}","id":"{id}","meta":{{"versionId":"{version}"}},"x":"{}"}}"#,
        "made up ".repeat(200)
    );
    Payload::new(body)
}

/// A first version, written `n` milliseconds after the start, where `n` is its version.
pub(crate) fn create(kind: &str, id: &str, version: u64, index: Vec<IndexValue>) -> ResourceWrite {
    ResourceWrite {
        key: key(kind, id),
        expect: Expect::Absent,
        version,
        interaction: Interaction::Create,
        at: Timestamp(START + i64::try_from(version).unwrap() * 1000),
        message: None,
        body: body(kind, id, version),
        index,
    }
}

/// A version after the one before it.
pub(crate) fn update(kind: &str, id: &str, version: u64, index: Vec<IndexValue>) -> ResourceWrite {
    ResourceWrite {
        expect: Expect::Version(version - 1),
        interaction: Interaction::Update,
        ..create(kind, id, version, index)
    }
}

/// A version that says the resource is gone.
pub(crate) fn delete(kind: &str, id: &str, version: u64) -> ResourceWrite {
    ResourceWrite {
        interaction: Interaction::Delete,
        body: Payload::default(),
        ..update(kind, id, version, Vec::new())
    }
}

fn value(param: &str, value: Indexed) -> IndexValue {
    IndexValue { param: param.into(), value }
}

pub(crate) fn token(param: &str, system: &str, code: &str) -> IndexValue {
    value(param, Indexed::Token { system: system.into(), code: code.into() })
}

pub(crate) fn reference(param: &str, kind: &str, id: &str) -> IndexValue {
    value(param, Indexed::Reference { kind: kind.into(), id: id.into() })
}

pub(crate) fn identifier_reference(param: &str, system: &str, of: &str) -> IndexValue {
    value(param, Indexed::ReferenceIdentifier { system: system.into(), value: of.into() })
}

pub(crate) fn date(param: &str, from: i64, to: i64) -> IndexValue {
    value(param, Indexed::Date { from: Timestamp(from), to: Timestamp(to) })
}

pub(crate) fn text(param: &str, exact: &str) -> IndexValue {
    let folded = medway::message::fold::fold(exact).into();
    value(param, Indexed::Text { folded, exact: exact.into() })
}

pub(crate) fn quantity(param: &str, number: f64, system: &str, code: &str) -> IndexValue {
    value(param, Indexed::Quantity { value: number, system: system.into(), code: code.into() })
}

pub(crate) fn uri(param: &str, of: &str) -> IndexValue {
    value(param, Indexed::Uri(of.into()))
}

/// What became of the messages of a batch that was written.
pub(crate) fn done(written: Result<Written, StoreError>) -> Vec<Appended> {
    match written.unwrap() {
        Written::Done(appended) => appended,
        other => panic!("not written: {other:?}"),
    }
}

pub(crate) async fn write_one(store: &Arc<dyn Store>, write: ResourceWrite) {
    done(store.write(ResourceBatch { writes: vec![write], ..ResourceBatch::default() }).await);
}
