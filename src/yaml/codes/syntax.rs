//! E00..: the text is no YAML, or YAML of a kind that is not taken.

use crate::yaml::codes::Explanation;

pub(super) const CODES: &[Explanation] = &[
    Explanation {
        code: "E0001",
        title: "the file cannot be read as YAML",
        text: "Most often a quote, a bracket or the indentation is wrong, or a value holds a character \
               that means something to YAML: `: `, ` #`, or one of , [ ] { } inside braces. Such a value \
               stands in quotes, or on a line of its own. Paths like PID-3(MR).1 and templates like \
               <PID-5> never need quotes.",
        wrong: "text: Ward: <PV1-3.1>",
        right: "text: \"Ward: <PV1-3.1>\"",
    },
    Explanation {
        code: "E0002",
        title: "the file holds bytes that are no text",
        text: "Files are UTF-8 text without control characters. A file saved as GBK or UTF-16 must be \
               saved again as UTF-8; a control character is removed, or written as an escape in double \
               quotes.",
        wrong: "title: \u{1}Sync",
        right: "title: Sync",
    },
    Explanation {
        code: "E0003",
        title: "a tab stands in the indentation",
        text: "YAML allows only blanks there. Most editors can turn tabs into blanks; two for each level \
               are usual.",
        wrong: "from:\n\tmllp: {listen: 0.0.0.0:6661}",
        right: "from:\n  mllp: {listen: 0.0.0.0:6661}",
    },
    Explanation {
        code: "E0004",
        title: "a key is given twice",
        text: "The second would silently replace the first, so it is refused. Keep one.",
        wrong: "owner: a@hospital.example\nowner: b@hospital.example",
        right: "owner: a@hospital.example",
    },
    Explanation {
        code: "E0005",
        title: "tags and directives are not used",
        text: "A value that begins with `!` is a tag to YAML, a line that begins with `%` a directive. \
               Channel files need neither. Put such a value in quotes.",
        wrong: "text: !urgent",
        right: "text: \"!urgent\"",
    },
    Explanation {
        code: "E0006",
        title: "more than one document in a file",
        text: "A line `---` begins a new document. One file holds one channel.",
        wrong: "channel: a\n---\nchannel: b",
        right: "channel: a",
    },
    Explanation {
        code: "E0007",
        title: "the file is too large or too deep",
        text: "At most 4 MiB of text, 64 levels and 200,000 values, aliases counted as what they repeat. \
               Samples and tables belong in files of their own.",
        wrong: "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]   # and so on, twenty times",
        right: "a: [x, x]",
    },
    Explanation {
        code: "E0008",
        title: "an alias repeats nothing",
        text: "`*name` repeats what `&name` marked before it. A value that only begins with `*` or `&` \
               stands in quotes.",
        wrong: "text: *",
        right: "text: \"*\"",
    },
    Explanation {
        code: "E0009",
        title: "a key is no name",
        text: "Keys are single texts. A path with square brackets inside braces is read as a list: put \
               it in quotes, or on a line of its own. Merge keys (`<<`) belong to YAML 1.1.",
        wrong: "{<<: {MSH-5: LIS}}",
        right: "{MSH-5: LIS}",
    },
    Explanation {
        code: "E0010",
        title: "the file is empty",
        text: "A channel file has at least `channel`, `from` and `to`.",
        wrong: "# nothing here",
        right: "channel: adt\nfrom: {mllp: {listen: 0.0.0.0:6661}}\nto: {lis: {mllp: {host: lis, port: 2575}}}",
    },
];
