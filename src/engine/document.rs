//! A channel's interface as a document in Markdown, in either language, for the people on both ends of it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::config::channel_file::ChannelConfig;
use crate::config::from::SourceOptions;
use crate::config::to::TransportOptions;
use crate::hl7::dictionary::check::{Described, check};
use crate::hl7::dictionary::{Label, Version};
use crate::hl7::path::Path;
use crate::yaml::node::{Node, Value};

/// The language of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}

/// A text in both languages.
struct Words {
    en: &'static str,
    zh: &'static str,
}

impl Language {
    const fn of(self, words: &Words) -> &'static str {
        match self {
            Self::En => words.en,
            Self::Zh => words.zh,
        }
    }

    const fn label(self, label: Label) -> &'static str {
        match self {
            Self::En => label.en,
            Self::Zh => label.zh,
        }
    }

    /// The text of this language, else the other one.
    fn first<'t>(self, en: Option<&'t str>, zh: Option<&'t str>) -> Option<&'t str> {
        match self {
            Self::En => en.or(zh),
            Self::Zh => zh.or(en),
        }
    }
}

const CONTACT: Words = Words { en: "Contact", zh: "联系人" };
const GROUP: Words = Words { en: "Channel group", zh: "通道组" };
const VERSION: Words = Words { en: "Version", zh: "版本" };
const FROM: Words = Words { en: "From", zh: "来源" };
const TO: Words = Words { en: "To", zh: "去向" };
const FIELDS: Words = Words { en: "Fields it reads or writes", zh: "读写的字段" };
const FIELD: Words = Words { en: "Field", zh: "字段" };
const NAME: Words = Words { en: "Name", zh: "名称" };
const KIND: Words = Words { en: "Data type", zh: "数据类型" };
const RULE: Words = Words { en: "Rule", zh: "规则" };
const VALUE: Words = Words { en: "Value", zh: "值" };
const SECTIONS: [(&str, Words); 2] = [
    ("accept", Words { en: "What is accepted", zh: "接受条件" }),
    ("search_keys", Words { en: "Search keys", zh: "检索键" }),
];
const LISTENS: Words = Words { en: "Listens at", zh: "监听地址" };
const ORDERED: Words = Words { en: "Order is kept by", zh: "保持顺序的依据" };
const ACKNOWLEDGED: Words = Words { en: "Acknowledged", zh: "应答时机" };

/// The rules of a channel that partners ask about, in the order told.
const RULES: [(&str, Words); 14] = [
    ("types", Words { en: "message types", zh: "消息类型" }),
    ("require", Words { en: "required", zh: "必填" }),
    ("when", Words { en: "condition", zh: "条件" }),
    ("duplicate", Words { en: "repeated messages", zh: "重复消息" }),
    ("strict", Words { en: "strict reading", zh: "严格解析" }),
    ("profile", Words { en: "profile", zh: "规范（profile）" }),
    ("otherwise", Words { en: "what is not accepted", zh: "不接受的消息" }),
    ("order", Words { en: "order", zh: "顺序" }),
    ("change", Words { en: "changes", zh: "修改" }),
    ("produce", Words { en: "form", zh: "输出形式" }),
    ("retry", Words { en: "attempts", zh: "重试" }),
    ("on_ack", Words { en: "answers", zh: "应答处理" }),
    ("unmapped_code", Words { en: "codes without a mapping", zh: "未映射的代码" }),
    ("order_by", Words { en: "order is kept by", zh: "保持顺序的依据" }),
];

fn rule(language: Language, key: &str) -> String {
    match RULES.iter().find(|(name, _)| *name == key) {
        Some((_, words)) => format!("{} (`{key}`)", language.of(words)),
        None => format!("`{key}`"),
    }
}

/// The document of a channel.
pub(super) fn document(config: &ChannelConfig, root: &Node, language: Language) -> String {
    let title = language.first(config.title.en.as_deref(), config.title.zh.as_deref());
    let mut page = Page { language, text: String::new() };
    page.line(&match title {
        Some(title) => format!("# {} · {title}\n", config.name),
        None => format!("# {}\n", config.name),
    });
    if let Some(description) = &config.description {
        page.line(&format!("{description}\n"));
    }
    if let Some(owner) = &config.owner {
        page.fact(&CONTACT, owner);
    }
    if let Some(group) = &config.group {
        page.fact(&GROUP, group);
    }
    page.fact(&VERSION, &format!("`{}`", config.hash));
    page.from(config, root);
    page.to(config, root);
    page.fields(root);
    page.text
}

/// A document that is being written.
struct Page {
    language: Language,
    text: String,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn head(&mut self, words: &Words) {
        let title = self.language.of(words);
        self.line(&format!("\n## {title}\n"));
    }

    fn fact(&mut self, words: &Words, value: &str) {
        let colon = if self.language == Language::Zh { "：" } else { ": " };
        self.line(&format!("- {}{colon}{value}", self.language.of(words)));
    }

    fn table(&mut self, heads: &[&Words]) {
        let names: Vec<&str> = heads.iter().map(|words| self.language.of(words)).collect();
        self.line(&format!("| {} |", names.join(" | ")));
        self.line(&format!("|{}", " --- |".repeat(heads.len())));
    }

