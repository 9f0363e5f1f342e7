//! Does the steps: each reads the message as the ones before left it, and writes all it writes at once.

use std::borrow::Cow;

use bytes::Bytes;

use crate::channel::expr::eval::Unmapped;
use crate::channel::expr::{Lookup, Value};
use crate::channel::reference::Reference;
use crate::channel::scope::{Message, Miss, Scope, Val};
use crate::channel::step::date::{Pattern, usual};
use crate::channel::step::{Action, Case, Step};
use crate::hl7::edit::texts::{TextEdit, with_texts};
use crate::hl7::edit::{Draft, EditError};
use crate::hl7::path::Path;
use crate::hl7::raw::RawMessage;
use crate::message::verdict::RenderProblem;
use crate::yaml::nearest::nearest;

/// Reads a changed message again.
pub type Reread<'r> = &'r dyn Fn(Bytes) -> Result<RawMessage, RenderProblem>;

/// Does all steps.
///
/// # Errors
/// When a value cannot be written: there is no such segment, or the charset has no such character.
pub fn run(
    steps: &[Step],
    message: Cow<'_, RawMessage>,
    scope: &Scope<'_>,
    reread: Reread<'_>,
) -> Result<RawMessage, RenderProblem> {
    run_in(steps, message, scope, &[], reread).map(Cow::into_owned)
}

/// The segments looked at, from the outermost: name and which of its kind, from 0.
type Frames = [([u8; 3], usize)];

fn run_in<'m>(
    steps: &[Step],
    mut message: Cow<'m, RawMessage>,
    base: &Scope<'_>,
    frames: &Frames,
    reread: Reread<'_>,
) -> Result<Cow<'m, RawMessage>, RenderProblem> {
    for step in steps {
        let scope = entered(base, &message, frames);
        if step.when.as_ref().is_some_and(|when| !when.holds(&scope)) {
            continue;
        }
        match &step.action {
            Action::Each { segment, steps } => {
                // From the last to the first, so that a segment that goes away moves none still to come.
                let chosen: Vec<usize> =
                    scope.each(*segment).iter().filter_map(Scope::occurrence).collect();
                for nth in chosen.into_iter().rev() {
                    let mut inner = frames.to_vec();
                    inner.push((*segment, nth));
                    message = run_in(steps, message, base, &inner, reread)?;
                }
            }
            Action::If { condition, then, otherwise } => {
                let chosen = if condition.holds(&scope) { then } else { otherwise };
                message = run_in(chosen, message, base, frames, reread)?;
            }
            Action::Json(_) => {
                return Err(RenderProblem {
                    cause: "type",
                    text: "a step changes a FHIR resource or JSON; this is an HL7 message"
                        .to_owned(),
                    detail: String::new(),
                });
            }
            action => {
                let changed = apply(&message, edits(action, &scope), reread)?;
                if let Some(changed) = changed {
                    message = Cow::Owned(changed);
                }
            }
        }
    }
    Ok(message)
}

fn entered<'n>(base: &Scope<'n>, message: &'n RawMessage, frames: &Frames) -> Scope<'n> {
    let mut scope = base.of(Message::Hl7(message));
    for (segment, nth) in frames {
        scope = scope.enter(*segment, *nth);
    }
    scope
}

/// One change of one place: in a segment, or wherever the path says.
struct Edit<'e> {
    path: Cow<'e, Path>,
    index: Option<usize>,
    new: New<'e>,
}

impl Edit<'_> {
    fn text(&self) -> Option<TextEdit<'_>> {
        match &self.new {
            New::Text(text) => Some(TextEdit { index: self.index, path: &self.path, text }),
            New::Copy { .. } | New::Null | New::Nothing => None,
        }
    }
}

enum New<'e> {
    Text(Cow<'e, str>),
    /// Bytes with their structure, and the text to write where they do not fit.
    Copy {
        bytes: Vec<u8>,
        first: String,
    },
    Null,
    Nothing,
}

