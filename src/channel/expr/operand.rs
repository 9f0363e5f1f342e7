//! Parses values: paths, names, functions, plain text.

use std::ops::Range;
use std::sync::Arc;

use crate::channel::build::{Build, Fault};
use crate::channel::expr::function::{self, Function, LOOKUP_EXAMPLE};
use crate::channel::expr::lex::{Lexer, Placed, Token, Unclosed, reads_like_path};
use crate::channel::expr::{Lookup, Value};
use crate::channel::fhir_path::{is_relative, looks_like};
use crate::channel::reference::Reference;
use crate::yaml::nearest::nearest;

/// Deepest nesting of brackets and functions.
pub(super) const DEPTH_MAX: usize = 32;

/// Longest expression, in bytes.
pub(super) const SIZE_BYTES_MAX: usize = 8 * 1024;

/// Reads one expression, looking one token ahead.
pub(super) struct Parser<'t, 'b, 'f> {
    pub(super) text: &'t str,
    pub(super) lexer: Lexer<'t>,
    ahead: Option<Option<Placed>>,
    pub(super) build: &'b mut Build<'f>,
    pub(super) depth: usize,
}

/// What a bare word that names nothing means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bare {
    /// Text.
    Text,
    /// A mistake.
    Mistake,
}

impl<'t, 'b, 'f> Parser<'t, 'b, 'f> {
    pub(super) fn new(text: &'t str, build: &'b mut Build<'f>) -> Result<Self, Fault> {
        if text.len() > SIZE_BYTES_MAX {
            let said = format!("the expression is longer than {SIZE_BYTES_MAX} bytes");
            return Err(Fault::new("E0301", 0..text.len(), said));
        }
        Ok(Self { text, lexer: Lexer::new(text), ahead: None, build, depth: 0 })
    }

    pub(super) fn peek(&mut self) -> Result<Option<&Placed>, Fault> {
        if self.ahead.is_none() {
            self.ahead = Some(self.lexer.next().map_err(unclosed)?);
        }
        Ok(self.ahead.as_ref().and_then(Option::as_ref))
    }

    pub(super) fn next(&mut self) -> Result<Option<Placed>, Fault> {
        self.peek()?;
        Ok(self.ahead.take().flatten())
    }

    /// The word that stands next, if it is one.
    pub(super) fn peek_word(&mut self) -> Result<Option<String>, Fault> {
        Ok(match self.peek()? {
            Some((Token::Word(word), _)) => Some(word.clone()),
            _ => None,
        })
    }

    /// Takes the next word when it is this one.
    pub(super) fn eat_word(&mut self, wanted: &str) -> Result<bool, Fault> {
        let found = self.peek_word()?.is_some_and(|word| word == wanted);
        if found {
            self.next()?;
        }
        Ok(found)
    }

    /// The place behind the last character, for what is missing there.
    pub(super) fn end(&self) -> Range<usize> {
        let end = self.text.trim_end().len();
        end..end
    }

