//! What runs inside of the server: one script is one step.
//!
//! Dapr's layout (dapr/components-contrib, state/redis): a hash with `data`, `version` (a count of the writes) and,
//! once a client has asked for first-write, `first-write`. A record with that mark is not replaced by a write
//! without a condition; what is there without a version, such as a string of Dapr's early days, is.
//! Unlike Dapr's own, a transaction here happens as a whole or not at all: its conditions are looked at first,
//! each as if the writes before it had happened.

use ::redis::Script;
use sampan_app::RedisLayout;

pub struct Scripts {
    /// `{value, version, milliseconds}` for each key; a number alone is the size of what is too large (ARGV[1]).
    pub entries: Script,
    /// Six arguments for each key: operation, condition and its argument, value, milliseconds or nothing, mark.
    /// Answers -1, or the place of the write whose condition does not hold.
    pub transact: Script,
    /// Adds ARGV[1] and answers with the text of the sum; `None` where a command does it.
    pub increment: Option<Script>,
}

impl Scripts {
    pub fn of(layout: RedisLayout) -> Self {
        let (entries, records, increment) = match layout {
            RedisLayout::Plain => (PLAIN_ENTRIES, PLAIN_RECORDS, None),
            RedisLayout::Dapr => (DAPR_ENTRIES, DAPR_RECORDS, Some(Script::new(DAPR_INCREMENT))),
        };
        let transact = Script::new(&format!("{records}{TRANSACT}"));
        Scripts { entries: Script::new(entries), transact, increment }
    }
}

const PLAIN_ENTRIES: &str = "
    local bytes = 0
    for _, key in ipairs(KEYS) do bytes = bytes + redis.call('STRLEN', key) end
    if bytes > tonumber(ARGV[1]) then return bytes end
    local found = {}
    for place, key in ipairs(KEYS) do
        local value = redis.call('GET', key)
        found[place] = {value, false, value and redis.call('PTTL', key) or -1}
    end
    return found";

const DAPR_ENTRIES: &str = "
    local bytes, kinds = 0, {}
    for place, key in ipairs(KEYS) do
        local kind = redis.call('TYPE', key).ok
        kinds[place] = kind
        if kind == 'hash' then bytes = bytes + redis.call('HSTRLEN', key, 'data') end
        if kind == 'string' then bytes = bytes + redis.call('STRLEN', key) end
    end
    if bytes > tonumber(ARGV[1]) then return bytes end
    local found = {}
    for place, key in ipairs(KEYS) do
        local value, version = false, false
        if kinds[place] == 'hash' then
            local fields = redis.call('HMGET', key, 'data', 'version')
            value, version = fields[1], fields[2]
        elseif kinds[place] == 'string' then
            value = redis.call('GET', key)
        end
        found[place] = {value, version, value and redis.call('PTTL', key) or -1}
    end
    return found";

/// What [`TRANSACT`] needs to know of a layout.
const PLAIN_RECORDS: &str = "
    local marks = false
    local function load(key)
        return {there = redis.call('EXISTS', key) == 1}
    end
    local function value_of(key)
        return redis.call('GET', key)
    end
    local function set(key, value, ttl)
        if ttl == '' then redis.call('SET', key, value) else redis.call('SET', key, value, 'PX', ttl) end
    end";

const DAPR_RECORDS: &str = "
    local marks = true
    local function load(key)
        local kind = redis.call('TYPE', key).ok
        if kind ~= 'hash' then return {there = kind == 'string'} end
        local fields = redis.call('HMGET', key, 'version', 'first-write')
        return {there = true, version = fields[1], mark = fields[1] and fields[2]}
    end
    local function value_of(key)
        local kind = redis.call('TYPE', key).ok
        if kind == 'hash' then return redis.call('HGET', key, 'data') end
        return kind == 'string' and redis.call('GET', key)
    end
    local function set(key, value, ttl, mark)
        local kind = redis.call('TYPE', key).ok
        if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', key) end
        redis.call('HSET', key, 'data', value)
        if mark == '1' then redis.call('HSET', key, 'first-write', 0) end
        redis.call('HINCRBY', key, 'version', 1)
        if ttl == '' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, ttl) end
    end";

const TRANSACT: &str = "
    local seen = {}
    local function record(key)
        if not seen[key] then seen[key] = load(key) end
        return seen[key]
    end
    for place, key in ipairs(KEYS) do
        local at = place * 6
        local operation, condition, argument, value = ARGV[at - 5], ARGV[at - 4], ARGV[at - 3], ARGV[at - 2]
        local holds
        if condition == 'always' then
            holds = operation == 'delete' or not marks or not record(key).mark
        elseif condition == 'absent' then
            holds = not record(key).there
        elseif condition == 'version' then
            holds = record(key).version == argument
        else
            local now = record(key)
            if now.there and now.value == nil then now.value = value_of(key) end
            holds = now.there and now.value == argument
        end
        if not holds then return place - 1 end
        if operation == 'delete' then
            seen[key] = {there = false}
        else
            local before = marks and record(key) or {}
            local version = string.format('%.0f', (tonumber(before.version) or 0) + 1)
            local mark = before.mark or (marks and ARGV[at] == '1')
            seen[key] = {there = true, value = value, version = version, mark = mark}
        end
    end
    for place, key in ipairs(KEYS) do
        local at = place * 6
        if ARGV[at - 5] == 'delete' then
            redis.call('DEL', key)
        else
            set(key, ARGV[at - 2], ARGV[at - 1], ARGV[at])
        end
    end
    return -1";

const DAPR_INCREMENT: &str = "
    local key = KEYS[1]
    if redis.call('TYPE', key).ok == 'string' then
        local value, ttl = redis.call('GET', key), redis.call('PTTL', key)
        redis.call('DEL', key)
        redis.call('HSET', key, 'data', value)
        if ttl > 0 then redis.call('PEXPIRE', key, ttl) end
    end
    redis.call('HINCRBY', key, 'data', ARGV[1])
    redis.call('HINCRBY', key, 'version', 1)
    return redis.call('HGET', key, 'data')";
