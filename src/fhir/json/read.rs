//! Strict reading of JSON (RFC 8259): what two readers could understand differently is refused.
//!
//! UTF-8 only, each member once, bounded depth and size; an error says where, never what. The walk is
//! one pass over the bytes, and its recursion is bounded by the depth limit.

use serde_json::{Map, Number, Value};
use thiserror::Error;

/// How much is read at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes.
    pub size_bytes_max: usize,
    /// Objects and arrays inside each other. Values above 120 count as 120: other readers stop there.
    pub depth_max: usize,
    /// Members and items in all: what memory a small text can claim.
    pub values_max: usize,
}

impl Limits {
    /// None but the depth that the reader itself can bear: for what the engine took already.
    pub const NONE: Self =
        Self { size_bytes_max: usize::MAX, depth_max: 120, values_max: usize::MAX };
}

impl Default for Limits {
    fn default() -> Self {
        Self { size_bytes_max: 32 << 20, depth_max: 100, values_max: 2_000_000 }
    }
}

/// Why bytes are no JSON text that can be taken. Positions and names of members, never values.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{fault} at line {line}, column {column}")]
pub struct ReadError {
    /// What is wrong.
    pub fault: Fault,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in bytes.
    pub column: usize,
    /// Where in the resource, as FHIRPath: `Patient.name[0].given[1]`; without a type if none was read yet.
    pub path: String,
}

/// What is wrong with a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// Nothing but white space.
    #[error("there is no JSON text")]
    Empty,
    /// Too many bytes.
    #[error("the text is larger than the limit")]
    TooLarge,
    /// Nested too deep.
    #[error("objects and arrays are nested deeper than the limit")]
    TooDeep,
    /// Too many members and items.
    #[error("there are more members and items than the limit")]
    TooMany,
    /// Bytes that are no UTF-8.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// The same member name twice in one object.
    #[error("a member's name is given twice in one object")]
    Duplicate,
    /// A name that the engine's JSON library takes for itself.
    #[error("a member has a reserved name")]
    Reserved,
    /// The text ends too early.
    #[error("the text ends before the value does")]
    Ends,
    /// Something stands where a value should.
    #[error("a value is expected")]
    NoValue,
    /// Something stands where a member's name should.
    #[error("a member's name in double quotes is expected")]
    NoName,
    /// No `:` after a name.
    #[error("a colon is expected")]
    NoColon,
    /// No `,` or closing bracket.
    #[error("a comma or the closing bracket is expected")]
    NoComma,
    /// A number in a form JSON does not have.
    #[error("a number has no form that JSON allows")]
    Number,
    /// A raw control character inside a string.
    #[error("a control character stands unescaped in a string")]
    Control,
    /// A backslash with something unknown after it, or half a surrogate pair.
    #[error("an escape in a string is not valid")]
    Escape,
    /// More text after the value.
    #[error("there is more text after the value")]
    Trailing,
}

/// Reads what was taken before: a stored resource, the bytes of a message. `None` when it is no JSON text.
#[must_use]
pub fn stored(bytes: &[u8]) -> Option<Value> {
    read(bytes, &Limits::NONE).ok()
}

/// Reads one JSON text. A byte order mark at its start is left out.
///
/// # Errors
/// Where and why it cannot be read.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Value, ReadError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut reader = Reader {
        text: "",
        at: 0,
        depth_left: limits.depth_max.min(120),
        values_left: limits.values_max,
        steps: Vec::new(),
        kind: None,
    };
    let whole = if bytes.len() > limits.size_bytes_max {
        Err(Fault::TooLarge)
    } else {
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                reader.text = text;
                reader.whole()
            }
            Err(error) => {
                reader.at = error.valid_up_to();
                Err(Fault::NotUtf8)
            }
        }
    };
    whole.map_err(|fault| reader.error(bytes, fault))
}

/// One step of the way to the value being read.
enum Step {
    Member(String),
    Item(usize),
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth_left: usize,
    values_left: usize,
    steps: Vec<Step>,
    /// The outermost `resourceType`, once it was read.
    kind: Option<String>,
}

impl<'t> Reader<'t> {
    fn whole(&mut self) -> Result<Value, Fault> {
        self.space();
        if self.at == self.text.len() {
            return Err(Fault::Empty);
        }
        let value = self.value()?;
        self.space();
        if self.at == self.text.len() { Ok(value) } else { Err(Fault::Trailing) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Value, Fault> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Fault::TooMany)?;
        match self.peek() {
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => Err(Fault::NoValue),
            None => Err(Fault::Ends),
        }
    }

