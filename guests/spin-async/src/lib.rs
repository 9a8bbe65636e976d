//! Key-value, Redis and variables by Spin's asynchronous interfaces. Steps, separated by `--`, are
//! INTERFACE CALL ARGUMENTS, and each prints a line.

use spin::key_value::key_value::Store;
use spin::redis::redis::{Connection, RedisParameter, RedisResult};
use spin::variables::variables;
use wasip3::cli::{environment, stdout};

wit_bindgen::generate!({
    path: ["../../wit/spin-key-value-3.0.0", "../../wit/spin-redis-3.0.0", "../../wit/spin-variables-3.0.0"],
    inline: "package sampan:guest; world imports {
        import spin:key-value/key-value@3.0.0;
        import spin:redis/redis@3.0.0;
        import spin:variables/variables@3.0.0;
    }",
    world: "sampan:guest/imports",
    generate_all,
});

wasip3::cli::command::export!(Command);

struct Command;

impl wasip3::exports::cli::run::Guest for Command {
    async fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let mut lines = String::new();
        for step in arguments[1..].split(|word| word == "--") {
            let words: Vec<&str> = step.iter().map(String::as_str).collect();
            let said = match *words {
                ["store", name, ref call @ ..] => keyvalue(name, call).await,
                ["redis", address, ref call @ ..] => redis(address, call).await,
                ["variable", name] => {
                    variables::get(name.to_owned()).await.map_err(|error| format!("{error:?}"))
                }
                _ => return Err(()),
            };
            lines.push_str(&said.unwrap_or_else(|error| error));
            lines.push('\n');
        }
        print(lines).await
    }
}

type Said = Result<String, String>;

fn text(value: Option<Vec<u8>>) -> String {
    value.map_or_else(|| "-".to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

async fn keyvalue(name: &str, call: &[&str]) -> Said {
    let said = |error| format!("{error:?}");
    let store = Store::open(name.to_owned()).await.map_err(said)?;
    let key = |key: &str| key.to_owned();
    match *call {
        ["open"] => Ok("open".to_owned()),
        ["get", k] => store.get(key(k)).await.map(text).map_err(said),
        ["set", k, value] => store.set(key(k), value.into()).await.map(|()| "set".to_owned()).map_err(said),
        ["delete", k] => store.delete(key(k)).await.map(|()| "deleted".to_owned()).map_err(said),
        ["exists", k] => store.exists(key(k)).await.map(|there| there.to_string()).map_err(said),
        ["list"] => {
            let (keys, end) = store.get_keys().await;
            let mut keys = keys.collect().await;
            end.await.map_err(said)?;
            keys.sort();
            Ok(keys.join(" "))
        }
        // The result first: a host that waits for its stream to be read would hang.
        ["end-first"] => {
            let (keys, end) = store.get_keys().await;
            end.await.map_err(said)?;
            let mut keys = keys.collect().await;
            keys.sort();
            Ok(keys.join(" "))
        }
        // The result alone.
        ["end-alone"] => {
            let (keys, end) = store.get_keys().await;
            end.await.map_err(said)?;
            drop(keys);
            Ok("ended".to_owned())
        }
        // Many calls wait at once.
        ["at-once", count] => {
            let count = count.parse().map_err(|_| "no number".to_owned())?;
            let writes = (0..count).map(|number: u32| store.set(format!("at-once-{number:03}"), vec![1]));
            let done = futures::future::join_all(writes).await;
            Ok(format!("{} of {count}", done.iter().filter(|one| one.is_ok()).count()))
        }
        _ => Err(format!("no such call: {call:?}")),
    }
}

async fn redis(address: &str, call: &[&str]) -> Said {
    let said = |error| format!("{error:?}");
    let redis = Connection::open(address.to_owned()).await.map_err(said)?;
    let own = |word: &str| word.to_owned();
    let all = |words: &[&str]| words.iter().map(|word| own(word)).collect::<Vec<_>>();
    match *call {
        ["open"] => Ok("open".to_owned()),
        ["publish", channel, payload] => {
            redis.publish(own(channel), payload.into()).await.map(|()| own("published")).map_err(said)
        }
        ["get", key] => redis.get(own(key)).await.map(text).map_err(said),
        ["set", key, value] => redis.set(own(key), value.into()).await.map(|()| own("set")).map_err(said),
        ["incr", key] => redis.incr(own(key)).await.map(|number| number.to_string()).map_err(said),
        ["del", ref keys @ ..] => redis.del(all(keys)).await.map(|number| number.to_string()).map_err(said),
        ["sadd", key, ref values @ ..] => {
            redis.sadd(own(key), all(values)).await.map(|number| number.to_string()).map_err(said)
        }
        ["srem", key, ref values @ ..] => {
            redis.srem(own(key), all(values)).await.map(|number| number.to_string()).map_err(said)
        }
        ["smembers", key] => {
            let mut members = redis.smembers(own(key)).await.map_err(said)?;
            members.sort();
            Ok(members.join(" "))
        }
        ["execute", command, ref words @ ..] => {
            let parameters = words.iter().map(|word| RedisParameter::Binary(word.as_bytes().to_vec()));
            let replies = redis.execute(own(command), parameters.collect()).await.map_err(said)?;
            let shown = replies.into_iter().map(|reply| match reply {
                RedisResult::Nil => own("nil"),
                RedisResult::Status(text) => format!("status {text}"),
                RedisResult::Int64(number) => format!("int {number}"),
                RedisResult::Binary(bytes) => format!("binary {}", text(Some(bytes))),
            });
            Ok(shown.collect::<Vec<_>>().join(", "))
        }
        _ => Err(format!("no such call: {call:?}")),
    }
}

async fn print(text: String) -> Result<(), ()> {
    let (mut sender, receiver) = wasip3::wit_stream::new();
    let write = async {
        let rest = sender.write_all(text.into_bytes()).await;
        drop(sender);
        if rest.is_empty() { Ok(()) } else { Err(()) }
    };
    let (written, sent) = futures::join!(write, stdout::write_via_stream(receiver).into_future());
    written.and(sent.map_err(drop))
}
