//! Edits a message by splicing: the bytes of a segment are touched only where a value is written, and
//! a segment that nobody writes to leaves as it came, its line end and blank lines included.
//!
//! A [`Draft`] is read while it is written: later reads see earlier writes. `finish` puts it together once.

mod place;
pub mod texts;

use std::borrow::Cow;

use bytes::Bytes;
use thiserror::Error;

use crate::hl7::charset::{Charset, DecodeError, EncodeError};
use crate::hl7::edit::place::New;
use crate::hl7::escape::{self, WriteError};
use crate::hl7::path::{FieldPath, Path, Which, is_segment_id};
use crate::hl7::raw::{RawMessage, SegmentRef};
use crate::hl7::scan::{Span, slice};
use crate::hl7::segment::{self, header_id};
use crate::hl7::separators::Separators;
use crate::hl7::value::Value;

/// Why an edit cannot be made. Paths, never content.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// The path is a whole segment where a field is needed.
    #[error("`{path}` is a whole segment; name a field of it, as in `{path}-1`")]
    WholeSegment {
        /// The path.
        path: String,
    },
    /// There is no such segment.
    #[error("the message has no segment for `{path}`; add the segment first")]
    NoSegment {
        /// The path.
        path: String,
    },
    /// The delimiters of a message cannot be changed by writing to them.
    #[error("`{path}` holds the delimiters of the message and cannot be changed")]
    Delimiters {
        /// The path.
        path: String,
    },
    /// The header cannot be taken away.
    #[error("`{path}` is the header of the message and cannot be removed")]
    Header {
        /// The path.
        path: String,
    },
    /// MSH-2 names no delimiter for this level.
    #[error("MSH-2 of this message has no delimiter that `{path}` needs")]
    NoDelimiter {
        /// The path.
        path: String,
    },
    /// The text cannot be written.
    #[error("`{path}` cannot be written: {error}")]
    Write {
        /// The path.
        path: String,
        /// Why.
        error: WriteError,
    },
    /// Raw bytes would change more than the value at the path.
    #[error("the bytes for `{path}` hold a line end or a delimiter of a higher level")]
    NotOneValue {
        /// The path.
        path: String,
    },
    /// The path lies far beyond anything a message has.
    #[error("`{path}` lies beyond {limit}, the largest number that can be written to")]
    TooFar {
        /// The path.
        path: String,
        /// The largest number.
        limit: usize,
    },
    /// A segment to add has no well-formed id, or holds a line end.
    #[error(
        "a segment to add must start with a segment id and be one line; a header cannot be added"
    )]
    Segment,
    /// The text of the message cannot be read, so it cannot be written in another charset.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The other charset cannot write the text of the message.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// One segment of a draft: as it came, or as it was written.
#[derive(Clone)]
struct Line<'m> {
    bytes: Cow<'m, [u8]>,
    /// What stands between it and the next segment: its line end, blank lines.
    end: Cow<'m, [u8]>,
    separators: Separators,
}

/// Segments that a draft has room for at once besides those that came: a site adds one or two.
const ADDED: usize = 2;

/// A message being edited.
#[derive(Clone)]
pub struct Draft<'m> {
    message: &'m RawMessage,
    /// What stands before the header.
    before: &'m [u8],
    lines: Vec<Line<'m>>,
    charset: Charset,
    /// Whether segments were added before others, removed or written in another charset.
    is_reshaped: bool,
    /// Segments that were added at the end.
    added: usize,
}

impl std::fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({} segments)", self.lines.len())
    }
}

impl<'m> Draft<'m> {
    /// A draft that is still equal to `message`. Costs one entry per segment, no copy of bytes.
    #[must_use]
    pub fn new(message: &'m RawMessage) -> Self {
        let bytes: &'m [u8] = message.bytes();
        let between = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
        let spans = message.spans();
        let first = spans.first().map_or(bytes.len(), |span| span.start);
        let next_starts = spans.iter().skip(1).map(|span| span.start).chain(Some(bytes.len()));
        let came = spans.iter().zip(next_starts).enumerate().map(|(index, (span, next))| {
            let line = slice(bytes, *span);
            Line {
                bytes: Cow::Borrowed(line),
                end: Cow::Borrowed(between(span.end, next)),
                separators: message.separators_at(index, line),
            }
        });
        let mut lines = Vec::with_capacity(spans.len().saturating_add(ADDED));
        lines.extend(came);
        Self {
            message,
            before: between(0, first),
            lines,
            charset: message.charset(),
            is_reshaped: false,
            added: 0,
        }
    }

    /// The charset that texts are written in.
    #[must_use]
    pub const fn charset(&self) -> Charset {
        self.charset
    }

