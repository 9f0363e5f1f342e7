//! From words to an expression tree, by precedence (FHIRPath §6, "Operator Precedence").

use regex::{Regex, RegexBuilder};
use serde_json::{Value, json};

use super::function::Function;
use super::lex::{self, Placed, Token};
use super::{PathError, PathFault};
use crate::fhir::definitions::{self, TypeId};

/// An expression.
#[derive(Debug, Clone)]
pub(super) enum Expr {
    /// `{}`.
    Nothing,
    /// A literal, with its type where JSON does not say it (`@2020` is a date).
    Literal(Value, Option<&'static str>),
    /// `$this`, `%resource`, …
    Variable(Variable),
    /// The thing the expression is evaluated on, then steps.
    Steps(Option<Box<Self>>, Vec<Step>),
    /// `a op b`.
    Binary(Operator, Box<Self>, Box<Self>),
    /// `a is T`.
    Is(Box<Self>, TypeId),
    /// `a as T`.
    As(Box<Self>, TypeId),
    /// `-a`.
    Negative(Box<Self>),
}

/// One step of a path.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A member, by its name and the name of its `_` sibling. The type it may name at the start.
    Member { name: Box<str>, extra: Box<str>, kind: Option<TypeId> },
    /// `[0]`.
    Index(Expr),
    /// A function.
    Call(Function, Vec<Expr>),
    /// `ofType(T)`, `as(T)`.
    OfType(TypeId),
    /// `is(T)`.
    IsType(TypeId),
    /// `matches('…')`.
    Matches(Regex),
}

