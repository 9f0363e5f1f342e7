//! Which criterion a search reads the index by, and how.

use sqlx::sqlite::{SqlitePool, SqliteRow};

use crate::message::criteria::ordered;
use crate::message::fold::fold;
use crate::message::resource::{Prefix, TYPE, Test};
use crate::store::StoreError;
use crate::store::sqlite::resources::entries::{
    Place, of_code, of_reference, of_reference_identifier, of_start, of_text, of_uri,
};
use crate::store::sqlite::resources::queries;
use crate::store::sqlite::resources::search::{CHUNK, Resolved, Targets};
use crate::store::sqlite::resources::slot_name;
use crate::store::sqlite::shared::Shared;

/// How far candidates are counted before one way is chosen.
const COUNT_MAX: i64 = 2000;

type Result<T> = std::result::Result<T, StoreError>;

/// What a driver is chosen from.
pub(super) struct Driving<'a> {
    pub(super) pool: &'a SqlitePool,
    pub(super) shared: &'a Shared,
    pub(super) kind: Option<u32>,
    pub(super) criteria: &'a [Resolved],
}

/// How candidates are read, in the order of their numbers.
#[derive(Debug)]
pub(super) enum Driver {
    /// At places of slots.
    At(Vec<(u32, Place)>),
    /// Between two places of some slots.
    Between(Vec<u32>, Place, Place),
    /// All of a type, or all.
    All(Option<u32>),
}

impl Driver {
    /// The places, when these are all that candidates can stand at.
    pub(super) fn places(&self) -> Option<&[(u32, Place)]> {
        match self {
            Self::At(places) => Some(places),
            _ => None,
        }
    }

    /// Candidates after a resource.
    pub(super) async fn chunk(&self, pool: &SqlitePool, from: i64) -> Result<Vec<SqliteRow>> {
        let query = match self {
            Self::At(places) => match places.as_slice() {
                [(slot, place)] => {
                    bind(sqlx::query(queries::CANDIDATES_AT).bind(*slot), place).bind(from)
                }
                _ => sqlx::query(queries::CANDIDATES_AT_ANY).bind(pairs(places)).bind(from),
            },
            Self::Between(slots, low, high) => {
                let query = sqlx::query(queries::CANDIDATES_BETWEEN).bind(numbers(slots));
                bind(bind(query, low), high).bind(from)
            }
            Self::All(Some(kind)) => {
                sqlx::query(queries::CANDIDATES_OF_KIND).bind(*kind).bind(from)
            }
            Self::All(None) => sqlx::query(queries::CANDIDATES).bind(from),
        };
        Ok(query.bind(CHUNK).fetch_all(pool).await?)
    }

    async fn count(&self, pool: &SqlitePool) -> Result<i64> {
        let query = match self {
            Self::At(places) => sqlx::query_as(queries::COUNT_AT_ANY).bind(pairs(places)),
            Self::Between(slots, low, high) => {
                let query = sqlx::query_as(queries::COUNT_BETWEEN).bind(numbers(slots));
                bind_as(bind_as(query, low), high)
            }
            Self::All(_) => return Ok(i64::MAX),
        };
        let (count,): (i64,) = query.bind(COUNT_MAX).fetch_one(pool).await?;
        Ok(count)
    }
}

type Statement = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;
type CountStatement =
    sqlx::query::QueryAs<'static, sqlx::Sqlite, (i64,), sqlx::sqlite::SqliteArguments>;

fn bind(statement: Statement, place: &Place) -> Statement {
    match place {
        Place::Number(number) => statement.bind(*number),
        Place::Text(text) => statement.bind(text.to_string()),
    }
}

fn bind_as(statement: CountStatement, place: &Place) -> CountStatement {
    match place {
        Place::Number(number) => statement.bind(*number),
        Place::Text(text) => statement.bind(text.to_string()),
    }
}

fn pairs(places: &[(u32, Place)]) -> String {
    let pair = |(slot, place): &(u32, Place)| serde_json::json!([slot, place.to_json()]);
    serde_json::Value::Array(places.iter().map(pair).collect()).to_string()
}

fn numbers(slots: &[u32]) -> String {
    serde_json::json!(slots).to_string()
}