impl<'e> New<'e> {
    fn of(value: Val<'e>) -> Self {
        match value {
            Val::Null => Self::Null,
            Val::Text(text) => Self::Text(text),
            other => Self::Text(other.text().into_owned().into()),
        }
    }
}

/// The message with the edits; `None` when there is none.
fn apply(
    message: &RawMessage,
    mut edits: Vec<Edit<'_>>,
    reread: Reread<'_>,
) -> Result<Option<RawMessage>, RenderProblem> {
    if edits.is_empty() {
        return Ok(None);
    }
    if let Some(changed) = with_texts(message, edits.iter().map(Edit::text)) {
        return Ok(Some(changed));
    }
    let mut draft = Draft::new(message);
    // From the last segment to the first: taking one away moves only those behind it.
    edits.sort_by_key(|edit| std::cmp::Reverse(edit.index));
    for edit in &edits {
        write(&mut draft, edit).map_err(|error| problem(&error))?;
    }
    draft.finish_read().map_or_else(|| reread(draft.finish()), Ok).map(Some)
}

fn write(draft: &mut Draft<'_>, edit: &Edit<'_>) -> Result<(), EditError> {
    let Edit { path, index, new } = edit;
    add_own_segment(draft, path, new)?;
    let text = |draft: &mut Draft<'_>, text: &str| match index {
        Some(index) => draft.set_in(*index, path, text),
        None => draft.set(path, text),
    };
    let raw = |draft: &mut Draft<'_>, raw: &[u8]| match index {
        Some(index) => draft.set_raw_in(*index, path, raw),
        None => draft.set_raw(path, raw),
    };
    match new {
        New::Text(new) => text(draft, new),
        New::Null => raw(draft, b"\"\""),
        New::Copy { bytes, first } => match raw(draft, bytes) {
            // What has a deeper structure than the place can hold is copied as its first text.
            Err(EditError::NotOneValue { .. }) => text(draft, first),
            done => done,
        },
        New::Nothing => match index {
            Some(index) if path.field().is_none() => draft.remove_segment(*index),
            Some(_) => raw(draft, b""),
            None => draft.remove(path),
        },
    }
}

/// A segment of the site's own is added at the end when something is to be written into it.
fn add_own_segment(draft: &mut Draft<'_>, path: &Path, new: &New<'_>) -> Result<(), EditError> {
    let says_something = match new {
        New::Text(text) => !text.is_empty(),
        New::Copy { bytes, .. } => !bytes.is_empty(),
        New::Null => true,
        New::Nothing => false,
    };
    let own = path.adds_own_segment();
    if own && says_something && draft.segments().all(|s| s.id != path.segment_bytes()) {
        draft.append_segment(path.segment_bytes())?;
    }
    Ok(())
}

fn problem(error: &EditError) -> RenderProblem {
    let cause = match error {
        EditError::Write { .. } | EditError::Encode(_) | EditError::Decode(_) => "encode",
        EditError::NoSegment { .. } => "missing",
        _ => "type",
    };
    RenderProblem { cause, text: error.to_string(), detail: String::new() }
}

