//! One route for each thing that an app of Spin's SDK 6.0 can do.

use anyhow::Result;
use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{self, EmptyBody, FullBody, IntoResponse, Request, Response};
use spin_sdk::http_service;
use spin_sdk::key_value::Store;
use spin_sdk::redis::{Connection as Redis, RedisParameter};
use spin_sdk::variables;

#[http_service]
async fn handle(request: Request) -> Result<impl IntoResponse> {
    let path = header(&request, "spin-path-info");
    let mut builder = ::http::Response::builder().status(200).header("content-type", "text/plain");
    let text = match path.as_str() {
        "/hello" => "hello from spin-sdk 6.0\n".to_owned(),
        "/headers" => headers(&request),
        "/echo" => {
            builder = builder.status(201).header("x-method", request.method().as_str());
            String::from_utf8(request.into_body().bytes().await?.to_vec())?
        }
        "/variable" => variables::get("greeting").await?,
        "/key-value" => key_value().await?,
        "/count" => count().await?,
        "/outbound" => outbound().await?,
        "/sqlite" => sqlite().await?,
        "/redis" => redis().await?,
        "/mysql" => mysql().await?,
        "/postgres" => postgres().await?,
        "/fail" => anyhow::bail!("as asked"),
        _ => {
            builder = builder.status(404);
            format!("no {path} here")
        }
    };
    Ok(builder.body(FullBody::new(bytes::Bytes::from(text)))?)
}

fn header(request: &Request, name: &str) -> String {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("none").to_owned()
}

fn headers(request: &Request) -> String {
    let names = request.headers().keys().filter(|name| name.as_str().starts_with("spin-"));
    let mut lines: Vec<String> =
        names.map(|name| format!("{name}: {}\n", header(request, name.as_str()))).collect();
    lines.sort();
    lines.concat()
}

async fn key_value() -> Result<String> {
    let store = Store::open_default().await?;
    store.set("a", b"one").await?;
    let value = store.get("a").await?.map(|value| String::from_utf8_lossy(&value).into_owned());
    let keys = store.get_keys().await.collect().await?.contains(&"a".to_owned());
    store.delete("a").await?;
    let refused = Store::open("secret").await.err();
    Ok(format!("{value:?} {keys} {:?} {refused:?}", store.exists("a").await?))
}

/// Counts in the store, so that what is kept can be seen.
async fn count() -> Result<String> {
    let store = Store::open_default().await?;
    let before =
        store.get("count").await?.map_or(Ok(0), |bytes| String::from_utf8_lossy(&bytes).parse::<u64>())?;
    store.set("count", (before + 1).to_string()).await?;
    Ok((before + 1).to_string())
}

async fn outbound() -> Result<String> {
    let request = ::http::Request::post(format!("{}/outbound?x=1", variables::get("origin").await?))
        .header("x-from", "guest")
        .body(FullBody::new(bytes::Bytes::from("from the guest")))?;
    let response: Response = http::send(request).await?;
    let status = response.status().as_u16();
    let body = String::from_utf8(response.into_body().bytes().await?.to_vec())?;
    let elsewhere = ::http::Request::get("http://192.0.2.1/").body(EmptyBody::new())?;
    let refused = http::send(elsewhere).await.is_err();
    Ok(format!("{status} {body} refused: {refused}"))
}

