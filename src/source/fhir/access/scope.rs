//! SMART scopes: what a token is good for (SMART App Launch 2, scopes-and-launch-context).

/// What is done to resources of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Create.
    Create,
    /// Read, vread, history of one resource.
    Read,
    /// Update and patch.
    Update,
    /// Delete.
    Delete,
    /// Search, history of a type or of everything.
    Search,
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scopes {
    /// Everything.
    #[default]
    All,
    /// What these scopes say.
    Only(Vec<Scope>),
}

/// One scope: a type and what may be done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The type; `*` for all.
    kind: Box<str>,
    create: bool,
    read: bool,
    update: bool,
    delete: bool,
    search: bool,
}

impl Scopes {
    /// Reads scopes divided by blanks. Those of other kinds (`launch`, `openid`, `patient/…`) and those
    /// narrowed by a search, which is not checked here, give nothing.
    #[must_use]
    pub fn read(text: &str) -> Self {
        Self::Only(text.split_ascii_whitespace().filter_map(Scope::read).collect())
    }

    /// As [`Self::read`] reads them; `None` for everything.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Only(scopes) => {
                Some(scopes.iter().map(Scope::text).collect::<Vec<_>>().join(" "))
            }
        }
    }

    /// Whether this may be done to resources of this type; `*` asks for all types.
    #[must_use]
    pub fn allow(&self, kind: &str, permission: Permission) -> bool {
        match self {
            Self::All => true,
            Self::Only(scopes) => scopes.iter().any(|scope| {
                (&*scope.kind == "*" || &*scope.kind == kind) && scope.allows(permission)
            }),
        }
    }
}

impl Scope {
    /// Reads `system/Patient.rs` (v2) or `system/Patient.read` (v1); `None` when it is neither.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (kind, letters) = text.strip_prefix("system/")?.split_once('.')?;
        let known =
            kind == "*" || !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphabetic());
        let letters = match letters {
            "read" => "rs",
            "write" => "cud",
            "*" => "cruds",
            // The letters stand in this order, each at most once.
            v2 if !v2.is_empty() && is_subsequence(v2, "cruds") => v2,
            _ => return None,
        };
        let has = |letter: char| letters.contains(letter);
        known.then(|| Self {
            kind: kind.into(),
            create: has('c'),
            read: has('r'),
            update: has('u'),
            delete: has('d'),
            search: has('s'),
        })
    }

    fn text(&self) -> String {
        let granted = [
            (self.create, 'c'),
            (self.read, 'r'),
            (self.update, 'u'),
            (self.delete, 'd'),
            (self.search, 's'),
        ];
        let letters = granted.into_iter().filter_map(|(has, letter)| has.then_some(letter));
        format!("system/{}.{}", self.kind, letters.collect::<String>())
    }

    const fn allows(&self, permission: Permission) -> bool {
        match permission {
            Permission::Create => self.create,
            Permission::Read => self.read,
            Permission::Update => self.update,
            Permission::Delete => self.delete,
            Permission::Search => self.search,
        }
    }
}

fn is_subsequence(part: &str, whole: &str) -> bool {
    let mut rest = whole.chars();
    part.chars().all(|letter| rest.any(|other| other == letter))
}

#[cfg(test)]
mod tests {
    use super::Permission::{Create, Delete, Read, Search, Update};
    use super::*;

    #[test]
    fn scopes_say_what_may_be_done() {
        let check = |scopes: &str, kind: &str, allowed: &[Permission]| {
            let scopes = Scopes::read(scopes);
            assert_eq!(scopes.text().as_deref().map(Scopes::read), Some(scopes.clone()));
            for permission in [Create, Read, Update, Delete, Search] {
                let expected = allowed.contains(&permission);
                assert_eq!(scopes.allow(kind, permission), expected, "{kind} {permission:?}");
            }
        };
        check("system/Patient.rs", "Patient", &[Read, Search]);
        check("system/Patient.rs", "Observation", &[]);
        check("system/*.cruds", "Observation", &[Create, Read, Update, Delete, Search]);
        check("system/Patient.read", "Patient", &[Read, Search]);
        check("system/Patient.write", "Patient", &[Create, Update, Delete]);
        check("launch system/Patient.c system/Patient.d", "Patient", &[Create, Delete]);
        check("patient/Patient.rs user/Patient.rs", "Patient", &[]);
        check("system/Patient.sr", "Patient", &[]);
        check("system/Observation.rs?category=laboratory", "Observation", &[]);
        check("system/Patient.rs", "*", &[]);
        check("system/*.s", "*", &[Search]);
        check("", "Patient", &[]);
    }
}