    /// The delimiters of the first header.
    #[must_use]
    pub fn separators(&self) -> Separators {
        self.lines.first().map_or(Separators::STANDARD, |line| line.separators)
    }

    /// Its segments as they stand now.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = SegmentRef<'_>> {
        self.lines.iter().enumerate().map(|(index, line)| line.segment(index))
    }

    /// The segment with this index, from 0.
    #[must_use]
    pub fn segment(&self, index: usize) -> Option<SegmentRef<'_>> {
        self.lines.get(index).map(|line| line.segment(index))
    }

    /// What stands at `path` now; of several, the first.
    #[must_use]
    pub fn get(&self, path: &Path) -> Value<'_> {
        segment::get(self.segments(), path)
    }

    /// All values that `path` names now.
    #[must_use]
    pub fn all(&self, path: &Path) -> Vec<Value<'_>> {
        segment::all(self.segments(), path)
    }

    /// What stands at `path` inside one segment, whatever segment the path names.
    #[must_use]
    pub fn get_in(&self, segment_index: usize, path: &Path) -> Value<'_> {
        self.segment(segment_index).map_or(Value::Absent, |segment| segment.get(path))
    }

    /// Writes a text: escapes it and writes it in the message's charset. What has no `[*]` is made when it
    /// is missing, except the segment. A value whose text is already this keeps its bytes; "" empties it.
    ///
    /// # Errors
    /// See [`EditError`].
    pub fn set(&mut self, path: &Path, text: &str) -> Result<(), EditError> {
        if *path.occurrence() == Which::Unsaid {
            let first = segment::chosen(self.segments(), path).next().map(|first| first.index);
            let no_segment = || EditError::NoSegment { path: path.to_string() };
            return self.set_in(first.ok_or_else(no_segment)?, path, text);
        }
        for index in self.indices(path)? {
            self.set_in(index, path, text)?;
        }
        Ok(())
    }

    /// [`Self::set`] inside one segment, whatever segment the path names.
    ///
    /// # Errors
    /// See [`EditError`].
    pub fn set_in(&mut self, index: usize, path: &Path, text: &str) -> Result<(), EditError> {
        let (separators, charset) = (self.separators_of(index), self.charset);
        let write = |error| EditError::Write { path: path.to_string(), error };
        let raw = escape::encode(text, &separators, charset).map_err(write)?;
        let stays = |now: &[u8]| stays(now, text, &raw, &separators, charset);
        self.write(index, path, &New { raw: &raw, stays: &stays })
    }

    /// Writes bytes as they are: delimiters below the path's own level, escapes, `""`.
    ///
    /// # Errors
    /// When they would change more than the value at `path`, and as [`Self::set`].
    pub fn set_raw(&mut self, path: &Path, raw: &[u8]) -> Result<(), EditError> {
        for index in self.indices(path)? {
            self.set_raw_in(index, path, raw)?;
        }
        Ok(())
    }

    /// [`Self::set_raw`] inside one segment, whatever segment the path names.
    ///
    /// # Errors
    /// As [`Self::set_raw`].
    pub fn set_raw_in(&mut self, index: usize, path: &Path, raw: &[u8]) -> Result<(), EditError> {
        let field = field_of(path)?;
        if !place::is_one_value(raw, field, &self.separators_of(index)) {
            return Err(EditError::NotOneValue { path: path.to_string() });
        }
        self.write(index, path, &New { raw, stays: &|_| false })
    }

    /// Writes `""`: the receiver is to delete what it holds.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_null(&mut self, path: &Path) -> Result<(), EditError> {
        self.set_raw(path, b"\"\"")
    }

    /// Writes what stands at `from` to `to`, with everything below it, undecoded. Nothing at `from` empties
    /// `to`.
    ///
    /// # Errors
    /// When `from` has parts that `to` has no room for, and as [`Self::set`].
    pub fn copy(&mut self, from: &Path, to: &Path) -> Result<(), EditError> {
        let raw = self.get(from).raw().to_vec();
        self.set_raw(to, &raw)
    }

    /// Takes away what `path` names: a segment with its line, a repetition with its separator, the content
    /// of a field or a component (positions behind it do not move). What is not there is no error.
    ///
    /// # Errors
    /// When it is the header or its delimiters.
    pub fn remove(&mut self, path: &Path) -> Result<(), EditError> {
        let chosen: Vec<_> = segment::chosen(self.segments(), path).map(|s| s.index).collect();
        let Some(field) = path.field() else {
            return self.remove_segments(path, &chosen);
        };
        for index in chosen {
            self.refuse_delimiters(index, path, field)?;
            if let Some(line) = self.lines.get_mut(index) {
                line.bytes = place::remove(&line.segment(index), field).into();
            }
        }
        Ok(())
    }

    /// Takes away one segment.
    ///
    /// # Errors
    /// When it is the header.
    pub fn remove_segment(&mut self, index: usize) -> Result<(), EditError> {
        match self.segment(index) {
            None => Ok(()),
            Some(segment) if segment.is_header() => {
                Err(EditError::Header { path: segment.name().to_owned() })
            }
            Some(_) => {
                self.is_reshaped = true;
                self.lines.remove(index);
                Ok(())
            }
        }
    }

    /// Adds a segment at the end: an id, or a whole segment in this message's delimiters. Its index.
    ///
    /// # Errors
    /// When it is no segment, or a header.
    pub fn append_segment(&mut self, segment: &[u8]) -> Result<usize, EditError> {
        self.insert_segment(self.lines.len(), segment)
    }

    /// Adds a segment so that it has this index; behind the last one when the index lies further. Its
    /// index: never 0, where the header stands.
    ///
    /// # Errors
    /// When it is no segment, or a header.
    pub fn insert_segment(&mut self, index: usize, segment: &[u8]) -> Result<usize, EditError> {
        let index = index.clamp(1, self.lines.len().max(1));
        let separators = self.separators_of(index.saturating_sub(1));
        let is_line = !segment.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
        let id = SegmentRef::new(index, 0, segment, separators).id;
        if !is_line || !is_segment_id(id) || header_id(segment).is_some() {
            return Err(EditError::Segment);
        }
        let end = self.line_end();
        let is_last = index == self.lines.len();
        let last = index.checked_sub(1).and_then(|before| self.lines.get_mut(before));
        let follows_a_line = is_last && last.as_ref().is_some_and(|last| last.end == end);
        // A last segment without an end gets one before something follows it.
        if let Some(last) = last.filter(|last| last.end.is_empty()) {
            last.end = end.clone();
        }
        let bytes = Cow::Owned(segment.to_vec());
        if follows_a_line {
            self.added = self.added.saturating_add(1);
        } else {
            self.is_reshaped = true;
        }
        self.lines.insert(index, Line { bytes, end, separators });
        Ok(index)
    }

    /// Writes the whole message in another charset and says so in MSH-18. Bytes in `\X..\` stay as they are.
    ///
    /// # Errors
    /// When the text cannot be read in its charset or written in the other one; the draft is then unchanged.
    pub fn transcode(&mut self, charset: Charset) -> Result<(), EditError> {
        if charset != self.charset {
            let mut lines = self.lines.clone();
            for line in &mut lines {
                let text = self.charset.decode(&line.bytes)?;
                line.bytes = Cow::Owned(charset.encode(&text)?.into_owned());
                line.separators.width = charset.width();
            }
            self.lines = lines;
            self.charset = charset;
            self.is_reshaped = true;
        }
        let msh18 = Path::of_field("MSH", 18);
        msh18.map_or(Ok(()), |path| self.set(&path, charset.msh18()))
    }

    /// The message as it stands now.
    #[must_use]
    pub fn finish(&self) -> Bytes {
        let size = |line: &Line<'_>| line.bytes.len().saturating_add(line.end.len());
        let sizes = self.lines.iter().map(size).fold(self.before.len(), usize::saturating_add);
        let mut out = Vec::with_capacity(sizes);
        out.extend_from_slice(self.before);
        for line in &self.lines {
            out.extend_from_slice(&line.bytes);
            out.extend_from_slice(&line.end);
        }
        out.into()
    }

    /// The message as it stands now, read: only what was written is looked at again. `None` when it must be
    /// read as a whole, because it might be read otherwise than it was before.
    #[must_use]
    pub fn finish_read(&self) -> Option<RawMessage> {
        if self.is_reshaped || !self.message.is_uniform() {
            return None;
        }
        let old = self.message.bytes();
        let added = self.added.saturating_mul(64);
        let mut out = Vec::with_capacity(old.len().saturating_add(64).saturating_add(added));
        let mut spans = Vec::with_capacity(self.lines.len());
        let mut copied = 0;
        for (line, span) in self.lines.iter().zip(self.message.spans()) {
            let untouched = old.get(copied..span.start)?;
            if let Cow::Owned(written) = &line.bytes {
                if !reads_the_same(slice(old, *span), written, line.separators) {
                    return None;
                }
                out.extend_from_slice(untouched);
                spans.push(Span { start: out.len(), end: out.len().saturating_add(written.len()) });
                out.extend_from_slice(written);
                copied = span.end;
            } else {
                let start = out.len().saturating_add(untouched.len());
                let size = span.end.saturating_sub(span.start);
                spans.push(Span { start, end: start.saturating_add(size) });
            }
        }
        out.extend_from_slice(old.get(copied..)?);
        for line in self.lines.get(self.message.spans().len()..)? {
            if memchr::memchr2(b'\r', b'\n', &line.bytes).is_some() {
                return None;
            }
            let start = out.len();
            out.extend_from_slice(&line.bytes);
            spans.push(Span { start, end: out.len() });
            out.extend_from_slice(&line.end);
        }
        Some(self.message.moved(out.into(), spans))
    }

    fn write(&mut self, index: usize, path: &Path, new: &New<'_>) -> Result<(), EditError> {
        let field = field_of(path)?;
        self.refuse_delimiters(index, path, field)?;
        let no_segment = || EditError::NoSegment { path: path.to_string() };
        let charset = self.charset;
        let line = self.lines.get_mut(index).ok_or_else(no_segment)?;
        let segment = SegmentRef::new(index, 0, &line.bytes, line.separators);
        let written = place::write(&segment, path, field, charset, new)?;
        if let Some(bytes) = written {
            line.bytes = bytes.into();
        }
        Ok(())
    }

    fn indices(&self, path: &Path) -> Result<Vec<usize>, EditError> {
        let indices: Vec<_> = segment::chosen(self.segments(), path).map(|s| s.index).collect();
        if indices.is_empty() && path.occurrence() != &Which::All {
            return Err(EditError::NoSegment { path: path.to_string() });
        }
        Ok(indices)
    }

    fn remove_segments(&mut self, path: &Path, indices: &[usize]) -> Result<(), EditError> {
        if header_id(path.segment_bytes()).is_some() {
            return Err(EditError::Header { path: path.to_string() });
        }
        self.is_reshaped |= !indices.is_empty();
        for index in indices.iter().rev() {
            self.lines.remove(*index);
        }
        Ok(())
    }

    fn refuse_delimiters(
        &self,
        index: usize,
        path: &Path,
        field: &FieldPath,
    ) -> Result<(), EditError> {
        let is_header = self.segment(index).is_some_and(|segment| segment.is_header());
        if is_header && field.number.get() <= 2 {
            return Err(EditError::Delimiters { path: path.to_string() });
        }
        Ok(())
    }

    fn separators_of(&self, index: usize) -> Separators {
        self.lines.get(index).map_or_else(|| self.separators(), |line| line.separators)
    }

    /// How this message ends its lines.
    fn line_end(&self) -> Cow<'m, [u8]> {
        Cow::Borrowed(line_end(self.lines.first().map(|line| &*line.end).unwrap_or_default()))
    }
}

