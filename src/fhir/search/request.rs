//! A search as a client asks it: criteria, and how the result is to look (FHIR R4 search.html#return).

use thiserror::Error;

use super::Reading;
use super::ask::{Asked, Wrong, ask};
use super::parameters::{self, ParameterType};
use crate::message::resource::{Criterion, ResourceQuery};

/// The parameter that carries [`ResourceQuery::page`].
pub const PAGE: &str = "_page";

/// Keys to sort by: each costs a look at every candidate.
const SORT_KEYS_MAX: usize = 8;

/// How much a search may ask.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Resources on a page when none is asked for. 50.
    pub count_default: u32,
    /// Resources on a page, at most. 1000.
    pub count_max: u32,
    /// Bytes of all names and values. 16 KiB.
    pub bytes_max: usize,
    /// Parameters. 64.
    pub parameters_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { count_default: 50, count_max: 1000, bytes_max: 16 << 10, parameters_max: 64 }
    }
}

/// What becomes of a parameter nobody knows (FHIR R4 search.html#errors).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// The search is refused.
    Strict,
    /// It is left out, and named in [`SearchRequest::ignored`].
    Lenient,
}

/// Why a search is refused. Names the parameter; never its value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("search parameter `{parameter}`: {reason}")]
pub struct SearchError {
    /// The parameter, as it was written.
    pub parameter: String,
    /// What is wrong, in words.
    pub reason: String,
    /// A code of `issue-type`: `value` when it cannot be meant, `not-supported` when it is not offered.
    pub issue: &'static str,
}

impl SearchError {
    fn new(parameter: &str, issue: &'static str, reason: impl Into<String>) -> Self {
        let parameter = parameter.get(..parameter.floor_char_boundary(100)).unwrap_or_default();
        Self { parameter: parameter.to_owned(), reason: reason.into(), issue }
    }
}

/// What of each resource is wanted (FHIR R4 search.html#summary).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Summary {
    /// All.
    #[default]
    False,
    /// Its summary elements.
    True,
    /// Text, id, meta, and mandatory elements.
    Text,
    /// All but its text.
    Data,
    /// Only the number of matches.
    Count,
}

/// Whether the number of all matches is wanted (FHIR R4 search.html#total).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Total {
    /// As is cheap.
    #[default]
    None,
    /// About.
    Estimate,
    /// Exactly.
    Accurate,
}

/// `_include` or `_revinclude`, one level: `Observation:subject:Patient`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// The type that has the reference.
    pub source: Box<str>,
    /// The search parameter that is the reference; `*` for all.
    pub param: Box<str>,
    /// Only references to this type.
    pub target: Option<Box<str>>,
}

/// A search, understood.
#[derive(Debug, Clone, Default)]
pub struct SearchRequest {
    /// What is searched for.
    pub query: ResourceQuery,
    /// What the matches refer to and is wanted too.
    pub include: Vec<Include>,
    /// What refers to the matches and is wanted too.
    pub revinclude: Vec<Include>,
    /// What of each resource.
    pub summary: Summary,
    /// Only these elements, and the mandatory ones.
    pub elements: Vec<Box<str>>,
    /// Whether the number of matches is wanted.
    pub total: Total,
    /// The format asked for.
    pub format: Option<Box<str>>,
    /// Whether the answer is to be laid out for people.
    pub pretty: Option<bool>,
    /// What was understood, as it was written and in its order: for the `self` link. Without the page.
    pub understood: Vec<(String, String)>,
    /// What was left out, with the reason.
    pub ignored: Vec<SearchError>,
}

/// Reads the parameters of a search for resources of `kind` (of all types when empty), as a URL or a form
/// has them after decoding.
///
/// # Errors
/// Which parameter is wrong, and how.
pub fn parse<'p>(
    kind: &str,
    parameters: impl IntoIterator<Item = (&'p str, &'p str)>,
    reading: &Reading,
    limits: &Limits,
    handling: Handling,
) -> Result<SearchRequest, SearchError> {
    let query = ResourceQuery {
        kind: kind.into(),
        limit: limits.count_default,
        ..ResourceQuery::default()
    };
    let mut request = SearchRequest { query, ..SearchRequest::default() };
    let (mut count, mut bytes) = (0_usize, 0_usize);
    for (name, value) in parameters {
        count += 1;
        bytes = bytes.saturating_add(name.len()).saturating_add(value.len());
        if count > limits.parameters_max {
            let most = limits.parameters_max;
            let text = format!("a search has at most {most} parameters");
            return Err(SearchError::new(name, "too-long", text));
        }
        if bytes > limits.bytes_max {
            let most = limits.bytes_max;
            let text = format!("a search has at most {most} bytes");
            return Err(SearchError::new(name, "too-long", text));
        }
        let fail = |wrong: Wrong| SearchError::new(name, wrong.issue, wrong.reason);
        let understood = match result_parameter(&mut request, name, value, limits) {
            Some(understood) => understood.map_err(fail)?,
            None => match ask(kind, name, value, reading).map_err(fail)? {
                Asked::Criterion(criterion) => {
                    request.query.criteria.push(criterion);
                    Ok(())
                }
                Asked::Unknown(reason) => Err(reason),
            },
        };
        match (understood, handling) {
            (Ok(()), _) if name == PAGE => {}
            (Ok(()), _) => request.understood.push((name.to_owned(), value.to_owned())),
            (Err(reason), Handling::Strict) => {
                return Err(SearchError::new(name, "not-supported", reason));
            }
            (Err(reason), Handling::Lenient) => {
                request.ignored.push(SearchError::new(name, "not-supported", reason));
            }
        }
    }
    if request.query.limit == 0 {
        // FHIR R4 search.html#count: the same as `_summary=count`.
        (request.summary, request.query.limit) = (Summary::Count, 1);
    }
    request.query.total = request.total != Total::None || request.summary == Summary::Count;
    Ok(request)
}

