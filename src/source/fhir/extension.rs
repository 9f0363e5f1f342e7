//! What the engine adds to an endpoint: operations of its own, and a say in what is written.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::message::resource::ResourceKey;
use crate::message::secret::Secret;
use crate::resources::fault::Fault;
use crate::source::fhir::access::Principal;
use crate::source::fhir::answer::Answer;

/// A call of an operation that the endpoint does not know itself.
#[derive(Debug, Clone)]
pub struct Call {
    /// The channel whose source was asked.
    pub channel: Box<str>,
    /// The resource type, for `Type/$name` and `Type/id/$name`.
    pub kind: Option<Box<str>>,
    /// The id, for `Type/id/$name`.
    pub id: Option<Box<str>>,
    /// The name without `$`.
    pub name: Box<str>,
    /// Parameters of the URL.
    pub query: Vec<(String, String)>,
    /// The body of a POST; `Null` of a GET.
    pub body: Value,
    /// What clients call the endpoint, without a slash at the end.
    pub base: Box<str>,
    /// Who asks.
    pub who: Arc<Principal>,
}

/// An operation for the CapabilityStatement.
#[derive(Debug, Clone)]
pub struct Offered {
    /// The type it is offered on.
    pub kind: Box<str>,
    /// The name without `$`.
    pub name: Box<str>,
    /// The canonical URL of its definition.
    pub definition: Box<str>,
}

/// What the engine adds.
#[async_trait]
pub trait Extension: Send + Sync {
    /// Operations and other additions for the CapabilityStatement of a channel.
    fn offers(&self, channel: &str) -> Vec<Offered>;

    /// A last look at the CapabilityStatement of a channel before it is shown.
    fn describe(&self, channel: &str, statement: &mut Value);

    /// A look at a resource before it is validated and written: it may be completed (a Subscription's
    /// status, and who wrote it) or refused. `previous` is the resource before, when there is one.
    ///
    /// # Errors
    /// When the resource cannot be taken.
    fn submit(
        &self,
        channel: &str,
        who: &Principal,
        previous: Option<&Value>,
        resource: &mut Value,
    ) -> Result<(), Fault>;

    /// A secret was given with a resource that is about to be made; kinds that have none ignore it.
    ///
    /// # Errors
    /// When it cannot sign or cannot be kept.
    fn secret(&self, key: &ResourceKey, secret: &Secret) -> Result<(), Fault>;

    /// A resource was written, durably; `current` is `None` when it was deleted.
    fn written(&self, channel: &str, key: &ResourceKey, version: u64, current: Option<&Value>);

    /// Calls an operation; `None` when it is not known.
    async fn call(&self, call: Call) -> Option<Result<Answer, Fault>>;
}

/// An endpoint without additions.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoExtension;

#[async_trait]
impl Extension for NoExtension {
    fn offers(&self, _: &str) -> Vec<Offered> {
        Vec::new()
    }

    fn describe(&self, _: &str, _: &mut Value) {}

    fn submit(
        &self,
        _: &str,
        _: &Principal,
        _: Option<&Value>,
        _: &mut Value,
    ) -> Result<(), Fault> {
        Ok(())
    }

    fn secret(&self, _: &ResourceKey, _: &Secret) -> Result<(), Fault> {
        Ok(())
    }

    fn written(&self, _: &str, _: &ResourceKey, _: u64, _: Option<&Value>) {}

    async fn call(&self, _: Call) -> Option<Result<Answer, Fault>> {
        None
    }
}
