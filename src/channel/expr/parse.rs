//! Parses conditions.

use std::ops::Range;

use regex::RegexBuilder;

use crate::channel::build::{Build, Fault};
use crate::channel::expr::lex::Token;
use crate::channel::expr::operand::{Bare, Parser, unclosed};
use crate::channel::expr::{Condition, Quantifier, Test, Value};
use crate::channel::reference::{self, Reference};
use crate::yaml::nearest::nearest;
use crate::yaml::node::Node;

/// Largest compiled regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

const OPERATORS: &[&str] =
    &["is", "is not", "in", "not in", "contains", "starts with", "ends with", "matches"];

/// Compiles the condition a scalar holds; what is wrong with it is noted.
pub fn condition(node: &Node, build: &mut Build<'_>) -> Option<Condition> {
    let Some(text) = node.text() else {
        build.error_hint(
            "E0301",
            node,
            "a condition is one line of text",
            "e.g. MSH-9.2 is A01 or A04",
        );
        return None;
    };
    let parsed = parse(text, build);
    build.noted(node, parsed)
}

/// Compiles a condition.
///
/// # Errors
/// The first thing in it that cannot be read, with its place.
pub fn parse(text: &str, build: &mut Build<'_>) -> Result<Condition, Fault> {
    let mut parser = Parser::new(text, build)?;
    if parser.peek()?.is_none() {
        return Err(Fault::new("E0301", 0..text.len(), "the condition is empty")
            .hint("e.g. MSH-9.2 is A01 or A04"));
    }
    let condition = parser.or()?;
    parser.nothing_left()?;
    Ok(condition)
}

