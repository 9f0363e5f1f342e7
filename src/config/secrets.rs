//! Looks up `secret/NAME`: in the environment, then in the secrets directory. Values are never shown.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::message::secret::Secret;
use crate::yaml::decode;
use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::Node;

/// Longest secret, in bytes.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// What becomes of a secret that cannot be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingSecrets {
    /// An error: the engine would not start.
    #[default]
    Refuse,
    /// A warning: the files are checked away from where they run.
    Warn,
}

/// Where secrets are.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// One file a secret.
    pub directory: PathBuf,
    /// Prefix of environment variables.
    pub env_prefix: String,
    /// What becomes of one that cannot be found.
    pub missing: MissingSecrets,
    environment: BTreeMap<String, String>,
}

impl Secrets {
    /// Secrets of a directory and an environment (usually `std::env::vars()`).
    pub fn new(
        directory: PathBuf,
        env_prefix: &str,
        missing: MissingSecrets,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let environment = environment.into_iter().filter(|(name, _)| name.starts_with(env_prefix));
        let environment = environment.collect();
        Self { directory, env_prefix: env_prefix.to_owned(), missing, environment }
    }

    /// The secret a node names; `None` with a finding when it names none or cannot be found.
    pub(super) fn read(&self, node: &Node, findings: &mut Vec<Finding>) -> Option<Secret> {
        // A text that names no secret was refused by the shape.
        let name = node.text().and_then(|text| decode::secret(text).ok())?;
        let variable = self.variable(name);
        if let Some(value) = self.environment.get(&variable) {
            return Some(Secret::new(value));
        }
        let path = self.directory.join(name);
        let said = match std::fs::metadata(&path) {
            Ok(found) if found.len() > SECRET_BYTES_MAX => {
                format!("the file of secret/{name} has more than {SECRET_BYTES_MAX} bytes")
            }
            Ok(_) => match std::fs::read_to_string(&path) {
                Ok(text) if text.trim_end().is_empty() => {
                    format!("the file of secret/{name} is empty")
                }
                Ok(text) => return Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
                Err(error) => format!("the file of secret/{name} cannot be read: {error}"),
            },
            Err(_) => format!("secret/{name} cannot be found"),
        };
        let mut finding = Finding::error("E0410", node, said);
        finding = match nearest(name, self.names().iter().map(String::as_str)) {
            Some(near) => {
                finding.hint(format!("did you mean secret/{near}?")).fix(format!("secret/{near}"))
            }
            None => finding.hint(format!("write it to {} or set {variable}", path.display())),
        };
        findings.push(match self.missing {
            MissingSecrets::Refuse => finding,
            MissingSecrets::Warn => finding.warning(),
        });
        (self.missing == MissingSecrets::Warn).then(|| Secret::new(""))
    }

    fn variable(&self, name: &str) -> String {
        format!("{}{}", self.env_prefix, name.to_uppercase().replace('-', "_"))
    }

    /// Names of the secrets there are, for hints.
    fn names(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let files = files.filter_map(|entry| entry.file_name().into_string().ok());
        let variables =
            self.environment.keys().filter_map(|name| name.strip_prefix(&self.env_prefix));
        let variables = variables.map(|name| name.to_lowercase().replace('_', "-"));
        files.chain(variables).filter(|name| decode::is_name(name)).collect()
    }
}
