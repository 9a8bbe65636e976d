//! One route for each thing that an app of Spin's SDK 2.2 can do.

use anyhow::Result;
use spin_sdk::http::{Method, Request, Response};
use spin_sdk::http_component;
use spin_sdk::key_value::Store;
use spin_sdk::redis::{Connection as Redis, RedisParameter};
use spin_sdk::variables;

#[http_component]
async fn handle(request: Request) -> Result<Response> {
    let path = request.header("spin-path-info").and_then(|path| path.as_str()).unwrap_or("none");
    let text = match path {
        "/hello" => "hello from spin-sdk 2.2\n".to_owned(),
        "/headers" => headers(&request),
        "/echo" => return Ok(echo(request)),
        "/variable" => variables::get("greeting")?,
        "/key-value" => key_value()?,
        "/count" => count()?,
        "/outbound" => outbound().await?,
        "/sqlite" => sqlite()?,
        "/redis" => redis()?,
        "/mysql" => mysql()?,
        "/postgres" => postgres()?,
        "/fail" => anyhow::bail!("as asked"),
        _ => return Ok(Response::new(404, format!("no {path} here"))),
    };
    Ok(Response::builder().status(200).header("content-type", "text/plain").body(text).build())
}

fn headers(request: &Request) -> String {
    let mut lines: Vec<String> = request
        .headers()
        .filter(|(name, _)| name.starts_with("spin-"))
        .map(|(name, value)| format!("{name}: {}\n", value.as_str().unwrap_or("?")))
        .collect();
    lines.sort();
    lines.concat()
}

fn echo(request: Request) -> Response {
    let method = request.method().to_string();
    Response::builder().status(201).header("x-method", method).body(request.into_body()).build()
}

fn key_value() -> Result<String> {
    let store = Store::open_default()?;
    store.set("a", &b"one".to_vec())?;
    let value = store.get("a")?.map(|value| String::from_utf8_lossy(&value).into_owned());
    let keys = store.get_keys()?.contains(&"a".to_owned());
    store.delete("a")?;
    let refused = Store::open("secret").err();
    Ok(format!("{value:?} {keys} {:?} {refused:?}", store.exists("a")?))
}

/// Counts in the store, so that what is kept can be seen.
fn count() -> Result<String> {
    let store = Store::open_default()?;
    let before = store.get("count")?.map_or(Ok(0), |bytes| String::from_utf8_lossy(&bytes).parse::<u64>())?;
    store.set("count", &(before + 1).to_string().into_bytes())?;
    Ok((before + 1).to_string())
}

async fn outbound() -> Result<String> {
    let request = Request::builder()
        .method(Method::Post)
        .uri(format!("{}/outbound?x=1", variables::get("origin")?))
        .header("x-from", "guest")
        .body("from the guest")
        .build();
    let response: Response = spin_sdk::http::send(request).await?;
    let body = String::from_utf8_lossy(response.body()).into_owned();
    let refused: Result<Response, _> = spin_sdk::http::send(Request::get("http://192.0.2.1/")).await;
    Ok(format!("{} {body} refused: {}", response.status(), refused.is_err()))
}

fn sqlite() -> Result<String> {
    use spin_sdk::sqlite::{Connection, Value};
    let database = Connection::open_default()?;
    database.execute("CREATE TABLE IF NOT EXISTS pets (name TEXT, age INTEGER)", &[])?;
    database.execute("DELETE FROM pets", &[])?;
    let pet = [Value::Text("Splodge".to_owned()), Value::Integer(7)];
    database.execute("INSERT INTO pets VALUES (?, ?)", &pet)?;
    let found = database.execute("SELECT name, age FROM pets WHERE age > ?", &[Value::Integer(1)])?;
    let rows: Vec<_> =
        found.rows().map(|row| (row.get::<&str>("name").map(str::to_owned), row.get::<i64>("age"))).collect();
    let wrong = database.execute("SELECT nonsense", &[]).is_err();
    Ok(format!("{:?} {rows:?} {wrong}", found.columns))
}

fn redis() -> Result<String> {
    let redis = Redis::open(&variables::get("redis")?).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let text = |error: spin_sdk::redis::Error| anyhow::anyhow!("{error:?}");
    redis.set("a", &b"one".to_vec()).map_err(text)?;
    let value = redis.get("a").map_err(text)?.map(|value| String::from_utf8_lossy(&value).into_owned());
    redis.del(&["n".to_owned(), "s".to_owned()]).map_err(text)?;
    let count = redis.incr("n").map_err(text)?;
    let added = redis.sadd("s", &["x".to_owned(), "y".to_owned()]).map_err(text)?;
    let mut members = redis.smembers("s").map_err(text)?;
    members.sort();
    redis.publish("channel", &b"news".to_vec()).map_err(text)?;
    let echoed = redis.execute("ECHO", &[RedisParameter::Binary(b"hi".to_vec())]).map_err(text)?;
    let refused = Redis::open("redis://192.0.2.1").is_err();
    Ok(format!("{value:?} {count} {added} {members:?} {echoed:?} {refused}"))
}

fn mysql() -> Result<String> {
    use spin_sdk::mysql::{Connection, Decode, ParameterValue};
    let database = Connection::open(&variables::get("mysql")?)?;
    database.execute("CREATE TABLE IF NOT EXISTS pets_2 (name TEXT, age INT)", &[])?;
    database.execute("DELETE FROM pets_2", &[])?;
    let pet = [ParameterValue::Str("Splodge".to_owned()), ParameterValue::Int32(7)];
    database.execute("INSERT INTO pets_2 VALUES (?, ?)", &pet)?;
    let found = database.query("SELECT name, age FROM pets_2 WHERE age > ?", &[ParameterValue::Int32(1)])?;
    let mut rows = Vec::new();
    for row in &found.rows {
        rows.push((String::decode(&row[0])?, i32::decode(&row[1])?));
    }
    let wrong = database.query("SELECT nonsense", &[]).is_err();
    let refused = Connection::open("mysql://root@192.0.2.1/x").is_err();
    Ok(format!("{rows:?} {wrong} {refused}"))
}

fn postgres() -> Result<String> {
    use spin_sdk::pg::{Connection, Decode, ParameterValue};
    let database = Connection::open(&variables::get("postgres")?)?;
    database.execute("CREATE TABLE IF NOT EXISTS pets_2 (name TEXT, age INT)", &[])?;
    database.execute("DELETE FROM pets_2", &[])?;
    let pet = [ParameterValue::Str("Splodge".to_owned()), ParameterValue::Int32(7)];
    let changed = database.execute("INSERT INTO pets_2 VALUES ($1, $2)", &pet)?;
    let found = database.query("SELECT name, age FROM pets_2 WHERE age > $1", &[ParameterValue::Int32(1)])?;
    let mut rows = Vec::new();
    for row in &found.rows {
        rows.push((String::decode(&row[0])?, i32::decode(&row[1])?));
    }
    let wrong = database.query("SELECT nonsense", &[]).is_err();
    let refused = Connection::open("postgres://root@192.0.2.1/x").is_err();
    Ok(format!("{changed} {rows:?} {wrong} {refused}"))
}