    fn from(&mut self, config: &ChannelConfig, root: &Node) {
        self.head(&FROM);
        let receives = self.language.of(source_words(&config.source));
        self.line(&format!("{receives}\n"));
        let from = root.get("from");
        let listens =
            from.and_then(|from| from.entries().iter().find_map(|(_, node)| node.get("listen")));
        let facts = [
            (&LISTENS, listens),
            (&ACKNOWLEDGED, from.and_then(|from| from.get("ack"))),
            (&ORDERED, root.get("order_by")),
        ];
        for (words, node) in facts {
            if let Some(node) = node {
                self.fact(words, &format!("`{}`", cell(node)));
            }
        }
        for (section, words) in &SECTIONS {
            let entries = root.get(section).map(Node::entries).unwrap_or_default();
            if entries.is_empty() {
                continue;
            }
            let title = self.language.of(words);
            self.line(&format!("\n### {title}\n"));
            self.table(&[if *section == "accept" { &RULE } else { &NAME }, &VALUE]);
            for (key, node) in entries {
                let name = match *section {
                    "accept" => rule(self.language, &key.text),
                    _ => key.text.clone(),
                };
                self.line(&format!("| {name} | `{}` |", cell(node)));
            }
        }
    }

    fn to(&mut self, config: &ChannelConfig, root: &Node) {
        self.head(&TO);
        for destination in &config.destinations {
            let node = root.get("to").and_then(|to| to.get(&destination.name));
            let sends = self.language.of(transport_words(&destination.transport));
            self.line(&format!("### {}\n\n{sends}\n", destination.name));
            for (key, node) in node.map(Node::entries).unwrap_or_default() {
                if RULES.iter().any(|(name, _)| *name == key.text) {
                    let name = rule(self.language, &key.text);
                    let colon = if self.language == Language::Zh { "：" } else { ": " };
                    self.line(&format!("- {name}{colon}`{}`", cell(node)));
                }
            }
            self.line("");
        }
    }

    /// Each field of HL7 v2 that the file names, with the standard's name of it.
    fn fields(&mut self, root: &Node) {
        let mut found = BTreeMap::new();
        for (key, node) in root.entries() {
            if ["accept", "order_by", "search_keys", "to"].contains(&key.text.as_str()) {
                collect(node, &mut found);
            }
        }
        if found.is_empty() {
            return;
        }
        self.text.truncate(self.text.trim_end().len());
        self.line("");
        self.head(&FIELDS);
        self.table(&[&FIELD, &NAME, &KIND]);
        for (path, described) in found {
            let name = described.label.map(|label| self.language.label(label)).unwrap_or_default();
            let kind = described.data_type.unwrap_or_default();
            self.line(&format!("| `{path}` | {name} | {kind} |"));
        }
    }
}

/// The paths in a node's texts and keys that the standard knows.
fn collect(node: &Node, found: &mut BTreeMap<String, Described>) {
    match &node.value {
        Value::Scalar { text, .. } => paths(text, found),
        Value::Sequence(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Mapping(entries) => {
            for (key, node) in entries {
                paths(&key.text, found);
                collect(node, found);
            }
        }
        Value::Null => {}
    }
}

fn paths(text: &str, found: &mut BTreeMap<String, Described>) {
    let part_of_path = |c: char| c.is_ascii_alphanumeric() || "-.[]()*".contains(c);
    for word in text.split(|c| !part_of_path(c)) {
        // `trim(PID-5.1)` holds a path in its brackets.
        let inner = word.find('(').map_or("", |at| word.get(at + 1..).unwrap_or_default());
        for word in [word, inner.trim_end_matches(')')] {
            let Some(path) = Path::parse(word).ok().filter(|path| path.field().is_some()) else {
                continue;
            };
            let known = Version::all().find_map(|version| check(version, &path).ok());
            if let Some(described) = check(Version::DEFAULT, &path).ok().or(known) {
                found.entry(path.to_string()).or_insert(described);
            }
        }
    }
}

const fn source_words(source: &SourceOptions) -> &'static Words {
    match source {
        SourceOptions::Mllp(_) => {
            &Words { en: "HL7 v2 messages over MLLP.", zh: "通过 MLLP 接收 HL7 v2 消息。" }
        }
        SourceOptions::Http(_) => {
            &Words { en: "Messages over HTTP.", zh: "通过 HTTP 接收消息。" }
        }
        SourceOptions::Fhir(_) => {
            &Words { en: "FHIR R4 requests.", zh: "接收 FHIR R4 请求。" }
        }
        SourceOptions::File(_) => {
            &Words { en: "Files from a directory.", zh: "从目录读取文件。" }
        }
        SourceOptions::Topics(_) => &Words {
            en: "Messages of topics inside the engine.",
            zh: "接收引擎内部主题的消息。",
        },
    }
}

const fn transport_words(transport: &TransportOptions) -> &'static Words {
    match transport {
        TransportOptions::Mllp(_) => {
            &Words { en: "HL7 v2 over MLLP.", zh: "通过 MLLP 发送 HL7 v2。" }
        }
        TransportOptions::Webhook(_) => {
            &Words { en: "HTTP calls (webhook).", zh: "HTTP 调用（webhook）。" }
        }
        TransportOptions::File(_) => {
            &Words { en: "Files in a directory.", zh: "写入目录中的文件。" }
        }
        TransportOptions::Topic(_) => {
            &Words { en: "A topic inside the engine.", zh: "发布到引擎内部主题。" }
        }
        TransportOptions::Fhir(_) => {
            &Words { en: "A FHIR R4 server.", zh: "写入 FHIR R4 服务器。" }
        }
        TransportOptions::Resources(_) => &Words {
            en: "The engine's own FHIR store.",
            zh: "写入引擎自身的 FHIR 存储。",
        },
    }
}

/// A node as its file says it, on one line; a value that needs quotes there needs none here.
fn cell(node: &Node) -> String {
    let whole = node.source.text.get(node.span.start..node.span.end);
    let text = node.text().or(whole).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").replace('`', "'").replace('|', "\\|")
}