#[derive(Debug, Clone)]
pub(super) enum Variable {
    This,
    Index,
    Resource,
    Root,
    Context,
    Text(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Union,
    Equal,
    NotEqual,
    Alike,
    NotAlike,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Contains,
    And,
    Or,
    Xor,
    Implies,
    Plus,
    Minus,
    Join,
}

/// Nesting and words at most: what a person writes has a tenth of it.
const DEPTH_MAX: usize = 60;
const WORDS_MAX: usize = 1000;

pub(super) fn parse(text: &str) -> Result<Expr, PathError> {
    let tokens = lex::tokens(text)?;
    if tokens.len() > WORDS_MAX {
        return Err(lex::error(text, text.len(), PathFault::TooDeep));
    }
    let mut parser = Parser { text, tokens, at: 0, depth: 0 };
    let found = parser.expression(0)?;
    if parser.at < parser.tokens.len() {
        return Err(parser.expected("an operator or the end"));
    }
    Ok(found)
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    fn error(&self, fault: PathFault) -> PathError {
        let at = self.tokens.get(self.at).map_or(self.text.len(), |(at, _)| *at);
        lex::error(self.text, at, fault)
    }

    fn expected(&self, expected: &'static str) -> PathError {
        let found = match self.peek() {
            None => "the end".into(),
            Some(Token::Sign(sign)) => format!("`{sign}`").into(),
            Some(Token::Name(name) | Token::Quoted(name)) => format!("`{name}`").into(),
            Some(Token::Text(_)) => "a string".into(),
            Some(Token::Number(_)) => "a number".into(),
            Some(Token::Moment(_)) => "a date".into(),
            Some(Token::Variable(name)) => format!("`%{name}`").into(),
            Some(Token::Special(name)) => format!("`${name}`").into(),
        };
        self.error(PathFault::Expected { expected, found })
    }

    fn takes(&mut self, sign: &str) -> bool {
        let fits = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        if fits {
            self.at += 1;
        }
        fits
    }

    fn must(&mut self, sign: &str, expected: &'static str) -> Result<(), PathError> {
        if self.takes(sign) { Ok(()) } else { Err(self.expected(expected)) }
    }

    /// Operators that bind at least as tight as `level`, left to right.
    fn expression(&mut self, level: u8) -> Result<Expr, PathError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(PathFault::TooDeep));
        }
        let mut left = self.unary()?;
        while let Some((word, bind)) = self.operator() {
            if bind < level {
                break;
            }
            if word == "is" || word == "as" {
                self.at += 1;
                let kind = self.type_name()?;
                left = if word == "is" {
                    Expr::Is(Box::new(left), kind)
                } else {
                    Expr::As(Box::new(left), kind)
                };
                continue;
            }
            let Some(operator) = operator(word) else {
                return Err(self.error(PathFault::Operator(word.into())));
            };
            self.at += 1;
            let right = self.expression(bind + 1)?;
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    /// The operator that stands here and how tight it binds.
    fn operator(&self) -> Option<(&'static str, u8)> {
        const LEVELS: &[(&str, u8)] = &[
            ("implies", 0),
            ("or", 1),
            ("xor", 1),
            ("and", 2),
            ("in", 3),
            ("contains", 3),
            ("=", 4),
            ("~", 4),
            ("!=", 4),
            ("!~", 4),
            ("<", 5),
            ("<=", 5),
            (">", 5),
            (">=", 5),
            ("|", 6),
            ("is", 7),
            ("as", 7),
            ("+", 8),
            ("-", 8),
            ("&", 8),
            ("*", 9),
            ("/", 9),
            ("div", 9),
            ("mod", 9),
        ];
        let word = match self.peek()? {
            Token::Sign(sign) => sign,
            Token::Name(name) => &**name,
            _ => return None,
        };
        LEVELS.iter().find(|(known, _)| *known == word).copied()
    }

    fn unary(&mut self) -> Result<Expr, PathError> {
        if self.takes("-") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(self.error(PathFault::TooDeep));
            }
            let inner = self.unary()?;
            self.depth -= 1;
            return Ok(Expr::Negative(Box::new(inner)));
        }
        if self.takes("+") {
            return self.steps();
        }
        self.steps()
    }

    fn steps(&mut self) -> Result<Expr, PathError> {
        let mut steps = Vec::new();
        let head = match self.peek() {
            Some(Token::Name(name)) if !matches!(&**name, "true" | "false") => {
                steps.push(self.invocation(true)?);
                None
            }
            Some(Token::Quoted(_)) => {
                steps.push(self.invocation(true)?);
                None
            }
            _ => Some(Box::new(self.primary()?)),
        };
        loop {
            if self.takes(".") {
                steps.push(self.invocation(false)?);
            } else if self.takes("[") {
                let index = self.expression(0)?;
                self.must("]", "`]`")?;
                steps.push(Step::Index(index));
            } else if steps.is_empty()
                && let Some(head) = head
            {
                return Ok(*head);
            } else {
                return Ok(Expr::Steps(head, steps));
            }
        }
    }

    fn primary(&mut self) -> Result<Expr, PathError> {
        let start = self.at;
        let found = match self.next() {
            Some(Token::Sign("(")) => {
                let inner = self.expression(0)?;
                self.must(")", "`)`")?;
                inner
            }
            Some(Token::Sign("{")) => {
                self.must("}", "`}`")?;
                Expr::Nothing
            }
            Some(Token::Name(name)) if &*name == "true" => Expr::Literal(Value::Bool(true), None),
            Some(Token::Name(name)) if &*name == "false" => Expr::Literal(Value::Bool(false), None),
            Some(Token::Text(text)) => Expr::Literal(Value::from(&*text), None),
            Some(Token::Number(text)) => self.number(&text)?,
            Some(Token::Moment(text)) => moment(&text),
            Some(Token::Special(name)) if &*name == "this" => Expr::Variable(Variable::This),
            Some(Token::Special(name)) if &*name == "index" => Expr::Variable(Variable::Index),
            Some(Token::Variable(name)) => Expr::Variable(match &*name {
                "resource" => Variable::Resource,
                "rootResource" => Variable::Root,
                "context" => Variable::Context,
                "ucum" => Variable::Text("http://unitsofmeasure.org"),
                "sct" => Variable::Text("http://snomed.info/sct"),
                "loinc" => Variable::Text("http://loinc.org"),
                _ => {
                    self.at = start;
                    return Err(self.error(PathFault::Variable(name)));
                }
            }),
            _ => {
                self.at = start;
                return Err(self.expected("a value, a name or `(`"));
            }
        };
        Ok(found)
    }

    /// A number, or a quantity where a unit in quotes follows.
    fn number(&mut self, text: &str) -> Result<Expr, PathError> {
        let Ok(number) = text.parse::<serde_json::Number>() else {
            return Err(self.expected("a number"));
        };
        if let Some(Token::Text(unit)) = self.peek() {
            let value =
                json!({"value": number, "system": "http://unitsofmeasure.org", "code": &**unit});
            self.at += 1;
            return Ok(Expr::Literal(value, Some("Quantity")));
        }
        Ok(Expr::Literal(Value::Number(number), None))
    }

    fn name(&mut self) -> Result<Box<str>, PathError> {
        match self.peek() {
            Some(Token::Name(name) | Token::Quoted(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.expected("a name")),
        }
    }

    /// A member or a function.
    fn invocation(&mut self, is_first: bool) -> Result<Step, PathError> {
        let start = self.at;
        let name = self.name()?;
        if !self.takes("(") {
            let kind = if is_first { definitions::r4().find(&name) } else { None };
            return Ok(Step::Member { extra: format!("_{name}").into(), name, kind });
        }
        if matches!(&*name, "ofType" | "as" | "is") {
            let kind = self.type_name()?;
            self.must(")", "`)`")?;
            return Ok(if &*name == "is" { Step::IsType(kind) } else { Step::OfType(kind) });
        }
        let mut arguments = Vec::new();
        while !self.takes(")") {
            if !arguments.is_empty() {
                self.must(",", "`,` or `)`")?;
            }
            arguments.push(self.expression(0)?);
        }
        let end = std::mem::replace(&mut self.at, start);
        let Some((function, least, most)) = Function::find(&name) else {
            return Err(self.error(PathFault::Function(name)));
        };
        if arguments.len() < least || arguments.len() > most {
            return Err(self.error(PathFault::Arguments(name)));
        }
        if let (Function::Matches, [Expr::Literal(Value::String(pattern), _)]) =
            (function, arguments.as_slice())
        {
            // `(?s)`: a dot means any character, as FHIRPath has it.
            // Paths come from senders too, in patches: what a pattern grows to is bounded.
            let regex = RegexBuilder::new(&format!("(?s){pattern}")).size_limit(1 << 20).build();
            let regex = regex.map_err(|_| self.error(PathFault::Regex))?;
            self.at = end;
            return Ok(Step::Matches(regex));
        }
        if function == Function::Matches {
            return Err(self.error(PathFault::Regex));
        }
        self.at = end;
        Ok(Step::Call(function, arguments))
    }

    /// `Patient`, `FHIR.Patient`, `System.String`.
    fn type_name(&mut self) -> Result<TypeId, PathError> {
        let start = self.at;
        let mut name = self.name()?;
        if matches!(&*name, "FHIR" | "System") && self.takes(".") {
            name = self.name()?;
        }
        let r4 = definitions::r4();
        let simple = || {
            // The types of FHIRPath itself: `Boolean`, `String`, `DateTime`.
            let mut chars = name.chars();
            let first = chars.next()?.to_ascii_lowercase();
            r4.find(&format!("{first}{}", chars.as_str()))
        };
        r4.find(&name).or_else(simple).ok_or_else(|| {
            self.at = start;
            self.error(PathFault::Type(name.clone()))
        })
    }
}

fn moment(text: &str) -> Expr {
    let kind = if text.starts_with('T') {
        "time"
    } else if text.contains('T') {
        "dateTime"
    } else {
        "date"
    };
    Expr::Literal(Value::from(text.trim_start_matches('T').trim_end_matches('T')), Some(kind))
}

fn operator(word: &str) -> Option<Operator> {
    Some(match word {
        "|" => Operator::Union,
        "=" => Operator::Equal,
        "!=" => Operator::NotEqual,
        "~" => Operator::Alike,
        "!~" => Operator::NotAlike,
        "<" => Operator::Less,
        "<=" => Operator::LessOrEqual,
        ">" => Operator::Greater,
        ">=" => Operator::GreaterOrEqual,
        "in" => Operator::In,
        "contains" => Operator::Contains,
        "and" => Operator::And,
        "or" => Operator::Or,
        "xor" => Operator::Xor,
        "implies" => Operator::Implies,
        "+" => Operator::Plus,
        "-" => Operator::Minus,
        "&" => Operator::Join,
        _ => return None,
    })
}
