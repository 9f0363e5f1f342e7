//! The resources of one message, and how they refer to each other.

use serde_json::Value;

/// A resource with what stands around it: the entries of its Bundle, what it contains.
#[derive(Debug, Clone)]
pub struct Resources<'j> {
    /// What the message is about; a Bundle has its entries instead.
    main: &'j Value,
    entries: Vec<Entry<'j>>,
    event: &'j str,
}

/// An entry of a Bundle.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'j> {
    /// Its `fullUrl`; empty when there is none.
    pub url: &'j str,
    /// How it is to be written (`POST`, `PUT`, …); empty when the Bundle does not say.
    pub method: &'j str,
    /// The resource.
    pub resource: &'j Value,
}

/// Most entries of a Bundle that are looked at.
const ENTRIES_MAX: usize = 10_000;

impl<'j> Resources<'j> {
    /// The resources of a document, and the event it came with (`Patient^update`).
    #[must_use]
    pub fn of(document: &'j Value, event: &'j str) -> Self {
        let entries = (kind(document) == "Bundle").then(|| document.get("entry")).flatten();
        let entries = entries.and_then(Value::as_array).into_iter().flatten().take(ENTRIES_MAX);
        let entries = entries.filter_map(|entry| {
            Some(Entry {
                url: text(entry, "fullUrl"),
                method: entry.pointer("/request/method").and_then(Value::as_str).unwrap_or(""),
                resource: entry.get("resource")?,
            })
        });
        Self { main: document, entries: entries.collect(), event }
    }

    /// The document itself.
    #[must_use]
    pub const fn document(&self) -> &'j Value {
        self.main
    }

    /// The event it came with: `Patient^update`; empty when not known.
    #[must_use]
    pub const fn event(&self) -> &'j str {
        self.event
    }

    /// The entries of the Bundle; of a single resource none.
    #[must_use]
    pub fn entries(&self) -> &[Entry<'j>] {
        &self.entries
    }

    /// All resources of a type: the main one, or those of the Bundle; not those contained.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'j Value> {
        let main = std::iter::once(self.main);
        let entries = self.entries.iter().map(|entry| entry.resource);
        main.chain(entries).filter(move |resource| kind(resource) == name)
    }

    /// The first resource of a type.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&'j Value> {
        self.all(name).next()
    }

    /// What a Reference refers to, seen from the resource that holds it: contained, or an entry.
    #[must_use]
    pub fn resolve(&self, from: &'j Value, reference: &Value) -> Option<&'j Value> {
        let wanted = reference.get("reference")?.as_str()?;
        if let Some(id) = wanted.strip_prefix('#') {
            let contained = from.get("contained").and_then(Value::as_array)?;
            return contained.iter().find(|resource| text(resource, "id") == id);
        }
        // A version in a reference means the same resource here: the message has no other.
        let wanted = wanted.split("/_history/").next().unwrap_or(wanted);
        let named =
            |resource: &Value| wanted == format!("{}/{}", kind(resource), text(resource, "id"));
        if named(self.main) {
            return Some(self.main);
        }
        // FHIR R4 bundle.html#references: a relative one is completed with the base of the entry's own URL.
        let found = self.entries.iter().find(|entry| {
            entry.url == wanted
                || named(entry.resource)
                || (wanted.contains("://") && {
                    let local = format!("/{}/{}", kind(entry.resource), text(entry.resource, "id"));
                    !local.ends_with('/') && wanted.ends_with(&local)
                })
        });
        found.map(|entry| entry.resource)
    }

    /// What the Reference of this name refers to.
    #[must_use]
    pub fn follow(&self, from: &'j Value, name: &str) -> Option<&'j Value> {
        self.resolve(from, from.get(name)?)
    }
}

/// The resource type; empty when it is no resource.
#[must_use]
pub fn kind(resource: &Value) -> &str {
    text(resource, "resourceType")
}

/// A text of an object; empty when there is none.
#[must_use]
pub fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

/// The items of a list; nothing when there is none.
pub fn items<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}
