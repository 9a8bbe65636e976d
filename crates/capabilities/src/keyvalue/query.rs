//! Questions about values that are JSON: Dapr's query document (docs.dapr.io, "How-To: Query state"; its reader is
//! dapr/components-contrib, state/query).

use super::Entry;
use serde_json::{Map, Value};

/// Entries in one page.
pub const ITEMS_MAX: usize = 1000;
/// Comparisons in one query, each value of an `IN` counting.
const COMPARISONS_MAX: usize = 256;
/// How deep `AND` and `OR` may be nested.
const DEPTH_MAX: usize = 16;
/// Keys to sort by.
const SORT_MAX: usize = 16;
/// The longest path into a value.
const PATH_BYTES_MAX: usize = 512;
/// The longest query document.
const DOCUMENT_BYTES_MAX: usize = 256 << 10;

/// Which values to find, in which order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateQuery {
    /// Only keys that begin with it: whose they are is not a question of filters.
    pub prefix: String,
    pub filter: Option<Filter>,
    /// Equal ones are in the order of their keys.
    pub sort: Vec<Sort>,
    pub limit: Option<usize>,
    /// From the page before.
    pub token: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// A path into the value, as `person.name`.
    pub key: String,
    pub descending: bool,
}

/// What must be true of a value. Paths are written with dots; a value that has nothing there fails every
/// comparison, as one of another type fails those of order.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    Eq(String, Value),
    Neq(String, Value),
    Gt(String, Value),
    Gte(String, Value),
    Lt(String, Value),
    Lte(String, Value),
    In(String, Vec<Value>),
    And(Vec<Filter>),
    Or(Vec<Filter>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryPage {
    pub items: Vec<(String, Entry)>,
    /// For the next page; `None` at the end.
    pub token: Option<String>,
}

impl StateQuery {
    /// Reads a query document; the prefix is left empty.
    pub fn parse(json: &[u8]) -> Result<StateQuery, String> {
        if json.len() > DOCUMENT_BYTES_MAX {
            return Err(format!("the query is larger than {DOCUMENT_BYTES_MAX} bytes"));
        }
        let document: Value =
            serde_json::from_slice(json).map_err(|error| format!("the query is no JSON: {error}"))?;
        let Value::Object(mut document) = document else {
            return Err("the query is no object; write {\"filter\": …}".to_owned());
        };
        let mut query = StateQuery::default();
        let mut left = COMPARISONS_MAX;
        match document.remove("filter") {
            None | Some(Value::Null) => {}
            Some(Value::Object(filter)) if filter.is_empty() => {}
            Some(filter) => query.filter = Some(read_filter(filter, DEPTH_MAX, &mut left)?),
        }
        match document.remove("sort") {
            None | Some(Value::Null) => {}
            Some(Value::Array(sort)) if sort.len() <= SORT_MAX => {
                query.sort = sort.into_iter().map(read_sort).collect::<Result<_, _>>()?;
            }
            Some(_) => return Err(format!("`sort` is a list of at most {SORT_MAX} {{\"key\", \"order\"}}")),
        }
        match document.remove("page") {
            None | Some(Value::Null) => {}
            Some(Value::Object(page)) => read_page(page, &mut query)?,
            Some(_) => return Err("`page` is an object with `limit` and `token`".to_owned()),
        }
        match document.keys().next() {
            Some(key) => Err(format!("the query has an unknown key {key:?}; it has filter, sort and page")),
            None => Ok(query),
        }
    }

    /// How many entries of the whole answer the pages before had.
    pub(super) fn offset(&self) -> Result<u32, super::StoreError> {
        let Some(token) = &self.token else { return Ok(0) };
        let wrong = |_| super::StoreError::Other("the page token is none of this store's".to_owned());
        token.parse().map_err(wrong)
    }
}

fn read_filter(filter: Value, depth: usize, left: &mut usize) -> Result<Filter, String> {
    if depth == 0 {
        return Err(format!("filters are nested deeper than {DEPTH_MAX}"));
    }
    let (name, operand) = single(filter, "a filter is an object with one operator, as {\"EQ\": …}")?;
    if matches!(name.as_str(), "AND" | "OR") {
        let Value::Array(filters) = operand else { return Err(format!("{name} takes a list of filters")) };
        if filters.is_empty() {
            return Err(format!("{name} has no filters"));
        }
        let filters: Result<Vec<Filter>, String> =
            filters.into_iter().map(|filter| read_filter(filter, depth - 1, left)).collect();
        return Ok(if name == "AND" { Filter::And(filters?) } else { Filter::Or(filters?) });
    }
    let make: fn(String, Value) -> Filter = match name.as_str() {
        "EQ" => Filter::Eq,
        "NEQ" => Filter::Neq,
        "GT" => Filter::Gt,
        "GTE" => Filter::Gte,
        "LT" => Filter::Lt,
        "LTE" => Filter::Lte,
        "IN" => in_list,
        _ => {
            return Err(format!("there is no operator {name:?}; use EQ, NEQ, GT, GTE, LT, LTE, IN, AND, OR"));
        }
    };
    let (key, value) = single(operand, &format!("{name} takes an object with one key and its value"))?;
    let count = match &value {
        Value::Array(values) if name == "IN" => values.len(),
        _ if name == "IN" => return Err(format!("IN takes a list of values for {key:?}")),
        _ => 1,
    };
    if count == 0 {
        return Err(format!("IN has no values for {key:?}"));
    }
    *left = left
        .checked_sub(count)
        .ok_or_else(|| format!("a query has at most {COMPARISONS_MAX} comparisons"))?;
    if !matches!(name.as_str(), "EQ" | "NEQ" | "IN") && !matches!(value, Value::Number(_) | Value::String(_))
    {
        return Err(format!("{name} compares numbers and texts only"));
    }
    Ok(make(read_path(key)?, value))
}

fn in_list(key: String, values: Value) -> Filter {
    match values {
        Value::Array(values) => Filter::In(key, values),
        one => Filter::In(key, vec![one]),
    }
}

/// The one entry of an object.
fn single(value: Value, otherwise: &str) -> Result<(String, Value), String> {
    let Value::Object(object) = value else { return Err(otherwise.to_owned()) };
    let mut entries = object.into_iter();
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry),
        _ => Err(otherwise.to_owned()),
    }
}

