"""One route for each thing that an app of Spin's Python SDK can do."""

from componentize_py_types import Err
from spin_sdk import http, key_value, mysql, postgres, redis, sqlite, variables
from spin_sdk.http import Request, Response
from spin_sdk.sqlite import Value_Integer, Value_Text
from spin_sdk.util import collect
from spin_sdk.wit.imports import spin_mysql_mysql_3_0_0 as my
from spin_sdk.wit.imports import spin_postgres_postgres_4_2_0 as pg


class HttpHandler(http.Handler):
    async def handle_request(self, request: Request) -> Response:
        match request.headers.get("spin-path-info"):
            case "/hello":
                return text("hello from Python\n")
            case "/headers":
                ours = sorted((name, value) for name, value in request.headers.items() if name.startswith("spin-"))
                return text("".join(f"{name}: {value}\n" for name, value in ours))
            case "/echo":
                return Response(201, {"x-method": request.method}, request.body)
            case "/variable":
                return text(await variables.get("greeting"))
            case "/count":
                return text(await count())
            case "/key-value":
                return text(await key_values())
            case "/outbound":
                return text(await outbound())
            case "/sqlite":
                return text(await pets_in_sqlite())
            case "/redis":
                return text(await with_redis())
            case "/mysql":
                return text(await pets_in_mysql())
            case "/postgres":
                return text(await pets_in_postgres())
            case "/fail":
                raise RuntimeError("as asked")
        return Response(404, {}, b"not here")


def text(body: str) -> Response:
    return Response(200, {"content-type": "text/plain"}, bytes(body, "utf-8"))


async def count() -> str:
    with await key_value.open_default() as store:
        before = await store.get("count")
        following = str(1 + int(before or b"0"))
        await store.set("count", bytes(following, "utf-8"))
        return following


async def key_values() -> str:
    with await key_value.open_default() as store:
        await store.set("a", b"one")
        value = await store.get("a")
        keys = await collect(await store.get_keys())
        await store.delete("a")
        try:
            await key_value.open("secret")
            refused = "opened"
        except Err as error:
            refused = type(error.value).__name__
        return f"{value} {'a' in keys} {await store.exists('a')} {refused}"


async def outbound() -> str:
    origin = await variables.get("origin")
    request = Request("POST", f"{origin}/outbound?x=1", {"x-from": "guest"}, b"from the guest")
    response = await http.send(request)
    try:
        await http.send(Request("GET", "http://192.0.2.1/", {}, None))
        refused = False
    except Err:
        refused = True
    return f"{response.status} {str(response.body, 'utf-8')} refused: {refused}"


async def pets_in_sqlite() -> str:
    with await sqlite.Connection.open_default() as database:
        for statement in ["CREATE TABLE IF NOT EXISTS pets (name TEXT, age INTEGER)", "DELETE FROM pets"]:
            await collect(drop_columns(await database.execute(statement, [])))
        pet = [Value_Text("Splodge"), Value_Integer(7)]
        await collect(drop_columns(await database.execute("INSERT INTO pets VALUES (?, ?)", pet)))
        found = await database.execute("SELECT name, age FROM pets WHERE age > ?", [Value_Integer(1)])
        rows = await collect(drop_columns(found))
        return f"{found[0]} {[[value.value for value in row.values] for row in rows]}"


async def with_redis() -> str:
    with await redis.open(await variables.get("redis")) as server:
        await server.set("a", b"one")
        await server.del_(["n"])
        return f"{await server.get('a')} {await server.incr('n')}"


async def pets_in_mysql() -> str:
    with await mysql.open(await variables.get("mysql")) as database:
        await database.execute("CREATE TABLE IF NOT EXISTS pets_python (name TEXT, age INT)", [])
        await database.execute("DELETE FROM pets_python", [])
        pet = [my.ParameterValue_Str("Splodge"), my.ParameterValue_Int32(7)]
        await database.execute("INSERT INTO pets_python VALUES (?, ?)", pet)
        rows = await collect(drop_columns(await database.query("SELECT name, age FROM pets_python", [])))
        return f"{[[value.value for value in row] for row in rows]}"


async def pets_in_postgres() -> str:
    with await postgres.Connection.open(await variables.get("postgres")) as database:
        await database.execute("CREATE TABLE IF NOT EXISTS pets_python (name TEXT, age INT)", [])
        await database.execute("DELETE FROM pets_python", [])
        pet = [pg.ParameterValue_Str("Splodge"), pg.ParameterValue_Int32(7)]
        await database.execute("INSERT INTO pets_python VALUES ($1, $2)", pet)
        rows = await collect(drop_columns(await database.query("SELECT name, age FROM pets_python", [])))
        return f"{[[value.value for value in row] for row in rows]}"


def drop_columns(result):
    """Of columns, rows and how it ended: the last two, as `collect` takes them."""
    return result[1], result[2]