/// What a step writes, read from the message as it stands.
fn edits<'e>(action: &'e Action, scope: &'e Scope<'e>) -> Vec<Edit<'e>> {
    let mut edits = Vec::new();
    let mut put = |path: &'e Path, new: New<'e>| {
        edits.push(Edit { path: Cow::Borrowed(path), index: scope.segment_index(path), new });
    };
    match action {
        Action::Set(all) => {
            for (path, value) in all {
                put(path, New::of(value.eval(scope)));
            }
        }
        Action::Default(all) => {
            for (path, value) in all.iter().filter(|(path, _)| scope.value(path).is_empty()) {
                put(path, New::of(value.eval(scope)));
            }
        }
        Action::Copy { from, to } => {
            if let Some(new) = copied(from, scope) {
                put(to, new);
            }
        }
        Action::Remove(paths) => {
            for path in paths {
                put(path, New::Nothing);
            }
        }
        Action::Lookup { lookup, to } => {
            let found = look_up(lookup, scope);
            if !found.is_empty() {
                put(to, New::of(found));
            }
        }
        Action::Split { from, at, to } => split(&from.eval(scope).text(), at, to, &mut put),
        Action::Join { from, with, to } => {
            let texts = from.iter().map(|value| value.eval(scope).text().into_owned());
            let texts: Vec<String> = texts.filter(|text| !text.is_empty()).collect();
            put(to, New::Text(texts.join(with).into()));
        }
        Action::Map { at, codes, otherwise } => {
            rewrite(std::slice::from_ref(at), scope, &mut edits, &|text| match codes.get(text) {
                Some(code) => Some(code.to_string()),
                None => unlisted(at, text, otherwise.as_ref(), codes.keys(), scope),
            });
        }
        Action::Date { at, from, to } => {
            rewrite(at, scope, &mut edits, &|text| dated(text, from.as_ref(), to));
        }
        Action::Trim(paths) => rewrite(paths, scope, &mut edits, &|t| Some(t.trim().to_owned())),
        Action::Case(Case::Upper, paths) => {
            rewrite(paths, scope, &mut edits, &|text| Some(text.to_uppercase()));
        }
        Action::Case(Case::Lower, paths) => {
            rewrite(paths, scope, &mut edits, &|text| Some(text.to_lowercase()));
        }
        Action::Each { .. } | Action::If { .. } | Action::Json(_) => {}
    }
    edits
}

fn copied<'e>(from: &'e Value, scope: &'e Scope<'e>) -> Option<New<'e>> {
    if let (Value::At(Reference::Hl7(path)), Message::Hl7(message)) = (from, scope.message) {
        let value = scope.value(path);
        let first = value.text(message.charset()).into_owned();
        return (!value.is_empty()).then(|| New::Copy { bytes: value.raw().to_vec(), first });
    }
    let value = from.eval(scope);
    (!value.is_empty()).then(|| New::of(value))
}

fn look_up<'m>(lookup: &'m Lookup, scope: &Scope<'m>) -> Val<'m> {
    crate::channel::expr::eval::look_up(lookup, scope)
}

fn split<'e>(text: &str, at: &str, to: &'e [Path], put: &mut dyn FnMut(&'e Path, New<'e>)) {
    if text.is_empty() {
        return;
    }
    let mut parts = text.splitn(to.len(), at);
    for path in to {
        put(path, New::Text(parts.next().unwrap_or_default().to_owned().into()));
    }
}

/// Rewrites each text that the paths name; what the change gives nothing for stays.
fn rewrite(
    paths: &[Path],
    scope: &Scope<'_>,
    edits: &mut Vec<Edit<'_>>,
    change: &dyn Fn(&str) -> Option<String>,
) {
    for path in paths {
        for (index, path) in scope.places(path) {
            let value = scope.read_in(index, &path);
            let Val::Text(text) = &value else { continue };
            if let Some(new) = change(text).filter(|new| *new != **text) {
                edits.push(Edit { path: Cow::Owned(path), index, new: New::Text(new.into()) });
            }
        }
    }
}

fn unlisted<'c>(
    at: &Path,
    text: &str,
    otherwise: Option<&Unmapped>,
    codes: impl Iterator<Item = &'c Box<str>>,
    scope: &Scope<'_>,
) -> Option<String> {
    let policy = otherwise.unwrap_or(&scope.notes.unmapped);
    scope.notes.unmapped(policy, || Miss {
        written: format!("map at {at}").into(),
        table: "the list of codes in the channel".into(),
        key: text.to_owned(),
        nearest: nearest(text, codes.map(|code| &**code)).map(str::to_owned),
    });
    match policy {
        Unmapped::Default(instead) => Some(instead.to_string()),
        _ => None,
    }
}

fn dated(text: &str, from: Option<&Pattern>, to: &Pattern) -> Option<String> {
    let date = match from {
        Some(pattern) => pattern.read(text),
        None => usual(text),
    };
    to.write(&date?)
}
