//! Evaluates an expression tree. Every node found costs one unit of a budget: what a path can cost is
//! bounded, whatever stands in it.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::HashSet;

use serde_json::{Number, Value};
use thiserror::Error;

use super::function::Function;
use super::node::Node;
use super::parse::{Expr, Operator, Step, Variable};
use super::{Surroundings, compare};

/// Why a path has no result for this resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EvalError {
    /// Several values where FHIRPath needs one.
    #[error("the path finds several values where one is needed")]
    NotSingle,
    /// A value of a type the operation does not take.
    #[error("the path finds a value of the wrong type")]
    WrongType,
    /// More work than one evaluation may cost.
    #[error("the path needs too much work for this resource")]
    TooMuchWork,
}

/// Nodes that one evaluation may find, all steps together.
const BUDGET: usize = 1_000_000;

pub(super) type Found<'a> = Result<Vec<Node<'a>>, EvalError>;

/// One evaluation.
pub(super) struct Run<'a, 'b> {
    pub(super) around: Surroundings<'a>,
    start: Node<'a>,
    budget: &'b Cell<usize>,
}

/// What `$this` and `$index` are, and what a path without a head starts from.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s, 'a> {
    pub(super) focus: &'s [Node<'a>],
    pub(super) index: usize,
}

pub(super) fn eval<'a>(root: &Expr, start: Node<'a>, around: Surroundings<'a>) -> Found<'a> {
    eval_within(root, start, around, &Cell::new(BUDGET))
}

pub(super) fn eval_within<'a>(
    root: &Expr,
    start: Node<'a>,
    around: Surroundings<'a>,
    budget: &Cell<usize>,
) -> Found<'a> {
    let run = Run { around, start, budget };
    let focus = [run.start.clone()];
    run.expr(root, Scope { focus: &focus, index: 0 })
}

/// The truth of a collection: none when empty; a single value that is no boolean counts as true.
pub(super) fn truth(found: &[Node<'_>]) -> Result<Option<bool>, EvalError> {
    match found {
        [] => Ok(None),
        [one] => Ok(Some(one.value().as_bool().unwrap_or(true))),
        _ => Err(EvalError::NotSingle),
    }
}

pub(super) fn boolean<'a>(value: bool) -> Vec<Node<'a>> {
    vec![Node::made(Value::Bool(value))]
}

pub(super) fn text<'a>(value: impl Into<String>) -> Vec<Node<'a>> {
    vec![Node::made(Value::String(value.into()))]
}

pub(super) fn count<'a>(value: usize) -> Vec<Node<'a>> {
    vec![Node::made(Value::from(value))]
}

pub(super) fn one<'n, 'a>(found: &'n [Node<'a>]) -> Result<Option<&'n Node<'a>>, EvalError> {
    match found {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(EvalError::NotSingle),
    }
}