impl Parser<'_, '_, '_> {
    fn or(&mut self) -> Result<Condition, Fault> {
        self.deeper()?;
        let mut parts = vec![self.and()?];
        while self.eat_word("or")? {
            parts.push(self.and()?);
        }
        self.foreign()?;
        self.depth -= 1;
        Ok(one_or(parts, Condition::Any))
    }

    fn and(&mut self) -> Result<Condition, Fault> {
        let mut parts = vec![self.not()?];
        while self.eat_word("and")? {
            parts.push(self.not()?);
        }
        Ok(one_or(parts, Condition::All))
    }

    fn not(&mut self) -> Result<Condition, Fault> {
        if self.eat_word("not")? {
            self.deeper()?;
            let inner = self.not()?;
            self.depth -= 1;
            return Ok(Condition::Not(Box::new(inner)));
        }
        if let Some((Token::Open, at)) = self.peek()?.cloned() {
            self.next()?;
            let inner = self.or()?;
            return match self.next()? {
                Some((Token::Close, _)) => Ok(inner),
                Some((_, stray)) => Err(stray_word(stray)),
                None => Err(Fault::new("E0301", at, "this bracket is never closed")
                    .hint("add ) at the end")),
            };
        }
        let quantifier = match self.peek_word()?.as_deref() {
            Some("any") => Some(Quantifier::Any),
            Some("every") => Some(Quantifier::Every),
            Some("no") => Some(Quantifier::No),
            _ => None,
        };
        match quantifier {
            Some(quantifier) => {
                self.next()?;
                self.segments(quantifier)
            }
            None => self.test(),
        }
    }

    fn segments(&mut self, quantifier: Quantifier) -> Result<Condition, Fault> {
        let Some((Token::Word(name), at)) = self.next()? else {
            return Err(Fault::new("E0301", self.end(), "the name of a segment is missing")
                .hint("e.g. any OBX has OBX-8 is LL or HH"));
        };
        let segment = reference::segment(&name, at)?;
        let body = if self.eat_word("has")? || self.eat_word("where")? {
            Some(Box::new(self.or()?))
        } else {
            None
        };
        Ok(Condition::Segments { quantifier, segment, body })
    }

    fn test(&mut self) -> Result<Condition, Fault> {
        let left = self.value(Bare::Mistake)?;
        let Some((token, at)) = self.next()? else {
            return Err(Fault::new("E0302", self.end(), "an operator is missing here")
                .hint("e.g. is A01, is empty, contains, in tables/x.csv"));
        };
        match token {
            Token::Word(word) => self.word_test(left, &word, at),
            Token::Compare(comparison) => {
                let right = self.compared()?;
                Ok(Condition::Test(left, Test::Compare(comparison, right)))
            }
            Token::Foreign(sign) => Err(foreign_sign(&sign, at)),
            _ => Err(Fault::new("E0302", at, "an operator is missing here")
                .hint(format!("operators: {}", OPERATORS.join(", ")))),
        }
    }

    fn word_test(&mut self, left: Value, word: &str, at: Range<usize>) -> Result<Condition, Fault> {
        let test = match word {
            "is" => return self.is_test(left),
            "contains" => Test::Contains(self.alternatives()?),
            "starts" | "ends" => {
                if !self.eat_word("with")? {
                    return Err(Fault::new("E0302", at, format!("after {word} stands `with`"))
                        .hint(format!("{word} with"))
                        .fix(format!("{word} with")));
                }
                let values = self.alternatives()?;
                if word == "starts" { Test::StartsWith(values) } else { Test::EndsWith(values) }
            }
            "matches" => self.regex()?,
            "in" => self.table_test()?,
            "not" if self.peek_word()?.as_deref() == Some("in") => {
                self.next()?;
                let test = self.table_test()?;
                return Ok(Condition::Not(Box::new(Condition::Test(left, test))));
            }
            _ => return Err(unknown_operator(word, at)),
        };
        Ok(Condition::Test(left, test))
    }

    fn is_test(&mut self, left: Value) -> Result<Condition, Fault> {
        let negated = self.eat_word("not")?;
        if !negated {
            self.misspelt_not()?;
        }
        let test = if self.eat_word("empty")? {
            Test::Empty
        } else if self.eat_word("null")? {
            Test::Null
        } else if self.eat_word("in")? {
            self.table_test()?
        } else {
            if matches!(left, Value::Kind) {
                self.kind_name()?;
            }
            Test::Is(self.alternatives()?)
        };
        let test = Condition::Test(left, test);
        Ok(if negated { Condition::Not(Box::new(test)) } else { test })
    }

    /// `is nto empty`: two words cannot both be compared with, so the first is `not`.
    fn misspelt_not(&mut self) -> Result<(), Fault> {
        let Some((Token::Word(word), at)) = self.peek()?.cloned() else { return Ok(()) };
        if strsim::damerau_levenshtein(&word, "not") != 1 {
            return Ok(());
        }
        match self.lexer.clone().next().map_err(unclosed)? {
            Some((Token::Word(next), _)) if !matches!(next.as_str(), "and" | "or") => {
                Err(Fault::new("E0302", at, format!("{word} is no operator"))
                    .hint("did you mean `not`?")
                    .fix("not"))
            }
            _ => Ok(()),
        }
    }

    /// Kinds are a closed list: a misspelt one would never hold.
    fn kind_name(&mut self) -> Result<(), Fault> {
        use crate::message::kind::Kind;
        let Some((Token::Word(word), at)) = self.peek()?.cloned() else { return Ok(()) };
        if Kind::from_name(&word).is_some() {
            return Ok(());
        }
        let fault = Fault::new("E0303", at, format!("there is no kind {word}"));
        let names = Kind::ALL.map(Kind::name);
        Err(match nearest(&word, names) {
            Some(near) => fault.hint(format!("did you mean {near}?")).fix(near),
            None => fault.hint(format!("kinds: {}", names.join(", "))),
        })
    }

    /// `A01`, `A01 or A04`: `or` joins values as long as no new test begins behind it.
    fn alternatives(&mut self) -> Result<Vec<Value>, Fault> {
        let mut values = vec![self.literal()?];
        while self.value_follows_or()? {
            self.next()?;
            values.push(self.literal()?);
        }
        Ok(values)
    }

    fn value_follows_or(&mut self) -> Result<bool, Fault> {
        if self.peek_word()?.as_deref() != Some("or") {
            return Ok(false);
        }
        let mut ahead = self.lexer.clone();
        let Some((token, _)) = ahead.next().map_err(unclosed)? else { return Ok(false) };
        match token {
            Token::Quoted(_) | Token::Insert(_) => {}
            Token::Word(word) if matches!(word.as_str(), "not" | "any" | "every" | "no") => {
                return Ok(false);
            }
            Token::Word(_) => {}
            _ => return Ok(false),
        }
        Ok(match ahead.next().map_err(unclosed)? {
            Some((Token::Word(word), _)) => matches!(word.as_str(), "or" | "and"),
            Some((Token::Close, _)) | None => true,
            Some(_) => false,
        })
    }

    /// A value to compare with: a word is text, `<PID-18.1>` is what stands there.
    fn literal(&mut self) -> Result<Value, Fault> {
        let Some((Token::Word(word), at)) = self.peek()?.cloned() else {
            return self.value(Bare::Text);
        };
        if Reference::is_known_path(&word) {
            return Err(Fault::new("E0306", at, format!("{word} would be compared as a text"))
                .hint(format!("write <{word}> for what stands there, '{word}' for the text"))
                .fix(format!("<{word}>")));
        }
        if matches!(word.as_str(), "and" | "or" | "is") {
            return Err(Fault::new("E0301", at, "a value is missing here")
                .hint("write the value in quotes if this word is meant"));
        }
        if nearly_empty(&word) {
            return Err(Fault::new("E0302", at, format!("{word} would be compared as a text"))
                .hint(format!("did you mean empty? Write '{word}' for the text"))
                .fix("empty"));
        }
        self.next()?;
        if matches!(self.peek()?, Some((Token::Open, _))) {
            return Err(Fault::new("E0301", at, "a function cannot stand on this side")
                .hint("put it on the left side"));
        }
        Ok(Value::Text(word.into()))
    }

    /// The right side of `<`: a number, a date, `now`, a path.
    fn compared(&mut self) -> Result<Value, Fault> {
        let place = match self.peek()? {
            Some((_, at)) => at.clone(),
            None => self.end(),
        };
        let value = self.value(Bare::Text)?;
        if let Value::Text(text) = &value
            && !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
        {
            return Err(Fault::new("E0306", place, "only numbers and dates are compared by size")
                .hint("e.g. OBX-5 > 7.0, PID-7 < 20080101"));
        }
        Ok(value)
    }

    fn regex(&mut self) -> Result<Test, Fault> {
        let read = self.lexer.pattern().map_err(unclosed)?;
        let Some((pattern, flags, at)) = read else {
            return Err(Fault::new("E0307", self.end(), "a pattern stands between slashes")
                .hint("e.g. matches /^[0-9]{6}$/"));
        };
        if !matches!(flags.as_str(), "" | "i") {
            return Err(Fault::new("E0307", at, format!("there is no flag {flags}"))
                .hint("/…/i ignores case"));
        }
        RegexBuilder::new(&pattern)
            .case_insensitive(flags == "i")
            .size_limit(REGEX_BYTES_MAX)
            .build()
            .map(Test::Matches)
            .map_err(|error| {
                let said = match error {
                    regex::Error::CompiledTooBig(_) => "the pattern is too large".to_owned(),
                    other => last_line(&other.to_string()),
                };
                Fault::new("E0307", at, format!("the pattern cannot be used: {said}"))
            })
    }

    fn table_test(&mut self) -> Result<Test, Fault> {
        let Some((Token::Word(path) | Token::Quoted(path), at)) = self.next()? else {
            return Err(Fault::new("E0340", self.end(), "the name of a table is missing")
                .hint("e.g. in tables/wards.csv"));
        };
        self.build.table(&path, at).map(Test::In)
    }

    fn foreign(&mut self) -> Result<(), Fault> {
        match self.peek()? {
            Some((Token::Foreign(sign), at)) => Err(foreign_sign(sign, at.clone())),
            Some((Token::Word(_) | Token::Quoted(_), at)) => Err(stray_word(at.clone())),
            _ => Ok(()),
        }
    }
}