impl Line<'_> {
    fn segment(&self, index: usize) -> SegmentRef<'_> {
        SegmentRef::new(index, 0, &self.bytes, self.separators)
    }
}

/// Whether a segment that was written to is still one segment of the same name, and a header still says the
/// same of the charset.
fn reads_the_same(before: &[u8], now: &[u8], separators: Separators) -> bool {
    let (old, new) =
        (SegmentRef::new(0, 0, before, separators), SegmentRef::new(0, 0, now, separators));
    let is_line = memchr::memchr2(b'\r', b'\n', now).is_none();
    let header = !old.is_header()
        || old.field_bytes(18) == new.field_bytes(18) && memchr::memchr2(0xE2, 0xC2, now).is_none();
    is_line && !old.id.is_empty() && old.id == new.id && header
}

/// How a message ends its lines, by what stands behind the first.
const fn line_end(behind_first: &[u8]) -> &'static [u8] {
    match behind_first {
        [b'\r', b'\n', ..] => b"\r\n",
        [b'\n', ..] => b"\n",
        _ => b"\r",
    }
}

/// Whether what stands there already is this text, which would be written as `raw`.
fn stays(now: &[u8], text: &str, raw: &[u8], separators: &Separators, charset: Charset) -> bool {
    // Text without delimiters, escapes and characters of several bytes is written as it reads.
    if is_plain(now, separators) {
        return now == raw;
    }
    let value = Value::of(now, *separators);
    let is_leaf = value.leaf().len() == now.len();
    is_leaf && value.try_text(charset).is_ok_and(|now| now == text)
}

/// Whether these bytes are printable ASCII and none of the delimiters.
fn is_plain(bytes: &[u8], separators: &Separators) -> bool {
    let Separators { field, component, repetition, escape, subcomponent, truncation, .. } =
        *separators;
    let delimiters = [Some(field), component, repetition, escape, subcomponent, truncation];
    bytes.iter().all(|byte| matches!(byte, b' '..=b'~') && !delimiters.contains(&Some(*byte)))
}

fn field_of(path: &Path) -> Result<&FieldPath, EditError> {
    path.field().ok_or_else(|| EditError::WholeSegment { path: path.to_string() })
}

#[cfg(test)]
mod tests;