impl<'a> Run<'a, '_> {
    pub(super) fn spend(&self, nodes: usize) -> Result<(), EvalError> {
        let left = self.budget.get().checked_sub(nodes).ok_or(EvalError::TooMuchWork)?;
        self.budget.set(left);
        Ok(())
    }

    pub(super) fn expr(&self, expr: &Expr, scope: Scope<'_, 'a>) -> Found<'a> {
        self.spend(1)?;
        match expr {
            Expr::Nothing => Ok(Vec::new()),
            Expr::Literal(value, None) => Ok(vec![Node::made(value.clone())]),
            Expr::Literal(value, Some(kind)) => Ok(vec![Node::typed(value.clone(), kind)]),
            Expr::Variable(variable) => Ok(self.variable(variable, scope)),
            Expr::Steps(None, steps) => self.steps(scope.focus.to_vec(), steps, scope, true),
            Expr::Steps(Some(head), steps) => {
                let start = self.expr(head, scope)?;
                self.steps(start, steps, scope, false)
            }
            Expr::Binary(operator, left, right) => self.binary(*operator, left, right, scope),
            Expr::Is(left, kind) => {
                let found = self.expr(left, scope)?;
                Ok(one(&found)?.map_or_else(Vec::new, |node| boolean(node.is_a(*kind))))
            }
            Expr::As(left, kind) => {
                let mut found = self.expr(left, scope)?;
                found.retain(|node| node.is_a(*kind));
                Ok(found)
            }
            Expr::Negative(inner) => {
                let found = self.expr(inner, scope)?;
                let Some(node) = one(&found)? else { return Ok(Vec::new()) };
                let Value::Number(number) = node.value() else { return Err(EvalError::WrongType) };
                let text = number.as_str();
                let text = text.strip_prefix('-').map_or_else(|| format!("-{text}"), str::to_owned);
                let number: Number = text.parse().map_err(|_| EvalError::WrongType)?;
                Ok(vec![Node::made(Value::Number(number))])
            }
        }
    }

    fn variable(&self, variable: &Variable, scope: Scope<'_, 'a>) -> Vec<Node<'a>> {
        match variable {
            Variable::This => scope.focus.to_vec(),
            Variable::Index => count(scope.index),
            Variable::Resource => vec![Node::root(self.around.resource)],
            Variable::Root => vec![Node::root(self.around.root)],
            Variable::Context => vec![self.start.clone()],
            Variable::Text(value) => text(*value),
        }
    }

    fn steps(
        &self,
        mut nodes: Vec<Node<'a>>,
        steps: &[Step],
        scope: Scope<'_, 'a>,
        from_focus: bool,
    ) -> Found<'a> {
        for (at, step) in steps.iter().enumerate() {
            self.spend(nodes.len() + 1)?;
            nodes = match step {
                Step::Member { name, extra, kind } => {
                    let mut found = Vec::new();
                    for node in &nodes {
                        // A path may start with the type's name: `Patient.name`.
                        let names_type =
                            kind.filter(|kind| from_focus && at == 0 && node.is_a(*kind));
                        if names_type.is_some() {
                            found.push(node.clone());
                        } else {
                            node.push_member(name, extra, &mut found);
                        }
                    }
                    found
                }
                Step::Index(index) => {
                    let index = self.expr(index, scope)?;
                    let index = one(&index)?.and_then(|node| node.value().as_u64());
                    index
                        .and_then(|index| usize::try_from(index).ok())
                        .and_then(|index| nodes.get(index).cloned())
                        .into_iter()
                        .collect()
                }
                Step::OfType(kind) => {
                    nodes.retain(|node| node.is_a(*kind));
                    nodes
                }
                Step::IsType(kind) => {
                    one(&nodes)?.map_or_else(Vec::new, |node| boolean(node.is_a(*kind)))
                }
                Step::Matches(regex) => match one(&nodes)? {
                    None => Vec::new(),
                    Some(node) if node.value().is_null() => Vec::new(),
                    Some(node) => {
                        let text = node.text().ok_or(EvalError::WrongType)?;
                        self.spend(text.len() / 64)?;
                        boolean(regex.is_match(text))
                    }
                },
                Step::Call(function, arguments) => self.call(*function, nodes, arguments, scope)?,
            };
            self.spend(nodes.len())?;
        }
        Ok(nodes)
    }

    fn binary(
        &self,
        operator: Operator,
        left: &Expr,
        right: &Expr,
        scope: Scope<'_, 'a>,
    ) -> Found<'a> {
        if let Operator::And | Operator::Or | Operator::Xor | Operator::Implies = operator {
            return self.logic(operator, left, right, scope);
        }
        let left = self.expr(left, scope)?;
        let right = self.expr(right, scope)?;
        let answer = match operator {
            Operator::Union => return self.distinct(left.into_iter().chain(right)),
            Operator::Equal => self.equal(&left, &right)?,
            Operator::NotEqual => self.equal(&left, &right)?.map(|equal| !equal),
            Operator::Alike => Some(self.alike(&left, &right)?),
            Operator::NotAlike => Some(!self.alike(&left, &right)?),
            Operator::In => self.member_of(&left, &right)?,
            Operator::Contains => self.member_of(&right, &left)?,
            Operator::Plus | Operator::Minus | Operator::Join => {
                return sum(operator, &left, &right);
            }
            _ => ordered(operator, &left, &right)?,
        };
        Ok(answer.map_or_else(Vec::new, boolean))
    }

    /// Three-valued logic (FHIRPath §6.5); what cannot change the answer is not evaluated.
    fn logic(
        &self,
        operator: Operator,
        left: &Expr,
        right: &Expr,
        scope: Scope<'_, 'a>,
    ) -> Found<'a> {
        let left = truth(&self.expr(left, scope)?)?;
        match (operator, left) {
            (Operator::And, Some(false)) => return Ok(boolean(false)),
            (Operator::Or, Some(true)) | (Operator::Implies, Some(false)) => {
                return Ok(boolean(true));
            }
            _ => {}
        }
        let right = truth(&self.expr(right, scope)?)?;
        let answer = match (operator, left, right) {
            (Operator::And, _, Some(false)) => Some(false),
            (Operator::Or | Operator::Implies, _, Some(true)) => Some(true),
            (Operator::Xor, Some(left), Some(right)) => Some(left != right),
            (_, None, _) | (_, _, None) => None,
            (Operator::And, ..) => Some(true),
            _ => Some(false),
        };
        Ok(answer.map_or_else(Vec::new, boolean))
    }

    /// `None` where one side is empty or the comparison has no answer.
    fn equal(&self, left: &[Node<'a>], right: &[Node<'a>]) -> Result<Option<bool>, EvalError> {
        if left.is_empty() || right.is_empty() {
            return Ok(None);
        }
        if left.len() != right.len() {
            return Ok(Some(false));
        }
        self.spend(left.len())?;
        let mut all = Some(true);
        for (left, right) in left.iter().zip(right) {
            match compare::equal(left, right) {
                Some(true) => {}
                Some(false) => return Ok(Some(false)),
                None => all = None,
            }
        }
        Ok(all)
    }

    fn alike(&self, left: &[Node<'a>], right: &[Node<'a>]) -> Result<bool, EvalError> {
        self.spend(left.len().saturating_mul(right.len()))?;
        Ok(left.len() == right.len()
            && left.iter().all(|one| right.iter().any(|other| compare::alike(one, other))))
    }

    fn member_of(&self, item: &[Node<'a>], list: &[Node<'a>]) -> Result<Option<bool>, EvalError> {
        let Some(item) = one(item)? else { return Ok(None) };
        Ok(Some(self.holds(list, item)?))
    }

    pub(super) fn holds(&self, list: &[Node<'a>], item: &Node<'a>) -> Result<bool, EvalError> {
        self.spend(list.len())?;
        Ok(list.iter().any(|other| compare::equal(other, item) == Some(true)))
    }

    /// Each value once, in the order of their first appearance. Texts are found by hash: there can be many.
    pub(super) fn distinct(&self, nodes: impl Iterator<Item = Node<'a>>) -> Found<'a> {
        let mut found: Vec<Node<'a>> = Vec::new();
        let mut others: Vec<Node<'a>> = Vec::new();
        let mut texts: HashSet<String> = HashSet::new();
        for node in nodes {
            self.spend(1)?;
            let is_new = match node.text() {
                Some(text) if !compare::is_moment(&node) => texts.insert(text.to_owned()),
                _ if self.holds(&others, &node)? => false,
                _ => {
                    others.push(node.clone());
                    true
                }
            };
            if is_new {
                found.push(node);
            }
        }
        Ok(found)
    }

    /// Each item with the value of an expression on it.
    pub(super) fn on_each(
        &self,
        nodes: &[Node<'a>],
        expr: &Expr,
        mut with: impl FnMut(&Node<'a>, Vec<Node<'a>>) -> Result<bool, EvalError>,
    ) -> Result<(), EvalError> {
        for (index, node) in nodes.iter().enumerate() {
            let focus = std::slice::from_ref(node);
            let value = self.expr(expr, Scope { focus, index })?;
            if !with(node, value)? {
                break;
            }
        }
        Ok(())
    }

    /// The text of an argument.
    pub(super) fn text_of(
        &self,
        argument: Option<&Expr>,
        scope: Scope<'_, 'a>,
    ) -> Result<Option<String>, EvalError> {
        let Some(argument) = argument else { return Ok(None) };
        let found = self.expr(argument, scope)?;
        one(&found)?
            .map(|node| node.text().map(str::to_owned).ok_or(EvalError::WrongType))
            .transpose()
    }

    /// The number of an argument; negative ones count as 0.
    pub(super) fn count_of(
        &self,
        argument: Option<&Expr>,
        scope: Scope<'_, 'a>,
    ) -> Result<Option<usize>, EvalError> {
        let Some(argument) = argument else { return Ok(None) };
        let found = self.expr(argument, scope)?;
        let Some(node) = one(&found)? else { return Ok(None) };
        let number = node.value().as_i64().ok_or(EvalError::WrongType)?;
        Ok(Some(usize::try_from(number).unwrap_or(0)))
    }

    fn call(
        &self,
        function: Function,
        nodes: Vec<Node<'a>>,
        arguments: &[Expr],
        scope: Scope<'_, 'a>,
    ) -> Found<'a> {
        super::call::call(self, function, nodes, arguments, scope)
    }
}

fn ordered(
    operator: Operator,
    left: &[Node<'_>],
    right: &[Node<'_>],
) -> Result<Option<bool>, EvalError> {
    let (Some(left), Some(right)) = (one(left)?, one(right)?) else { return Ok(None) };
    Ok(compare::order(left, right).map(|order| match operator {
        Operator::Less => order == Ordering::Less,
        Operator::LessOrEqual => order != Ordering::Greater,
        Operator::Greater => order == Ordering::Greater,
        _ => order != Ordering::Less,
    }))
}

/// `+` and `-` of integers, `+` and `&` of strings.
fn sum<'a>(operator: Operator, left: &[Node<'a>], right: &[Node<'a>]) -> Found<'a> {
    let (left, right) = (one(left)?, one(right)?);
    if operator == Operator::Join {
        let part = |node: Option<&Node<'a>>| {
            node.map_or(Ok(String::new()), |node| printed(node).ok_or(EvalError::WrongType))
        };
        return Ok(text(part(left)? + &part(right)?));
    }
    let (Some(left), Some(right)) = (left, right) else { return Ok(Vec::new()) };
    if let (Operator::Plus, Some(a), Some(b)) = (operator, left.text(), right.text()) {
        return Ok(text(format!("{a}{b}")));
    }
    let (Some(a), Some(b)) = (left.value().as_i64(), right.value().as_i64()) else {
        return Err(EvalError::WrongType);
    };
    let value = if operator == Operator::Plus { a.checked_add(b) } else { a.checked_sub(b) };
    Ok(value.map_or_else(Vec::new, |value| vec![Node::made(Value::from(value))]))
}

/// A primitive as text.
pub(super) fn printed(node: &Node<'_>) -> Option<String> {
    match node.value() {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}
