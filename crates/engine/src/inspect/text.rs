//! A report as text for a terminal.

use super::{Item, Memory, Native, Report, Section};
use std::fmt::Write;

/// Where the facts begin, after their labels.
const LABEL_COLUMNS: usize = 12;
/// Names longer than this do not push the column beside them any further.
const MAX_NAME_COLUMNS: usize = 36;
/// Narrower terminals get this and wrap by themselves.
const MIN_WIDTH: usize = 40;
/// Sections smaller than this share of the file are not worth a line of a nested module.
const SMALL_SHARE: u64 = 200;

/// Lays a report out for a terminal of `width` columns. Everything that came from the file is printable here:
/// control characters are escaped.
pub fn render_text(report: &Report, width: usize) -> String {
    let mut page = Page { out: String::new(), width: width.max(MIN_WIDTH) };
    summary(&mut page, report);
    if !report.grants.is_empty() {
        page.title("May need (guessed from its imports)");
        let columns = report.grants.iter().map(|grant| grant.flag.len()).max().unwrap_or(0);
        for grant in &report.grants {
            let why = format!("{} ({})", grant.reason, grant.imports.join(", "));
            page.row(2, grant.flag, columns, &why);
        }
    }
    if !report.native.is_empty() {
        page.title("Native code");
        report.native.iter().for_each(|one| native(&mut page, one));
    }
    if !report.imports.is_empty() {
        page.title("Imports");
        report.imports.iter().for_each(|import| self::import(&mut page, import));
    }
    if !report.exports.is_empty() {
        page.title("Exports");
        items(&mut page, &report.exports, 2);
    }
    sizes(&mut page, report);
    if !report.notes.is_empty() {
        page.title("Notes");
        report.notes.iter().for_each(|note| page.wrapped(2, 2, note));
    }
    if report.left_out > 0 {
        page.title(&format!("({} entries more were left out.)", report.left_out));
    }
    page.out
}

fn summary(page: &mut Page, report: &Report) {
    page.fact("Kind", &report.description);
    page.fact("Size", &format!("{} bytes{}", thousands(report.size_bytes), in_brackets(report.size_bytes)));
    page.fact("SHA-256", &report.wasm_sha256);
    let by_role = |roles: &[&str]| {
        let named = report.producers.iter().filter(|producer| roles.contains(&producer.role.as_str()));
        let texts =
            named.map(|one| format!("{} {}", one.name, short_version(&one.version)).trim().to_owned());
        texts.collect::<Vec<_>>().join(", ")
    };
    match report.language_guess {
        Some(guess) => page.fact("Language", &format!("{guess}, by its looks")),
        None => page.fact("Language", &by_role(&["language"])),
    }
    page.fact("Made with", &by_role(&["processed-by", "sdk"]));
    page.fact("Features", &report.target_features.join(", "));
    for memory in &report.memories {
        page.fact("Memory", &self::memory(memory));
    }
    if report.start_section {
        page.fact("Start", "code runs while it is instantiated (start section)");
    }
    page.fact("Debug", &debug(report));
}

fn debug(report: &Report) -> String {
    let debug = &report.debug;
    let mut parts = Vec::new();
    if debug.dwarf_bytes > 0 {
        parts.push(format!("DWARF ({})", size(debug.dwarf_bytes)));
    }
    if debug.function_names {
        parts.push("function names".to_owned());
    }
    if debug.source_map {
        parts.push("a source map elsewhere".to_owned());
    }
    if parts.is_empty() { "nothing; backtraces show numbers".to_owned() } else { parts.join(", ") }
}

fn memory(memory: &Memory) -> String {
    let maximum = match memory.maximum_bytes {
        Some(bytes) => format!("at most {}", size(bytes)),
        None => "no maximum of its own".to_owned(),
    };
    let shared = if memory.shared { ", shared between threads" } else { "" };
    let wide = if memory.memory64 { ", 64 bits" } else { "" };
    format!("{} at first, {maximum}{shared}{wide}", size(memory.minimum_bytes))
}

fn native(page: &mut Page, native: &Native) {
    let mut text = format!("{}, {}", native.target, size(native.bytes));
    if let Some(signed) = &native.signed {
        let _ = write!(text, ", {}, {}", signed.profile, signed.engine);
    }
    page.wrapped(2, 4, &text);
    if let Some(signed) = &native.signed {
        page.wrapped(4, 6, &format!("settings {}", signed.settings));
        let trust = if native.trusted { "trusted here" } else { "not trusted, so ignored" };
        page.wrapped(4, 6, &format!("signed by key {}: {trust}", signed.key_id));
    }
    if let Some(problem) = &native.problem {
        page.wrapped(4, 6, problem);
    }
}

/// Interfaces come from standards, so their functions are named only; the JSON has types.
fn import(page: &mut Page, import: &Item) {
    if import.kind != "instance" {
        return items(page, std::slice::from_ref(import), 2);
    }
    page.wrapped(2, 4, &import.name);
    let functions = import.items.iter().filter(|item| item.kind == "func");
    let names: Vec<&str> = functions.map(|item| super::short_function(&item.name)).collect();
    if !names.is_empty() {
        page.wrapped(4, 4, &names.join(", "));
    }
}

fn items(page: &mut Page, items: &[Item], indent: usize) {
    let columns = items
        .iter()
        .filter(|item| item.items.is_empty())
        .map(|item| item.name.chars().count())
        .filter(|&columns| columns <= MAX_NAME_COLUMNS)
        .max()
        .unwrap_or(0);
    for item in items {
        if item.items.is_empty() {
            let ty = item.ty.as_deref().unwrap_or(item.kind);
            page.row(indent, &item.name, columns, &described(item.kind, ty));
        } else {
            page.wrapped(indent, indent + 2, &item.name);
            self::items(page, &item.items, indent + 2);
        }
    }
}

