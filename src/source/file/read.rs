//! Reads one file into the messages it holds.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::Clock;
use crate::message::kind::ContentType;
use crate::message::payload::Payload;
use crate::message::verdict::{DuplicateRule, IfChanged};
use crate::source::batch::{self, Headers, Read};
use crate::source::file::directory::Found;
use crate::source::file::options::FileSourceOptions;
use crate::source::intake::Received;

/// A file and its messages.
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) messages: Vec<Received>,
}

impl Loaded {
    pub(super) fn bytes(&self) -> usize {
        self.messages.iter().map(|message| message.payload.len()).sum()
    }
}

/// Reads a file.
///
/// # Errors
/// Why it is refused; `None` when it is not there any more or changed just now: look again.
pub(super) async fn load(
    channel: &Arc<str>,
    options: &FileSourceOptions,
    clock: &Clock,
    found: &Found,
) -> Result<Loaded, Option<String>> {
    let limit = u64::try_from(options.file_bytes_max).unwrap_or(u64::MAX);
    if found.size > limit {
        return Err(Some(format!("the file has {} bytes; at most {limit} are read\n", found.size)));
    }
    let bytes = match read(options, found).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(None),
        Err(error) => return Err(Some(format!("the file cannot be read: {error}\n"))),
    };
    if bytes.is_empty() {
        return Err(Some("the file is empty\n".to_owned()));
    }
    let mut whole =
        Received::new(Arc::clone(channel), Payload::new(bytes), clock.now(), found.name.clone());
    whole.content_type = Some(options.content_type);
    whole.attributes.push(("file.name".into(), found.name.as_str().into()));
    let mut messages = divide(whole, options)?;
    for (index, message) in messages.iter_mut().enumerate() {
        let rule = repeat_rule(channel, options, found, index, message.payload.expose());
        message.duplicate = Some(rule);
    }
    Ok(Loaded { name: found.name.clone(), messages })
}

/// The messages of a file; itself when it is one message.
fn divide(whole: Received, options: &FileSourceOptions) -> Result<Vec<Received>, Option<String>> {
    if options.content_type != ContentType::Hl7v2 {
        return Ok(vec![whole]);
    }
    let batch = match batch::read(whole.payload.expose(), Headers::Optional) {
        Read::Batch(batch) => batch,
        Read::One => return Ok(vec![whole]),
        Read::Broken(problem) => return Err(Some(format!("{} {}\n", problem.code, problem.text))),
    };
    match batch::fault(&batch, options.batch_messages_max) {
        Some(fault) => Err(Some(format!("{fault}\n"))),
        None => Ok(batch::received(&batch, &whole, options.batch_messages_max)),
    }
}

/// The file's bytes; `None` when it grew since it was found.
async fn read(options: &FileSourceOptions, found: &Found) -> io::Result<Option<Bytes>> {
    let mut file = File::open(options.directory.join(&found.name)).await?;
    let mut bytes = Vec::with_capacity(usize::try_from(found.size).unwrap_or(0));
    let most = found.size.saturating_add(1);
    (&mut file).take(most).read_to_end(&mut bytes).await?;
    let read = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Ok((read == found.size).then(|| Bytes::from(bytes)))
}

/// Recognises the file after a crash between commit and move. The same name written anew, even with
/// the same content, has another time of change and is another file.
fn repeat_rule(
    channel: &str,
    options: &FileSourceOptions,
    found: &Found,
    index: usize,
    bytes: &[u8],
) -> DuplicateRule {
    let changed = found.changed.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let identity = format!("{channel}\0file\0{}\0{}\0{index}", found.name, changed.as_nanos());
    DuplicateRule {
        identity: xxh3_64(identity.as_bytes()),
        content: xxh3_64(bytes),
        within: options.repeat_within,
        if_changed: IfChanged::Accept,
    }
}
