//! Redis by the Spin interfaces that wait. The first argument is the address; steps, separated by `--`, are
//! INTERFACE CALL ARGUMENTS, and each prints a line. Interfaces: v1 (without version), v2 (2.0.0).

mod of_v1 {
    wit_bindgen::generate!({
        path: "../../wit/spin-unversioned",
        inline: "package sampan:guest; world v1 { import fermyon:spin/redis; }",
        generate_all,
    });
}

mod of_v2 {
    wit_bindgen::generate!({
        path: "../../wit/fermyon-spin-2.0.0",
        inline: "package sampan:guest; world v2 { import fermyon:spin/redis@2.0.0; }",
        generate_all,
    });
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("an address");
    let arguments: Vec<String> = arguments.collect();
    let mut connection = None;
    for step in arguments.split(|word| word == "--") {
        let words: Vec<&str> = step.iter().map(String::as_str).collect();
        let said = match *words {
            ["v1", ref call @ ..] => v1(&address, call),
            ["v2", ref call @ ..] => v2(&mut connection, &address, call),
            _ => panic!("no such step: {words:?}"),
        };
        println!("{}", said.unwrap_or_else(|error| error));
    }
}

type Said = Result<String, String>;

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn sorted(mut words: Vec<String>) -> String {
    words.sort();
    words.join(" ")
}

fn v1(address: &str, call: &[&str]) -> Said {
    use of_v1::fermyon::spin::redis;
    use of_v1::fermyon::spin::redis_types::{RedisParameter, RedisResult};
    let done = match *call {
        ["publish", channel, text] => {
            redis::publish(address, channel, text.as_bytes()).map(|()| "published".into())
        }
        ["get", key] => redis::get(address, key).map(|value| String::from_utf8_lossy(&value).into_owned()),
        ["set", key, value] => redis::set(address, key, value.as_bytes()).map(|()| "set".into()),
        ["incr", key] => redis::incr(address, key).map(|number| number.to_string()),
        ["del", ref keys @ ..] => redis::del(address, &owned(keys)).map(|number| number.to_string()),
        ["sadd", key, ref all @ ..] => {
            redis::sadd(address, key, &owned(all)).map(|number| number.to_string())
        }
        ["srem", key, ref all @ ..] => {
            redis::srem(address, key, &owned(all)).map(|number| number.to_string())
        }
        ["smembers", key] => redis::smembers(address, key).map(sorted),
        ["execute", command, ref all @ ..] => {
            let parameters: Vec<RedisParameter> = all
                .iter()
                .map(|word| match word.parse() {
                    Ok(number) => RedisParameter::Int64(number),
                    Err(_) => RedisParameter::Binary(word.as_bytes().to_vec()),
                })
                .collect();
            let shown = |replies: Vec<RedisResult>| {
                let one = |reply: &RedisResult| match reply {
                    RedisResult::Nil => "nil".to_owned(),
                    RedisResult::Status(text) => format!("status {text}"),
                    RedisResult::Int64(number) => format!("int {number}"),
                    RedisResult::Binary(bytes) => format!("binary {}", String::from_utf8_lossy(bytes)),
                };
                replies.iter().map(one).collect::<Vec<_>>().join(", ")
            };
            redis::execute(address, command, &parameters).map(shown)
        }
        _ => panic!("no such call: {call:?}"),
    };
    done.map_err(|error| error.name().to_owned())
}

fn v2(
    connection: &mut Option<of_v2::fermyon::spin::redis::Connection>,
    address: &str,
    call: &[&str],
) -> Said {
    use of_v2::fermyon::spin::redis::{Connection, Error, RedisParameter, RedisResult};
    let said = |error: Error| format!("{error:?}");
    let redis = match connection {
        Some(redis) => redis,
        None => connection.insert(Connection::open(address).map_err(said)?),
    };
    let done = match *call {
        ["open"] => Ok("open".into()),
        ["publish", channel, text] => redis.publish(channel, text.as_bytes()).map(|()| "published".into()),
        ["get", key] => redis
            .get(key)
            .map(|value| value.map_or("-".into(), |value| String::from_utf8_lossy(&value).into_owned())),
        ["set", key, value] => redis.set(key, value.as_bytes()).map(|()| "set".into()),
        ["incr", key] => redis.incr(key).map(|number| number.to_string()),
        ["del", ref keys @ ..] => redis.del(&owned(keys)).map(|number| number.to_string()),
        ["sadd", key, ref all @ ..] => redis.sadd(key, &owned(all)).map(|number| number.to_string()),
        ["srem", key, ref all @ ..] => redis.srem(key, &owned(all)).map(|number| number.to_string()),
        ["smembers", key] => redis.smembers(key).map(sorted),
        ["open-many"] => {
            let mut more = Vec::new();
            loop {
                match Connection::open(address) {
                    Ok(one) => more.push(one),
                    Err(error) => break Ok(format!("{} and {error:?}", more.len() + 1)),
                }
            }
        }
        ["execute", command, ref all @ ..] => {
            let parameters: Vec<RedisParameter> =
                all.iter().map(|word| RedisParameter::Binary(word.as_bytes().to_vec())).collect();
            let shown = |replies: Vec<RedisResult>| format!("{} replies", replies.len());
            redis.execute(command, &parameters).map(shown)
        }
        _ => panic!("no such call: {call:?}"),
    };
    done.map_err(said)
}