    fn nested(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<Value, Fault>,
    ) -> Result<Value, Fault> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or(Fault::TooDeep)?;
        self.at += 1;
        self.space();
        let value = inside(self)?;
        self.depth_left += 1;
        Ok(value)
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Fault> {
        if !self.rest().starts_with(word) {
            return Err(Fault::NoValue);
        }
        self.at += word.len();
        Ok(value)
    }

    fn object(&mut self) -> Result<Value, Fault> {
        let mut members = Map::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        loop {
            match self.peek() {
                Some(b'"') => {}
                Some(_) => return Err(Fault::NoName),
                None => return Err(Fault::Ends),
            }
            let start = self.at;
            let name = self.string()?;
            // serde_json keeps a number's text and raw values in objects with names of this kind.
            if name.starts_with("$serde_json::private::") {
                return Err(Fault::Reserved);
            }
            self.steps.push(Step::Member(name.clone()));
            if members.contains_key(&name) {
                self.at = start;
                return Err(Fault::Duplicate);
            }
            self.space();
            match self.peek() {
                Some(b':') => self.at += 1,
                Some(_) => return Err(Fault::NoColon),
                None => return Err(Fault::Ends),
            }
            self.space();
            let value = self.value()?;
            if self.steps.len() == 1 && name == "resourceType" {
                self.kind = value.as_str().map(str::to_owned);
            }
            self.steps.pop();
            members.insert(name, value);
            if self.closes(b'}')? {
                return Ok(Value::Object(members));
            }
        }
    }

    fn array(&mut self) -> Result<Value, Fault> {
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            self.steps.push(Step::Item(items.len()));
            items.push(self.value()?);
            self.steps.pop();
            if self.closes(b']')? {
                return Ok(Value::Array(items));
            }
        }
    }

    /// After a member or item: whether the bracket closes, else a comma was passed.
    fn closes(&mut self, bracket: u8) -> Result<bool, Fault> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(false)
            }
            Some(byte) if byte == bracket => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => Err(Fault::NoComma),
            None => Err(Fault::Ends),
        }
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        while let Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        if !is_number(text) {
            self.at = start;
            return Err(Fault::Number);
        }
        // Parsed by the library, `1E5` would become `1e5`.
        Ok(Value::Number(Number::from_string_unchecked(text.to_owned())))
    }

    fn string(&mut self) -> Result<String, Fault> {
        self.at += 1;
        let start = self.at;
        let mut plain = start;
        let mut text = String::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    text.push_str(self.text.get(plain..self.at).unwrap_or_default());
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    text.push_str(self.text.get(plain..self.at).unwrap_or_default());
                    text.push(self.escape()?);
                    plain = self.at;
                }
                Some(0..=0x1F) => return Err(Fault::Control),
                Some(_) => self.at += 1,
                None => return Err(Fault::Ends),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let start = self.at;
        self.at += 1;
        let Some(byte) = self.peek() else { return Err(Fault::Ends) };
        self.at += 1;
        let found = match byte {
            b'"' | b'\\' | b'/' => Some(char::from(byte)),
            b'b' => Some('\u{8}'),
            b'f' => Some('\u{C}'),
            b'n' => Some('\n'),
            b'r' => Some('\r'),
            b't' => Some('\t'),
            b'u' => self.unicode(),
            _ => None,
        };
        found.ok_or_else(|| {
            self.at = start;
            Fault::Escape
        })
    }

    /// The four digits after `\u`, and those of the second half of a pair.
    fn unicode(&mut self) -> Option<char> {
        let first = self.hex()?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first);
        }
        self.at += self.rest().starts_with("\\u").then_some(2)?;
        let second = self.hex().filter(|second| (0xDC00..0xE000).contains(second))?;
        char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn error(&self, bytes: &[u8], fault: Fault) -> ReadError {
        let before = bytes.get(..self.at).unwrap_or(bytes);
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        let mut path = self.kind.clone().filter(|kind| is_name(kind)).unwrap_or_default();
        for step in &self.steps {
            match step {
                Step::Item(at) => path.push_str(&format!("[{at}]")),
                Step::Member(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    // A name of any other form could be content that came to the wrong place.
                    path.push_str(if is_name(name) { name } else { "?" });
                }
            }
        }
        ReadError {
            fault,
            line: memchr::memchr_iter(b'\n', before).count() + 1,
            column: self.at.saturating_sub(line_start) + 1,
            path,
        }
    }
}

/// Whether the text has JSON's form of a number (RFC 8259 §6).
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && digits(exponent)
        && (whole == "0" || !whole.starts_with('0'))
}

/// Whether this looks like the name of a member or of a type.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}