impl Driving<'_> {
    /// The driver that promises fewest candidates. Exact places are kept before ranges where both promise
    /// many: they are read in order without sorting.
    pub(super) async fn choose(&self) -> Result<Driver> {
        let mut best: Option<(i64, Driver)> = None;
        // A type has no place in the index: each value's slot tells it.
        let telling = |one: &&Resolved| !one.criterion.negate && &*one.criterion.param != TYPE;
        for resolved in self.criteria.iter().filter(telling) {
            let slots = self.slots(&resolved.criterion.param);
            let Some(driver) = driver(resolved, &slots) else { continue };
            let count = driver.count(self.pool).await?;
            let better = match &best {
                None => true,
                Some((least, Driver::Between(..))) if matches!(driver, Driver::At(_)) => {
                    count <= *least
                }
                Some((least, _)) => count < *least,
            };
            if better {
                best = Some((count, driver));
            }
        }
        Ok(best.map_or(Driver::All(self.kind), |(_, driver)| driver))
    }

    /// The slots of a parameter: of the type, or of all types.
    fn slots(&self, param: &str) -> Vec<u32> {
        let dictionary = self.shared.dictionary();
        let slots = &dictionary.slots;
        if let Some(kind) = self.kind {
            let kind = slots.get(kind).and_then(|name| name.split_once('.'));
            let name = kind.map(|(kind, _)| slot_name(kind, param));
            return name.and_then(|name| slots.number(&name)).into_iter().collect();
        }
        let has = |number: &u32| {
            slots
                .get(*number)
                .and_then(|name| name.split_once('.'))
                .is_some_and(|(_, of)| of == param)
        };
        slots.numbers().filter(has).collect()
    }
}

/// How the index is read for a criterion; `None` when it says nothing about where.
fn driver(resolved: &Resolved, slots: &[u32]) -> Option<Driver> {
    let tests = &resolved.criterion.any;
    match &resolved.targets {
        Some(Targets::Referred(targets)) => {
            return Some(at(targets.iter().map(|target| of_reference(&target.id)), slots));
        }
        Some(Targets::Own(ids)) => return Some(at(ids.iter().map(|id| of_code(id)), slots)),
        None => {}
    }
    let exact: Option<Vec<Place>> = tests.iter().map(exact).collect();
    if let Some(places) = exact {
        return Some(at(places.into_iter(), slots));
    }
    match tests.as_slice() {
        [test] => range(test).map(|(low, high)| Driver::Between(slots.to_vec(), low, high)),
        _ => None,
    }
}

fn at(places: impl Iterator<Item = Place>, slots: &[u32]) -> Driver {
    let pairs = places.flat_map(|place| slots.iter().map(move |slot| (*slot, place.clone())));
    Driver::At(pairs.collect())
}

/// The one place where what meets a test stands.
fn exact(test: &Test) -> Option<Place> {
    match test {
        Test::Token { code: Some(code), .. } => Some(of_code(code)),
        Test::Reference { id, .. } => Some(of_reference(id)),
        Test::ReferenceIdentifier { value, .. } => Some(of_reference_identifier(value)),
        Test::Exact(text) => Some(of_text(&fold(text))),
        Test::Uri(uri) => Some(of_uri(uri)),
        // A tuple stands where its first value does.
        Test::Tuple(tests) => tests.first().and_then(exact),
        _ => None,
    }
}

/// Between which places what meets a test stands.
fn range(test: &Test) -> Option<(Place, Place)> {
    let numbers = |low, high| Some((Place::Number(low), Place::Number(high)));
    match test {
        Test::Starts(start) => Some(of_start(start)),
        // A span stands at its end.
        Test::Date { prefix, from, to } => match prefix {
            Prefix::Eq => numbers(from.0, to.0),
            Prefix::Gt | Prefix::Sa => numbers(to.0, i64::MAX),
            Prefix::Ge | Prefix::Ap => numbers(from.0, i64::MAX),
            Prefix::Eb => numbers(i64::MIN, from.0),
            Prefix::Ne | Prefix::Lt | Prefix::Le => None,
        },
        Test::Quantity { prefix, low, high, .. } => match prefix {
            Prefix::Eq | Prefix::Ap => numbers(ordered(*low), ordered(*high)),
            Prefix::Gt | Prefix::Sa => numbers(ordered(*high), i64::MAX),
            Prefix::Ge => numbers(ordered(*low), i64::MAX),
            Prefix::Lt | Prefix::Eb => numbers(i64::MIN, ordered(*low)),
            Prefix::Le => numbers(i64::MIN, ordered(*high)),
            Prefix::Ne => None,
        },
        Test::Tuple(tests) => tests.first().and_then(range),
        _ => None,
    }
}