fn read_path(path: String) -> Result<String, String> {
    let odd = |letter: char| letter.is_control() || matches!(letter, '"' | '\\');
    if path.len() > PATH_BYTES_MAX || path.split('.').any(|part| part.is_empty() || part.contains(odd)) {
        return Err("a key is the names of fields with dots between them, as person.name".to_owned());
    }
    Ok(path)
}

fn read_sort(sort: Value) -> Result<Sort, String> {
    let help = "an item of `sort` is {\"key\": …, \"order\": \"ASC\" or \"DESC\"}";
    let Value::Object(mut sort) = sort else { return Err(help.to_owned()) };
    let Some(Value::String(key)) = sort.remove("key") else { return Err(help.to_owned()) };
    let descending = match sort.remove("order") {
        None => false,
        Some(Value::String(order)) if order.is_empty() || order.eq_ignore_ascii_case("ASC") => false,
        Some(Value::String(order)) if order.eq_ignore_ascii_case("DESC") => true,
        Some(_) => return Err(help.to_owned()),
    };
    if sort.is_empty() { Ok(Sort { key: read_path(key)?, descending }) } else { Err(help.to_owned()) }
}

fn read_page(mut page: Map<String, Value>, query: &mut StateQuery) -> Result<(), String> {
    match page.remove("limit") {
        None | Some(Value::Null) => {}
        Some(limit) => {
            let limit = limit.as_u64().ok_or("`page.limit` is a whole number")?;
            // 0 is what clients send that have none.
            query.limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
        }
    }
    match page.remove("token") {
        None | Some(Value::Null) => {}
        Some(Value::String(token)) => query.token = Some(token).filter(|token| !token.is_empty()),
        Some(_) => return Err("`page.token` is the text from the page before".to_owned()),
    }
    match page.keys().next() {
        Some(key) => Err(format!("`page` has an unknown key {key:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn daprs_own_example_is_read() {
        let document = json!({
            "filter": { "OR": [
                { "EQ": { "person.org": "Dev Ops" } },
                { "AND": [
                    { "EQ": { "person.org": "Finance" } },
                    { "IN": { "state": ["CA", "WA"] } },
                ] },
            ] },
            "sort": [{ "key": "state", "order": "DESC" }, { "key": "person.id" }],
            "page": { "limit": 3, "token": "6" },
        });
        let query = StateQuery::parse(document.to_string().as_bytes()).expect("a query");
        let eq = |value: &str| Filter::Eq("person.org".to_owned(), json!(value));
        let inner =
            Filter::And(vec![eq("Finance"), Filter::In("state".to_owned(), vec![json!("CA"), json!("WA")])]);
        assert_eq!(query.filter, Some(Filter::Or(vec![eq("Dev Ops"), inner])));
        assert_eq!(query.sort[0], Sort { key: "state".to_owned(), descending: true });
        assert_eq!(query.sort[1], Sort { key: "person.id".to_owned(), descending: false });
        assert_eq!((query.limit, query.token.as_deref(), query.prefix.as_str()), (Some(3), Some("6"), ""));
        assert_eq!(StateQuery::parse(b"{}"), Ok(StateQuery::default()));
        assert_eq!(
            StateQuery::parse(br#"{"filter":{},"page":{"limit":0,"token":""}}"#),
            Ok(StateQuery::default())
        );
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let deep =
            format!("{{\"filter\":{}{{\"EQ\":{{\"a\":1}}}}{}}}", "{\"AND\":[".repeat(16), "]}".repeat(16));
        let many = format!("{{\"filter\":{{\"IN\":{{\"a\":[{}1]}}}}}}", "1,".repeat(256));
        let table = [
            ("", "the query is no JSON"),
            ("[]", "the query is no object"),
            (r#"{"filters":{}}"#, "unknown key \"filters\""),
            (r#"{"filter":{"LIKE":{"a":1}}}"#, "there is no operator \"LIKE\""),
            (r#"{"filter":{"EQ":{"a":1,"b":2}}}"#, "EQ takes an object with one key"),
            (r#"{"filter":{"EQ":{"a":1},"NEQ":{"a":1}}}"#, "an object with one operator"),
            (r#"{"filter":{"AND":[]}}"#, "AND has no filters"),
            (r#"{"filter":{"IN":{"a":[]}}}"#, "IN has no values"),
            (r#"{"filter":{"IN":{"a":1}}}"#, "IN takes a list"),
            (r#"{"filter":{"GT":{"a":true}}}"#, "GT compares numbers and texts only"),
            (r#"{"filter":{"EQ":{"a..b":1}}}"#, "a key is the names of fields"),
            (r#"{"filter":{"EQ":{"a\"b":1}}}"#, "a key is the names of fields"),
            (r#"{"sort":[{"key":"a","order":"UP"}]}"#, "an item of `sort`"),
            (r#"{"page":{"limit":-1}}"#, "`page.limit` is a whole number"),
            (r#"{"page":{"limit":1,"size":2}}"#, "unknown key \"size\""),
            (&deep, "nested deeper than 16"),
            (&many, "at most 256 comparisons"),
        ];
        for (document, error) in table {
            let found = StateQuery::parse(document.as_bytes()).expect_err(document);
            assert!(found.contains(error), "{document}: {found}");
        }
    }
}
