//! What the functions do (FHIRPath §5, FHIR R4 fhirpath.html#functions).

use serde_json::Value;

use super::eval::{EvalError, Found, Run, Scope, boolean, count, one, printed, text, truth};
use super::function::Function;
use super::html;
use super::node::Node;
use super::parse::Expr;
use crate::fhir::definitions;
use crate::fhir::reference;

pub(super) fn call<'a>(
    run: &Run<'a, '_>,
    function: Function,
    nodes: Vec<Node<'a>>,
    arguments: &[Expr],
    scope: Scope<'_, 'a>,
) -> Found<'a> {
    match function {
        Function::Exists | Function::All | Function::Where | Function::Select | Function::Iif => {
            conditions(run, function, nodes, arguments, scope)
        }
        Function::Combine | Function::Union | Function::Intersect | Function::Exclude => {
            sets(run, function, nodes, arguments, scope)
        }
        Function::AllTrue | Function::AnyTrue | Function::AllFalse | Function::AnyFalse => {
            let wanted = matches!(function, Function::AllTrue | Function::AnyTrue);
            let mut fits = nodes.iter().map(|node| node.value().as_bool() == Some(wanted));
            Ok(boolean(match function {
                Function::AllTrue | Function::AllFalse => fits.all(|fits| fits),
                _ => fits.any(|fits| fits),
            }))
        }
        Function::Children => children(run, &nodes),
        Function::Descendants => descendants(run, nodes),
        Function::Extension => extension(run, nodes, arguments, scope),
        Function::Resolve => resolve(run, &nodes),
        Function::Trace => Ok(nodes),
        Function::HtmlChecks => {
            let Some(node) = one(&nodes)? else { return Ok(Vec::new()) };
            let div = node.value().get("div").and_then(Value::as_str).or_else(|| node.text());
            run.spend(div.map_or(0, |div| div.len() / 16))?;
            Ok(div.map_or_else(Vec::new, |div| boolean(html::is_allowed(div))))
        }
        Function::Skip | Function::Take | Function::Tail => {
            let wanted = run.count_of(arguments.first(), scope)?;
            Ok(match (function, wanted) {
                (Function::Tail, _) => nodes.into_iter().skip(1).collect(),
                (_, None) => Vec::new(),
                (Function::Skip, Some(wanted)) => nodes.into_iter().skip(wanted).collect(),
                (_, Some(wanted)) => nodes.into_iter().take(wanted).collect(),
            })
        }
        Function::Join => {
            let between = run.text_of(arguments.first(), scope)?.unwrap_or_default();
            let parts: Option<Vec<String>> = nodes.iter().map(printed).collect();
            Ok(text(parts.ok_or(EvalError::WrongType)?.join(&between)))
        }
        Function::Empty => Ok(boolean(nodes.is_empty())),
        Function::Count => Ok(count(nodes.len())),
        Function::First => Ok(nodes.into_iter().take(1).collect()),
        Function::Last => Ok(nodes.into_iter().next_back().into_iter().collect()),
        Function::Single => {
            one(&nodes)?;
            Ok(nodes)
        }
        Function::Distinct => run.distinct(nodes.into_iter()),
        Function::IsDistinct => {
            let all = nodes.len();
            Ok(boolean(run.distinct(nodes.into_iter())?.len() == all))
        }
        Function::Not => Ok(truth(&nodes)?.map_or_else(Vec::new, |value| boolean(!value))),
        Function::HasValue => Ok(boolean(matches!(nodes.as_slice(), [node] if node.has_value()))),
        Function::GetValue => Ok(nodes.into_iter().filter(Node::has_value).take(1).collect()),
        _ => strings(run, function, &nodes, arguments, scope),
    }
}

fn conditions<'a>(
    run: &Run<'a, '_>,
    function: Function,
    nodes: Vec<Node<'a>>,
    arguments: &[Expr],
    scope: Scope<'_, 'a>,
) -> Found<'a> {
    let Some(condition) = arguments.first() else { return Ok(boolean(!nodes.is_empty())) };
    let mut found = Vec::new();
    let mut all = true;
    match function {
        Function::Select => run.on_each(&nodes, condition, |_, value| {
            found.extend(value);
            Ok(true)
        })?,
        Function::Where => run.on_each(&nodes, condition, |node, value| {
            if truth(&value)? == Some(true) {
                found.push(node.clone());
            }
            Ok(true)
        })?,
        Function::All => {
            run.on_each(&nodes, condition, |_, value| {
                all = truth(&value)? == Some(true);
                Ok(all)
            })?;
            return Ok(boolean(all));
        }
        Function::Exists => {
            run.on_each(&nodes, condition, |_, value| {
                all = truth(&value)? != Some(true);
                Ok(all)
            })?;
            return Ok(boolean(!all));
        }
        _ => {
            // Both branches see the collection as a whole, and so does the condition.
            let inside = Scope { focus: &nodes, index: scope.index };
            let holds = truth(&run.expr(condition, inside)?)? == Some(true);
            let branch = arguments.get(if holds { 1 } else { 2 });
            return branch.map_or(Ok(Vec::new()), |branch| run.expr(branch, inside));
        }
    }
    Ok(found)
}

fn sets<'a>(
    run: &Run<'a, '_>,
    function: Function,
    nodes: Vec<Node<'a>>,
    arguments: &[Expr],
    scope: Scope<'_, 'a>,
) -> Found<'a> {
    let other = arguments.first().map_or(Ok(Vec::new()), |other| run.expr(other, scope))?;
    match function {
        Function::Combine => Ok(nodes.into_iter().chain(other).collect()),
        Function::Union => run.distinct(nodes.into_iter().chain(other)),
        _ => {
            let wanted = function == Function::Intersect;
            let mut kept = Vec::new();
            for node in nodes {
                if run.holds(&other, &node)? == wanted {
                    kept.push(node);
                }
            }
            if wanted { run.distinct(kept.into_iter()) } else { Ok(kept) }
        }
    }
}