    pub(super) fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let said = format!("brackets are nested more than {DEPTH_MAX} deep");
            return Err(Fault::new("E0301", 0..self.text.len(), said));
        }
        Ok(())
    }

    /// One value.
    pub(super) fn value(&mut self, bare: Bare) -> Result<Value, Fault> {
        let Some((token, at)) = self.next()? else {
            return Err(Fault::new("E0301", self.end(), "a value is missing here")
                .hint("a value is a path (PID-5.1), a view (patient.mrn) or a function"));
        };
        match token {
            Token::Quoted(text) => Ok(Value::Text(text.into())),
            Token::Insert(inside) => self.insert(&inside, at.start + 1),
            Token::Word(word) => {
                if matches!(self.peek()?, Some((Token::Open, _))) {
                    return self.call(&word, at);
                }
                self.word(&word, at, bare)
            }
            Token::Open | Token::Close | Token::Comma | Token::Compare(_) | Token::Foreign(_) => {
                Err(Fault::new("E0301", at, "a value is missing here")
                    .hint("a value is a path (PID-5.1), a view (patient.mrn) or a function"))
            }
        }
    }

    fn insert(&mut self, inside: &str, offset: usize) -> Result<Value, Fault> {
        let mut parser = Parser::new(inside, self.build)?;
        parser.whole_value(Bare::Mistake).map_err(|fault| fault.shifted(offset))
    }

    /// One value and nothing behind it.
    pub(super) fn whole_value(&mut self, bare: Bare) -> Result<Value, Fault> {
        let value = self.value(bare)?;
        self.nothing_left()?;
        Ok(value)
    }

    pub(super) fn nothing_left(&mut self) -> Result<(), Fault> {
        match self.next()? {
            None => Ok(()),
            Some((Token::Close, at)) => {
                Err(Fault::new("E0301", at, "this bracket closes nothing").hint("remove it"))
            }
            Some((_, at)) => Err(Fault::new("E0301", at, "this is one word too many")
                .hint("join conditions with `and` or `or`; write text with blanks in quotes")),
        }
    }

    fn word(&mut self, word: &str, at: Range<usize>, bare: Bare) -> Result<Value, Fault> {
        match word {
            "kind" => return Ok(Value::Kind),
            "event" => return Ok(Value::Event),
            "now" => return Ok(Value::Now),
            "channel" => return Ok(Value::Channel),
            _ => {}
        }
        let place = reads_like_path(word)
            || word.starts_with('$')
            || Reference::is_view(word)
            || looks_like(word)
            || (bare == Bare::Mistake && is_relative(word, &self.build.resources));
        if place {
            return Reference::parse(word, at, &self.build.resources).map(Value::At);
        }
        match bare {
            Bare::Text => Ok(Value::Text(word.into())),
            Bare::Mistake => Err(not_a_value(word, at)),
        }
    }

    fn call(&mut self, name: &str, at: Range<usize>) -> Result<Value, Fault> {
        if name == "lookup" {
            return self.lookup(at);
        }
        let Some(signature) = function::signature(name) else {
            return Err(unknown_function(name, at));
        };
        let literal = signature.function == Function::Text;
        let arguments = self.arguments(at.start)?;
        let count = arguments.len();
        let whole = at.start..self.lexer.offset();
        if count < signature.least || count > signature.most {
            let wants = match (signature.least, signature.most) {
                (1, 1) => "one value".to_owned(),
                (least, most) if least == most => format!("{least} values"),
                (least, most) => format!("{least} to {most} values"),
            };
            return Err(Fault::new(
                "E0305",
                whole,
                format!("{name} takes {wants}, here are {count}"),
            )
            .hint(format!("e.g. {}", signature.example)));
        }
        let mut values = Vec::with_capacity(count);
        for (text, place) in arguments {
            let value =
                if literal { Value::Text(unquote(&text)) } else { self.argument(&text, place)? };
            values.push(value);
        }
        if signature.wants_field && !matches!(values.first(), Some(Value::At(Reference::Hl7(_)))) {
            return Err(Fault::new("E0305", whole, format!("{name} takes a field of the message"))
                .hint(format!("e.g. {}", signature.example)));
        }
        Ok(Value::Call(signature.function, values))
    }

    /// The texts between the brackets that stand next, cut at commas of this depth.
    fn arguments(&mut self, start: usize) -> Result<Vec<(String, Range<usize>)>, Fault> {
        self.deeper()?;
        let Some((_, open)) = self.next()? else { return Ok(Vec::new()) };
        let mut parts = Vec::new();
        let mut depth = 0usize;
        let mut from = open.end;
        let mut any = false;
        loop {
            let Some((token, at)) = self.next()? else {
                return Err(Fault::new("E0301", start..open.end, "this bracket is never closed")
                    .hint("add ) at the end"));
            };
            match token {
                Token::Open => depth += 1,
                Token::Close if depth == 0 => {
                    if any || !parts.is_empty() {
                        parts.push(self.part(from, at.start));
                    }
                    self.depth -= 1;
                    return Ok(parts);
                }
                Token::Close => depth -= 1,
                Token::Comma if depth == 0 => {
                    parts.push(self.part(from, at.start));
                    from = at.end;
                    continue;
                }
                _ => {}
            }
            any = true;
        }
    }

    fn part(&self, start: usize, end: usize) -> (String, Range<usize>) {
        let text = self.text.get(start..end).unwrap_or_default();
        let blanks = text.len() - text.trim_start().len();
        let trimmed = text.trim();
        (trimmed.to_owned(), start + blanks..start + blanks + trimmed.len())
    }

    fn argument(&mut self, text: &str, place: Range<usize>) -> Result<Value, Fault> {
        if text.is_empty() {
            return Err(Fault::new("E0301", place, "a value is missing here")
                .hint("write '' for an empty text"));
        }
        let depth = self.depth + 1;
        let mut inner =
            Parser::new(text, self.build).map_err(|fault| fault.shifted(place.start))?;
        inner.depth = depth;
        inner.deeper()?;
        inner.whole_value(Bare::Text).map_err(|fault| fault.shifted(place.start))
    }

    /// `lookup(KEY, TABLE)`, `lookup(KEY TABLE)`, `lookup(KEY, TABLE, COLUMN)`.
    fn lookup(&mut self, at: Range<usize>) -> Result<Value, Fault> {
        let arguments = self.arguments(at.start)?;
        let whole = at.start..self.lexer.offset();
        let written: Arc<str> = self.text.get(whole.clone()).unwrap_or_default().into();
        let mut parts = Vec::new();
        for (text, place) in arguments {
            // Without commas the last word is the table: in `{…}` of YAML a comma would end the value.
            match text.rsplit_once(char::is_whitespace) {
                Some((key, table)) if parts.is_empty() && is_table(table) => {
                    let table_at = place.end - table.len()..place.end;
                    let key = key.trim_end();
                    parts.push((key.to_owned(), place.start..place.start + key.len()));
                    parts.push((table.to_owned(), table_at));
                }
                _ => parts.push((text, place)),
            }
        }
        let mut parts = parts.into_iter();
        let (Some((key, key_at)), Some((path, path_at))) = (parts.next(), parts.next()) else {
            return Err(Fault::new("E0305", whole, "lookup takes a value and a table")
                .hint(format!("e.g. {LOOKUP_EXAMPLE}")));
        };
        let column = parts.next();
        if let Some((_, extra)) = parts.next() {
            return Err(Fault::new("E0305", extra, "lookup takes a value, a table and a column")
                .hint(format!("e.g. {LOOKUP_EXAMPLE}")));
        }
        let key = self.argument(&key, key_at)?;
        let table = self.build.table(&unquote(&path), path_at.clone())?;
        let column = column_of(&table, column, path_at)?;
        Ok(Value::Lookup(Box::new(Lookup { key, table, column, written })))
    }
}