async fn sqlite() -> Result<String> {
    use spin_sdk::sqlite::{Connection, Value};
    let database = Connection::open_default().await?;
    for statement in ["CREATE TABLE IF NOT EXISTS pets (name TEXT, age INTEGER)", "DELETE FROM pets"] {
        database.execute(statement, []).await?.result().await?;
    }
    let pet = [Value::Text("Splodge".to_owned()), Value::Integer(7)];
    database.execute("INSERT INTO pets VALUES (?, ?)", pet).await?.result().await?;
    let found = database.execute("SELECT name, age FROM pets WHERE age > ?", [Value::Integer(1)]).await?;
    let columns = found.columns().to_vec();
    let rows = found.collect().await?;
    let rows: Vec<_> =
        rows.iter().map(|row| (row.get::<&str>(0).map(str::to_owned), row.get::<i64>(1))).collect();
    let wrong = match database.execute("SELECT nonsense", []).await {
        Ok(result) => result.collect().await.is_err(),
        Err(_) => true,
    };
    let (changes, last) = (database.changes().await, database.last_insert_rowid().await);
    Ok(format!("{columns:?} {rows:?} {wrong} {changes} {last}"))
}

async fn redis() -> Result<String> {
    let text = |error: spin_sdk::redis::Error| anyhow::anyhow!("{error:?}");
    let redis = Redis::open(variables::get("redis").await?).await.map_err(text)?;
    redis.set("a", b"one").await.map_err(text)?;
    let value = redis.get("a").await.map_err(text)?.map(|value| String::from_utf8_lossy(&value).into_owned());
    redis.del(["n", "s"]).await.map_err(text)?;
    let count = redis.incr("n").await.map_err(text)?;
    let added = redis.sadd("s", ["x", "y"]).await.map_err(text)?;
    let mut members = redis.smembers("s").await.map_err(text)?;
    members.sort();
    redis.publish("channel", b"news").await.map_err(text)?;
    let echoed = redis.execute("ECHO", [RedisParameter::Binary(b"hi".to_vec())]).await.map_err(text)?;
    let refused = Redis::open("redis://192.0.2.1").await.is_err();
    Ok(format!("{value:?} {count} {added} {members:?} {echoed:?} {refused}"))
}

async fn mysql() -> Result<String> {
    use spin_sdk::mysql::{Connection, Decode, ParameterValue};
    let database = Connection::open(&variables::get("mysql").await?)?;
    database.execute("CREATE TABLE IF NOT EXISTS pets_6 (name TEXT, age INT)", &[])?;
    database.execute("DELETE FROM pets_6", &[])?;
    let pet = [ParameterValue::Str("Splodge".to_owned()), ParameterValue::Int32(7)];
    database.execute("INSERT INTO pets_6 VALUES (?, ?)", &pet)?;
    let found = database.query("SELECT name, age FROM pets_6 WHERE age > ?", &[ParameterValue::Int32(1)])?;
    let mut rows = Vec::new();
    for row in &found.rows {
        rows.push((String::decode(&row[0])?, i32::decode(&row[1])?));
    }
    let wrong = database.query("SELECT nonsense", &[]).is_err();
    let refused = Connection::open("mysql://root@192.0.2.1/x").is_err();
    Ok(format!("{rows:?} {wrong} {refused}"))
}

async fn postgres() -> Result<String> {
    use spin_sdk::pg::{Connection, ParameterValue};
    let database = Connection::open(variables::get("postgres").await?).await?;
    database.execute("CREATE TABLE IF NOT EXISTS pets_6 (name TEXT, age INT)", []).await?;
    database.execute("DELETE FROM pets_6", []).await?;
    let pet = [ParameterValue::Str("Splodge".to_owned()), ParameterValue::Int32(7)];
    let changed = database.execute("INSERT INTO pets_6 VALUES ($1, $2)", pet).await?;
    let found =
        database.query("SELECT name, age FROM pets_6 WHERE age > $1", [ParameterValue::Int32(1)]).await?;
    let rows = found.collect().await?;
    let rows: Vec<_> = rows.iter().map(|row| (row.get::<String>("name"), row.get::<i32>("age"))).collect();
    let wrong = match database.query("SELECT nonsense", []).await {
        Ok(result) => result.collect().await.is_err(),
        Err(_) => true,
    };
    let refused = Connection::open("postgres://root@192.0.2.1/x").await.is_err();
    Ok(format!("{changed} {rows:?} {wrong} {refused}"))
}
