//! The documentation, which is part of the binary: `/docs` shows it without a network.
//!
//! The pages are the Markdown files of `docs/`. They hold nothing of a hospital, so nobody signs in to
//! read them.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::response::{IntoResponse, Response};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, html};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "docs"]
#[include = "*.md"]
#[include = "guide/*.md"]
#[exclude = "style.md"]
#[exclude = "decisions/*"]
struct Pages;

/// What `/docs` opens with.
const FIRST: &str = "guide/start";

/// The pages in the order of the list beside each of them; whom they are for, and what they are called.
const LIST: &[(&str, &[(&str, &str)])] = &[
    (
        "Start · 开始",
        &[
            (FIRST, "Five minutes"),
            ("guide/analyst", "Interface analysts"),
            ("guide/device", "Lab and device systems"),
            ("guide/vendor", "EMR vendors"),
            ("guide/ward", "Ward and help desk"),
            ("guide/ward.zh", "病区与信息科值班人员"),
            ("guide/operator", "Operators"),
            ("guide/releaser", "Releasers"),
            ("guide/security-admin", "Security administrators"),
            ("guide/auditor", "Auditors"),
            ("guide/system-admin", "System administrators"),
            ("guide/cookbook", "Cookbook"),
        ],
    ),
    (
        "Reference · 参考",
        &[
            ("guarantees", "Guarantees"),
            ("config", "Configuration"),
            ("errors", "Codes of findings"),
            ("mapping", "HL7 v2 to FHIR"),
            ("fhir-to-hl7v2", "FHIR to HL7 v2"),
            ("fhir", "The FHIR endpoint"),
            ("subscriptions", "Subscriptions"),
            ("operations", "Operations"),
            ("security", "Security"),
            ("performance", "Performance"),
        ],
    ),
];

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --link: light-dark(#0a58ca, #8ab8ff); }
body { margin: 0; font: 16px/1.6 system-ui, sans-serif; display: grid; grid-template-columns: 16rem minmax(0, 1fr); }
nav { padding: 1.5rem 1rem; border-right: 1px solid var(--line); min-height: 100vh; }
nav h2 { font-size: .9rem; margin: 1rem 0 .25rem; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav a { display: block; padding: .2rem .5rem; border-radius: .25rem; }
nav a[aria-current] { background: var(--soft); font-weight: 600; }
main { padding: 1.5rem 2rem 4rem; max-width: 60rem; }
a { color: var(--link); }
a:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
pre, code { font-family: ui-monospace, monospace; font-size: .9em; background: var(--soft); }
pre { padding: .75rem 1rem; overflow-x: auto; border-radius: .25rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
@media (max-width: 50rem) { body { display: block; } nav { min-height: 0; border: 0; } }
";

/// `/docs`.
pub(crate) async fn first() -> Response {
    (StatusCode::FOUND, [(LOCATION, format!("/docs/{FIRST}"))]).into_response()
}

/// A page, or the style sheet of all.
pub(crate) async fn page(Path(name): Path<String>) -> Response {
    if name == "style.css" {
        return ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "no-cache")], STYLE)
            .into_response();
    }
    let name = name.strip_suffix(".md").unwrap_or(&name);
    let known = titles().find(|(page, _)| *page == name);
    let text = known.and_then(|(_, title)| Some((title, Pages::get(&format!("{name}.md"))?)));
    let Some((title, file)) = text else {
        let body = whole(
            "",
            "No such page",
            "<h1>No such page</h1><p>The list names all there are. 没有此页。</p>",
        );
        return (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "text/html; charset=utf-8")], body)
            .into_response();
    };
    let body = whole(name, title, &rendered(name, &String::from_utf8_lossy(&file.data)));
    ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, "no-cache")], body)
        .into_response()
}

fn titles() -> impl Iterator<Item = (&'static str, &'static str)> {
    LIST.iter().flat_map(|(_, pages)| pages.iter().copied())
}

/// The page around its text.
fn whole(name: &str, title: &str, text: &str) -> String {
    let mut list = String::new();
    for (group, pages) in LIST {
        list.push_str(&format!("<h2>{group}</h2><ul>"));
        for (page, title) in *pages {
            let current = if *page == name { " aria-current=\"page\"" } else { "" };
            list.push_str(&format!("<li><a href=\"/docs/{page}\"{current}>{title}</a></li>"));
        }
        list.push_str("</ul>");
    }
    let language = if name.ends_with(".zh") { "zh" } else { "en" };
    format!(
        "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} · Medway</title>\
         <link rel=\"stylesheet\" href=\"/docs/style.css\"></head><body>\
         <nav aria-label=\"Documentation\"><a href=\"/\">Medway</a>{list}</nav>\
         <main>{text}</main></body></html>"
    )
}

/// Markdown as HTML: links lead to pages here, HTML in it is text.
fn rendered(name: &str, markdown: &str) -> String {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let options = Options::ENABLE_TABLES | Options::ENABLE_HEADING_ATTRIBUTES;
    let mut heads = 0_usize;
    let events = Parser::new_ext(markdown, options).map(|event| match event {
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let dest_url = CowStr::from(link(folder, &dest_url));
            Event::Start(Tag::Link { link_type, dest_url, title, id })
        }
        Event::Start(Tag::Heading { level, classes, attrs, .. }) => {
            heads += 1;
            let id = Some(CowStr::from(format!("s{heads}")));
            Event::Start(Tag::Heading { level, id, classes, attrs })
        }
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        other => other,
    });
    let mut text = String::new();
    html::push_html(&mut text, events);
    // Wide tables scroll by themselves, by keyboard too.
    text.replace("<table>", "<div class=\"wide\" tabindex=\"0\"><table>")
        .replace("</table>", "</table></div>")
}

/// Where a link of a page in `folder` leads here: pages of the list stay, other files of the project are
/// named where they are.
fn link(folder: &str, to: &str) -> String {
    if to.contains("://") || to.starts_with('#') {
        return to.to_owned();
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in to.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    format!("/docs/{}", path.strip_suffix(".md").unwrap_or(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The addresses behind `href="…"`.
    fn links(html: &str) -> Vec<String> {
        let ends = html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        ends.map(str::to_owned).collect()
    }

    #[test]
    fn every_page_is_in_the_list_and_every_entry_of_the_list_is_a_page() {
        let mut listed: Vec<_> = titles().map(|(name, _)| format!("{name}.md")).collect();
        let mut there: Vec<_> = Pages::iter().map(|name| name.to_string()).collect();
        listed.sort();
        there.sort();
        assert_eq!(listed, there);
    }

    #[test]
    fn every_link_between_pages_leads_somewhere() {
        for (name, title) in titles() {
            let file = Pages::get(&format!("{name}.md")).unwrap();
            let text = std::str::from_utf8(&file.data).unwrap();
            let html = whole(name, title, &rendered(name, text));
            for link in links(&html) {
                let Some(page) = link.strip_prefix("/docs/") else { continue };
                // What is no page is a file of the project that a reader of the sources finds.
                let elsewhere = ["channels/", "style.css"];
                let known = titles().any(|(known, _)| known == page)
                    || elsewhere.iter().any(|start| page.starts_with(start));
                assert!(known, "{name}: {link}");
            }
        }
    }

    #[test]
    fn html_in_a_page_is_text() {
        let html =
            rendered("x", "<script>alert(1)</script>\n\na <b onclick=x>b</b> [c](javascript:x)");
        assert!(!html.contains("<script") && !html.contains("<b "), "{html}");
        assert!(!html.contains("href=\"javascript"), "{html}");
    }
}