fn one_or(mut parts: Vec<Condition>, several: fn(Vec<Condition>) -> Condition) -> Condition {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            several(parts)
        }
        (_, None) => several(parts),
    }
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Codes are hardly ever written so; `emty` is a slip.
fn nearly_empty(word: &str) -> bool {
    let slips = strsim::damerau_levenshtein(word, "empty");
    slips == 1 || (word.starts_with('e') && word.ends_with('y') && slips == 2)
}

fn stray_word(at: Range<usize>) -> Fault {
    Fault::new("E0301", at, "this is one word too many")
        .hint("join conditions with `and` or `or`; write text with blanks in quotes")
}

fn foreign_sign(sign: &str, at: Range<usize>) -> Fault {
    let instead = match sign {
        "=" | "==" => "is",
        "!=" | "<>" | "!" => "is not",
        "&&" | "&" => "and",
        _ => "or",
    };
    Fault::new("E0302", at, format!("{sign} is not used here"))
        .hint(format!("write {instead}"))
        .fix(instead)
}

fn unknown_operator(word: &str, at: Range<usize>) -> Fault {
    let instead = match word.to_lowercase().as_str() {
        "equals" | "equal" | "eq" => Some("is"),
        "isnt" | "isn't" | "ne" => Some("is not"),
        "has" | "includes" | "like" => Some("contains"),
        "exists" => Some("is not empty"),
        "startswith" | "begins" => Some("starts with"),
        "endswith" => Some("ends with"),
        "gt" | "over" | "above" => Some(">"),
        "lt" | "under" | "below" => Some("<"),
        _ => nearest(word, OPERATORS.iter().copied()),
    };
    let fault = Fault::new("E0302", at, format!("{word} is no operator"));
    match instead {
        Some(near) => fault.hint(format!("did you mean `{near}`?")).fix(near),
        None => fault.hint(format!("operators: {}, < <= > >=", OPERATORS.join(", "))),
    }
}