fn column_of(
    table: &crate::channel::table::Table,
    column: Option<(String, Range<usize>)>,
    path_at: Range<usize>,
) -> Result<usize, Fault> {
    let Some((name, at)) = column else {
        if table.columns().len() < 2 {
            let said =
                format!("{} has one column, so there is nothing to translate to", table.path);
            return Err(Fault::new("E0346", path_at, said).hint("add a second column"));
        }
        return Ok(1);
    };
    let name = unquote(&name);
    table.column(&name).ok_or_else(|| {
        let fault = Fault::new("E0346", at, format!("{} has no column {name}", table.path));
        match nearest(&name, table.columns().iter().map(|column| &**column)) {
            Some(near) => fault.hint(format!("did you mean {near}?")).fix(near),
            None => fault.hint(format!("its columns: {}", table.columns().join(", "))),
        }
    })
}

fn is_table(word: &str) -> bool {
    word.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("csv"))
}

fn unquote(text: &str) -> Arc<str> {
    let inside = ['\'', '"']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote).and_then(|inside| inside.strip_suffix(*quote)));
    inside.unwrap_or(text).into()
}

pub(super) fn unclosed(error: Unclosed) -> Fault {
    Fault::new("E0301", error.at, format!("{} is missing", error.wants))
        .hint("close it, or remove the opening one")
}

fn unknown_function(name: &str, at: Range<usize>) -> Fault {
    let fault = Fault::new("E0304", at, format!("there is no function {name}"));
    match nearest(name, function::names()) {
        Some(near) => fault.hint(format!("did you mean {near}?")).fix(near),
        None => {
            let all: Vec<&str> = function::names().collect();
            fault.hint(format!("there are: {}", all.join(", ")))
        }
    }
}

fn not_a_value(word: &str, at: Range<usize>) -> Fault {
    let fault = Fault::new("E0303", at, format!("{word} is neither a path nor a name"));
    if word.len() == 3 && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()) {
        return fault
            .hint(format!("a path names a field, e.g. {word}-1; `any {word}` asks for a segment"));
    }
    let names = Reference::view_names().chain(["kind", "event", "now", "channel"]);
    match nearest(word, names) {
        Some(near) => fault.hint(format!("did you mean {near}?")).fix(near),
        None => fault.hint("write a path (PID-5.1), a view (patient.mrn), or text in quotes"),
    }
}