/// A type that does not say what kind of thing it is of gets the word before it.
fn described(kind: &str, ty: &str) -> String {
    match kind {
        "type" if ty != "resource" && ty != "type" => format!("type {ty}"),
        "value" if ty != "value" => format!("value {ty}"),
        _ => ty.to_owned(),
    }
}

/// Names and sizes in two columns; nested modules are indented by their depth.
fn sizes(page: &mut Page, report: &Report) {
    let total = report.size_bytes;
    let mut rows = Vec::new();
    sections(&mut rows, &report.sections, total, 2, 0);
    for nested in &report.nested {
        let indent = 2 * nested.depth as usize;
        let name = nested.name.as_ref().map_or(String::new(), |name| format!(" {name}"));
        rows.push((indent, format!("{}{name}", nested.kind), share(nested.bytes, total)));
        sections(&mut rows, &nested.sections, total, indent + 2, total / SMALL_SHARE);
    }
    let ends = rows.iter().map(|(indent, name, _)| indent + name.chars().count());
    let column = ends.filter(|&end| end <= MAX_NAME_COLUMNS).max().unwrap_or(0);
    page.title("Size by section");
    for (indent, name, text) in rows {
        page.row(indent, &name, column.saturating_sub(indent), &text);
    }
}

/// The largest first.
fn sections(
    rows: &mut Vec<(usize, String, String)>,
    sections: &[Section],
    total: u64,
    indent: usize,
    at_least: u64,
) {
    let mut sorted: Vec<&Section> = sections.iter().filter(|section| section.bytes >= at_least).collect();
    sorted.sort_by_key(|section| std::cmp::Reverse(section.bytes));
    for section in sorted {
        let name = if section.custom { format!("custom {}", section.name) } else { section.name.clone() };
        let count = match (section.count, section.name.as_str()) {
            (Some(count), "code") => format!("  {} functions", thousands(count)),
            (Some(count), _) if !section.custom && count > 1 => format!("  {} entries", thousands(count)),
            _ => String::new(),
        };
        rows.push((indent, name, format!("{}{count}", share(section.bytes, total))));
    }
}

/// A size and its share of the whole: `  1.2 MiB  63 %`.
fn share(bytes: u64, total: u64) -> String {
    let percent = match u128::from(bytes) * 100 / u128::from(total.max(1)) {
        0 => "<1".to_owned(),
        percent => percent.to_string(),
    };
    format!("{:>10}  {percent:>3} %", size(bytes))
}

/// A size as a person says it: `17 bytes`, `1.2 MiB`.
fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1024 => return format!("{bytes} bytes"),
        1024..0x10_0000 => (1 << 10, "KiB"),
        0x10_0000..0x4000_0000 => (1 << 20, "MiB"),
        _ => (1_u64 << 30, "GiB"),
    };
    // One decimal, rounded down, and none where it is zero.
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    match tenths % 10 {
        0 => format!("{} {name}", tenths / 10),
        tenth => format!("{}.{tenth} {name}", tenths / 10),
    }
}

fn in_brackets(bytes: u64) -> String {
    if bytes < 1024 { String::new() } else { format!(" ({})", size(bytes)) }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1.95.0 (abc 2026-01-01)` → `1.95.0`: hashes and dates are for the JSON.
fn short_version(version: &str) -> &str {
    version.split(" (").next().unwrap_or(version)
}

/// Lines of text under construction.
struct Page {
    out: String,
    width: usize,
}

impl Page {
    fn title(&mut self, title: &str) {
        self.out.push('\n');
        self.wrapped(0, 2, title);
    }

    /// A labelled fact; nothing if there is nothing to say.
    fn fact(&mut self, label: &str, text: &str) {
        if !text.is_empty() {
            self.row(0, label, LABEL_COLUMNS - 2, text);
        }
    }

    /// A name, then text in a column of its own. A name that is too long for it gets the line above.
    fn row(&mut self, indent: usize, name: &str, name_columns: usize, text: &str) {
        let (name, text) = (printable(name), printable(text));
        let columns = name.chars().count();
        let text_columns = text.chars().count();
        let mut column = indent + name_columns + 2;
        let fits = columns <= name_columns;
        if fits && column + text_columns > self.width && column * 2 > self.width {
            // Little room beside the name: the text goes on below it.
            column = indent + 4;
        }
        if fits {
            let start = format!("{:indent$}{name:name_columns$}  ", "");
            self.flow(&start, column, &text);
        } else if column + text_columns <= self.width {
            let _ = writeln!(self.out, "{:indent$}{name}\n{:column$}{text}", "", "");
        } else {
            self.flow(&format!("{:indent$}{name}  ", ""), indent + 4, &text);
        }
    }

    fn wrapped(&mut self, indent: usize, hanging: usize, text: &str) {
        self.flow(&" ".repeat(indent), hanging, &printable(text));
    }

    /// Text after `start`, wrapped between words to the width; further lines begin at column `hanging`.
    fn flow(&mut self, start: &str, hanging: usize, text: &str) {
        let mut line = start.to_owned();
        let mut columns = start.chars().count();
        // Spaces in the text, of tables for instance, are kept as they are.
        for word in text.split_inclusive(' ') {
            let word_columns = word.trim_end().chars().count();
            if columns + word_columns > self.width && columns > hanging {
                self.out.push_str(line.trim_end());
                self.out.push('\n');
                line = " ".repeat(hanging);
                columns = hanging;
            }
            line.push_str(word);
            columns += word.chars().count();
        }
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }
}

/// Names in a file are anybody's: nothing in them may steer the terminal or turn text around.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let steers = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if steers {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
