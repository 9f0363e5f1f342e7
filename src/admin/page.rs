//! Pages of lists in the order of their names: a cursor, a limit, and a part of the name.

use serde::Deserialize;

/// Names a page, at most and when nothing else is said.
const PAGE_MAX: usize = 1000;

/// Which page. `deny_unknown_fields`: a mistyped cursor would begin at the start for ever.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Page {
    after: Option<String>,
    limit: Option<usize>,
    filter: Option<String>,
}

/// What a list that is answered in pages may be asked by.
pub(crate) const QUERY: &[(&str, &str)] = &[
    ("after", "`next` of the page before"),
    ("limit", "names a page, 1 to 1000; 1000 when not said"),
    ("filter", "a part of the name, in capitals or not"),
];

impl Page {
    /// What stands on this page of a list in the order of its names, and where the next one begins.
    pub(crate) fn of<T>(
        &self,
        list: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> &str,
    ) -> (Vec<T>, Option<String>) {
        let limit = self.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        let filter = self.filter.as_deref().unwrap_or_default().to_lowercase();
        let wanted = |one: &T| {
            let name = name(one);
            self.after.as_deref().is_none_or(|after| name > after)
                && (filter.is_empty() || name.to_lowercase().contains(&filter))
        };
        let mut rest = list.into_iter().filter(wanted).peekable();
        let page: Vec<T> = rest.by_ref().take(limit).collect();
        let next = rest.peek().and_then(|_| page.last()).map(|last| name(last).to_owned());
        (page, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_each_name_once_and_end() {
        let names = ["adt", "adt-2", "lab", "Labor", "ward"];
        let page = |after: Option<&str>, filter: &str| {
            let (after, filter) = (after.map(str::to_owned), Some(filter.to_owned()));
            Page { after, limit: Some(2), filter }.of(names, |name| name)
        };
        assert_eq!(page(None, ""), (vec!["adt", "adt-2"], Some("adt-2".to_owned())));
        assert_eq!(page(Some("ward"), ""), (vec![], None));
        assert_eq!(page(None, "LAB"), (vec!["lab", "Labor"], None));
        assert_eq!(page(Some("adt"), "adt"), (vec!["adt-2"], None));
    }
}
