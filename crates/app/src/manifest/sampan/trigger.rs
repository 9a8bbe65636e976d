//! `[[trigger.topic]]` and `[[trigger.schedule]]`.

use super::dapr::{brokers, report_no_broker};
use crate::dapr::Rule;
use crate::manifest::findings::{Findings, nearest, quoted};
use crate::manifest::tree::{Table, Text};
use crate::manifest::{Source, names};
use crate::{App, Broker, ScheduleTrigger, TopicTrigger, parse_duration};

const RETRIES_MAX: u32 = 1_000_000;
const TOPIC_BYTES_MAX: usize = 1024;
const CRON_HELP: &str =
    "write the five fields of cron, such as \"*/15 * * * *\", six with seconds first, or \"@every 15m\"";
/// Names that stand for fields.
const NICKNAMES: [&str; 8] =
    ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@every"];

pub(super) fn read_all(mut table: Table<'_>, source: &Source<'_>, app: &mut App, f: &mut Findings) {
    for topic in table.tables("topic", f) {
        let topic = read_topic(topic, source, app, f);
        app.topic_triggers.extend(topic);
    }
    for schedule in table.tables("schedule", f) {
        let schedule = read_schedule(schedule, app, f);
        app.schedule_triggers.extend(schedule);
    }
    table.finish(f);
}

fn read_topic(
    mut table: Table<'_>,
    source: &Source<'_>,
    app: &App,
    f: &mut Findings,
) -> Option<TopicTrigger> {
    let help = "add `topic = \"BROKER/TOPIC\"`, where the broker is a [messaging.NAME]";
    let topic = table.require("topic", f, help).and_then(|value| value.string(f));
    let broker = topic.and_then(|topic| broker(topic, source, app, f));
    let to = component(&mut table, app, f);
    let path = path(&mut table, f);
    let dead_letter = table.string("dead_letter", f).and_then(|text| topic_name(text.text, text, f));
    let retries = table.number_u32("retries", 0, RETRIES_MAX, f);
    let rules = table.tables("rules", f).into_iter().filter_map(|rule| read_rule(rule, f)).collect();
    table.finish(f);
    let (broker, topic) = broker?;
    let broker = Broker::Named(broker);
    Some(TopicTrigger { broker, topic, component: to?, path: path?, rules, dead_letter, retries })
}

fn broker(text: Text<'_>, source: &Source<'_>, app: &App, f: &mut Findings) -> Option<(String, String)> {
    let Some((name, topic)) = text.text.split_once('/') else {
        let message = format!("{} names no topic of a broker", quoted(text.text));
        f.error_help(text.span, message, "write \"BROKER/TOPIC\", such as \"events/orders\"");
        return None;
    };
    let topic = topic_name(topic, text, f)?;
    let known = brokers(source, app);
    if !known.contains(&name) {
        report_no_broker(name, text, &known, f);
        return None;
    }
    Some((name.to_owned(), topic))
}

fn topic_name(topic: &str, text: Text<'_>, f: &mut Findings) -> Option<String> {
    let valid = !topic.is_empty() && topic.len() <= TOPIC_BYTES_MAX && !topic.contains(char::is_control);
    if !valid {
        f.error_help(
            text.span,
            format!("{} is not a topic", quoted(topic)),
            "write a name such as \"orders\"",
        );
    }
    valid.then(|| topic.to_owned())
}

fn component(table: &mut Table<'_>, app: &App, f: &mut Findings) -> Option<String> {
    let to = table.require("to", f, "add `to = \"NAME\"` of a component")?.string(f)?;
    if app.components.iter().any(|one| one.name == to.text) {
        return Some(to.text.to_owned());
    }
    let help = match nearest(to.text, app.components.iter().map(|one| one.name.as_str())) {
        Some(one) => format!("did you mean `{one}`?"),
        None => "a component is declared by [component.NAME] with `source`".to_owned(),
    };
    f.error_help(to.span, format!("there is no component {}", quoted(to.text)), help);
    None
}

/// The path of the request that the component gets; `/` where nothing is said.
fn path(table: &mut Table<'_>, f: &mut Findings) -> Option<String> {
    let Some(value) = table.get("path") else { return Some("/".to_owned()) };
    check_path(value.string(f)?, f)
}

fn check_path(text: Text<'_>, f: &mut Findings) -> Option<String> {
    let valid = text.text.starts_with('/') && text.text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !valid {
        f.error_help(text.span, format!("{} is not a path", quoted(text.text)), "write \"/orders\"");
    }
    valid.then(|| text.text.to_owned())
}

fn read_rule(mut rule: Table<'_>, f: &mut Findings) -> Option<Rule> {
    let help = "write { match = \"event.type == 'order'\", path = \"/orders\" }";
    let expression = rule.require("match", f, help).and_then(|value| value.string(f));
    let path = rule.require("path", f, help).and_then(|value| check_path(value.string(f)?, f));
    rule.finish(f);
    Some(Rule { expression: expression?.text.to_owned(), path: path? })
}

fn read_schedule(mut table: Table<'_>, app: &App, f: &mut Findings) -> Option<ScheduleTrigger> {
    let span = table.span;
    let cron = table.require("cron", f, CRON_HELP).and_then(|value| cron(value.string(f)?, f));
    let to = component(&mut table, app, f);
    let path = path(&mut table, f);
    let name = table.string("name", f);
    table.finish(f);
    let to = to?;
    let name = match name {
        Some(name) => names::check(name, "a schedule", f).then(|| name.text.to_owned())?,
        None => format!("{to}-{}", app.schedule_triggers.len() + 1),
    };
    if app.schedule_triggers.iter().any(|other| other.name == name) {
        let message = format!("there are two schedules {}", quoted(&name));
        f.error_help(span, message, "give each a `name` of its own");
        return None;
    }
    Some(ScheduleTrigger { name, cron: cron?, component: to, path: path? })
}

/// The shape of a schedule: what each field may be is the scheduler's to say.
fn cron(text: Text<'_>, f: &mut Findings) -> Option<String> {
    let written = text.text.trim();
    let valid = if let Some(every) = written.strip_prefix("@every ") {
        parse_duration(every.trim()).is_ok()
    } else if written.starts_with('@') {
        NICKNAMES[..NICKNAMES.len() - 1].contains(&written)
    } else {
        let field = |field: &str| field.bytes().all(|b| b.is_ascii_alphanumeric() || b"*/,-?#".contains(&b));
        (5..=6).contains(&written.split_whitespace().count()) && written.split_whitespace().all(field)
    };
    if !valid {
        let help = match nearest(written, NICKNAMES).filter(|_| written.starts_with('@')) {
            Some("@every") | None => CRON_HELP.to_owned(),
            Some(one) => format!("did you mean \"{one}\"?"),
        };
        f.error_help(text.span, format!("{} is no schedule", quoted(text.text)), help);
    }
    valid.then(|| written.to_owned())
}