fn children<'a>(run: &Run<'a, '_>, nodes: &[Node<'a>]) -> Found<'a> {
    let mut found = Vec::new();
    for node in nodes {
        let before = found.len();
        node.push_children(&mut found);
        run.spend(found.len() - before)?;
    }
    Ok(found)
}

fn descendants<'a>(run: &Run<'a, '_>, nodes: Vec<Node<'a>>) -> Found<'a> {
    let mut level = children(run, &nodes)?;
    let mut found = Vec::new();
    while !level.is_empty() {
        let next = children(run, &level)?;
        found.append(&mut level);
        level = next;
    }
    Ok(found)
}

fn extension<'a>(
    run: &Run<'a, '_>,
    nodes: Vec<Node<'a>>,
    arguments: &[Expr],
    scope: Scope<'_, 'a>,
) -> Found<'a> {
    let Some(url) = run.text_of(arguments.first(), scope)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for node in &nodes {
        let mut all = Vec::new();
        node.push_member("extension", "_extension", &mut all);
        run.spend(all.len())?;
        found
            .extend(all.into_iter().filter(|one| {
                one.value().get("url").and_then(Value::as_str) == Some(url.as_str())
            }));
    }
    Ok(found)
}

/// What references lead to: contained resources, entries of the bundle around, the resource itself (`#`);
/// of any other resource only its type is known.
fn resolve<'a>(run: &Run<'a, '_>, nodes: &[Node<'a>]) -> Found<'a> {
    let mut found = Vec::new();
    for node in nodes {
        let declared = node.value().get("type").and_then(Value::as_str);
        let target = node.text().or_else(|| node.value().get("reference").and_then(Value::as_str));
        if let Some(target) = target
            && let Some(resource) = inside(run, target)?
        {
            found.push(Node::root(resource));
            continue;
        }
        let kind = target.and_then(reference::target_type).or(declared);
        if let Some(kind) = kind.and_then(|name| definitions::r4().resource(name)) {
            found.push(Node::remote(kind));
        }
    }
    Ok(found)
}

fn inside<'a>(run: &Run<'a, '_>, target: &str) -> Result<Option<&'a Value>, EvalError> {
    let around = run.around;
    if let Some(id) = target.strip_prefix('#') {
        if id.is_empty() {
            return Ok(Some(around.root));
        }
        let contained = around.root.get("contained").and_then(Value::as_array);
        run.spend(contained.map_or(0, Vec::len))?;
        return Ok(contained.and_then(|all| {
            all.iter().find(|one| one.get("id").and_then(Value::as_str) == Some(id))
        }));
    }
    let entries = around.root.get("entry").and_then(Value::as_array);
    run.spend(entries.map_or(0, Vec::len))?;
    Ok(entries.and_then(|all| {
        all.iter()
            .find(|one| one.get("fullUrl").and_then(Value::as_str) == Some(target))
            .and_then(|one| one.get("resource"))
    }))
}

fn strings<'a>(
    run: &Run<'a, '_>,
    function: Function,
    nodes: &[Node<'a>],
    arguments: &[Expr],
    scope: Scope<'_, 'a>,
) -> Found<'a> {
    // A primitive that has extensions only has no text.
    let Some(node) = one(nodes)?.filter(|node| !node.value().is_null()) else {
        return Ok(Vec::new());
    };
    let input = printed(node).ok_or(EvalError::WrongType)?;
    run.spend(input.len() / 64)?;
    match function {
        Function::Length => return Ok(count(input.chars().count())),
        Function::Upper => return Ok(text(input.to_uppercase())),
        Function::Lower => return Ok(text(input.to_lowercase())),
        Function::Trim => return Ok(text(input.trim())),
        Function::ToText => return Ok(text(input)),
        Function::ToInteger => {
            let number = input.trim_start_matches('+').parse::<i64>().ok();
            return Ok(number.map_or_else(Vec::new, |number| vec![Node::made(Value::from(number))]));
        }
        Function::Substring => {
            let Some(start) = run.count_of(arguments.first(), scope)? else {
                return Ok(Vec::new());
            };
            let length = run.count_of(arguments.get(1), scope)?.unwrap_or(usize::MAX);
            if start >= input.chars().count() {
                return Ok(Vec::new());
            }
            return Ok(text(input.chars().skip(start).take(length).collect::<String>()));
        }
        _ => {}
    }
    let Some(argument) = run.text_of(arguments.first(), scope)? else { return Ok(Vec::new()) };
    Ok(match function {
        Function::Contains => boolean(input.contains(&argument)),
        Function::StartsWith => boolean(input.starts_with(&argument)),
        Function::EndsWith => boolean(input.ends_with(&argument)),
        Function::IndexOf => input.find(&argument).map_or_else(
            || vec![Node::made(Value::from(-1))],
            |at| count(input.get(..at).unwrap_or_default().chars().count()),
        ),
        Function::Split => {
            let parts: Vec<Node<'a>> = input.split(&argument).flat_map(text).collect();
            run.spend(parts.len())?;
            parts
        }
        _ => {
            let Some(with) = run.text_of(arguments.get(1), scope)? else { return Ok(Vec::new()) };
            // An empty pattern would put the replacement between all characters.
            run.spend(input.len().saturating_mul(with.len() + 1) / 64)?;
            text(input.replace(&argument, &with))
        }
    })
}