/// Reads criteria alone, such as a subscription's `Observation?code=…&status=final`, or those after
/// `If-None-Exist` with `kind` given: only criteria, and only such as are known.
///
/// # Errors
/// Which parameter is wrong, and how.
pub fn criteria(
    kind: &str,
    query: &str,
    reading: &Reading,
    limits: &Limits,
) -> Result<Vec<Criterion>, SearchError> {
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let pairs = pairs.iter().map(|(name, value)| (&**name, &**value));
    let request = parse(kind, pairs, reading, limits, Handling::Strict)?;
    let of_results = |(name, _): &&(String, String)| is_result_parameter(name);
    match request.understood.iter().find(of_results) {
        Some((name, _)) => {
            Err(SearchError::new(name, "not-supported", "only criteria may stand here"))
        }
        None => Ok(request.query.criteria),
    }
}

/// Whether a parameter says how the result is to look, and not what is searched for.
#[must_use]
pub fn is_result_parameter(name: &str) -> bool {
    let name = name.split(':').next().unwrap_or(name);
    [
        "_count",
        "_sort",
        "_include",
        "_revinclude",
        "_summary",
        "_elements",
        "_total",
        "_format",
        "_pretty",
        PAGE,
    ]
    .contains(&name)
}

type Understood = Result<Result<(), &'static str>, Wrong>;

/// Reads a parameter about the result; `None` when it is none.
fn result_parameter(
    request: &mut SearchRequest,
    name: &str,
    value: &str,
    limits: &Limits,
) -> Option<Understood> {
    let no = |reason: &str| Err(Wrong::value(reason));
    let words = || value.split(',').filter(|word| !word.is_empty()).map(Into::into);
    Some(match name {
        "_count" => match value.parse::<u32>() {
            Ok(count) => {
                request.query.limit = count.min(limits.count_max);
                Ok(Ok(()))
            }
            Err(_) => no("it is no number of resources"),
        },
        "_sort" => sort(&mut request.query, value),
        "_include" => add(&mut request.include, include(value)),
        "_revinclude" => add(&mut request.revinclude, include(value)),
        "_summary" => {
            let known = match value {
                "true" => Some(Summary::True),
                "false" => Some(Summary::False),
                "text" => Some(Summary::Text),
                "data" => Some(Summary::Data),
                "count" => Some(Summary::Count),
                _ => None,
            };
            set(&mut request.summary, known, "true, false, text, data or count")
        }
        "_total" => {
            let known = match value {
                "none" => Some(Total::None),
                "estimate" => Some(Total::Estimate),
                "accurate" => Some(Total::Accurate),
                _ => None,
            };
            set(&mut request.total, known, "none, estimate or accurate")
        }
        "_pretty" => {
            let known = match value {
                "true" => Some(Some(true)),
                "false" => Some(Some(false)),
                _ => None,
            };
            set(&mut request.pretty, known, "true or false")
        }
        "_elements" => {
            request.elements.extend(words());
            Ok(Ok(()))
        }
        "_format" => set(&mut request.format, Some(Some(value.into())), ""),
        PAGE => set(&mut request.query.page, Some(Some(value.into())), ""),
        name if is_result_parameter(name) => {
            Err(Wrong::unsupported("this modifier is not supported here"))
        }
        _ => return None,
    })
}

fn add<T>(list: &mut Vec<T>, one: Result<T, String>) -> Understood {
    list.push(one?);
    Ok(Ok(()))
}

fn set<T>(place: &mut T, value: Option<T>, known: &str) -> Understood {
    match value {
        Some(value) => {
            *place = value;
            Ok(Ok(()))
        }
        None => Err(Wrong::value(format!("it is one of: {known}"))),
    }
}

fn sort(query: &mut ResourceQuery, value: &str) -> Understood {
    for word in value.split(',') {
        let (code, descending) = match word.strip_prefix('-') {
            Some(code) => (code, true),
            None => (word, false),
        };
        let found = parameters::find(&query.kind, code);
        if found.is_none_or(|found| found.kind == ParameterType::Composite) {
            return Ok(Err("it sorts by what is no search parameter here"));
        }
        if query.sort.len() >= SORT_KEYS_MAX {
            let text = format!("it sorts by more than {SORT_KEYS_MAX} parameters");
            return Err(Wrong { issue: "too-costly", reason: text });
        }
        query.sort.push((code.into(), descending));
    }
    Ok(Ok(()))
}

/// `Type:parameter` or `Type:parameter:Target`; `*` for all.
fn include(value: &str) -> Result<Include, String> {
    let mut parts = value.split(':');
    let (source, param, target) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let Some(param) = param.filter(|_| parts.next().is_none()) else {
        return Err("it has the form Type:parameter or Type:parameter:Target".to_owned());
    };
    if param != "*" {
        match parameters::find(source, param) {
            Some(found) if found.kind == ParameterType::Reference => {
                if let Some(target) = target
                    && !found.targets.contains(&target)
                {
                    return Err("it does not refer to this type".to_owned());
                }
            }
            Some(_) => return Err("it is no reference".to_owned()),
            None => return Err("there is no such search parameter".to_owned()),
        }
    }
    let target = target.map(Into::into);
    Ok(Include { source: source.into(), param: param.into(), target })
}
