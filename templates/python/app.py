"""Answers HTTP requests: a component for wasi:http 0.2."""

from urllib.parse import parse_qs, urlsplit

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)

# A stream takes so much at once (wasi:io/streams, blocking-write-and-flush).
PIECE = 4096


def answer(path: str, query: str) -> tuple[int, str]:
    """The status and the text for a request."""
    if path != "/":
        return 404, f"There is no {path} here.\n"
    name = parse_qs(query).get("name", ["world"])[0]
    return 200, f"Hello, {name}!\n"


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        url = urlsplit(request.path_with_query() or "/")
        status, text = answer(url.path, url.query)
        headers = Fields.from_list([("content-type", b"text/plain; charset=utf-8")])
        response = OutgoingResponse(headers)
        response.set_status_code(status)
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        data = text.encode()
        with body.write() as stream:
            for at in range(0, len(data), PIECE):
                stream.blocking_write_and_flush(data[at : at + PIECE])
        OutgoingBody.finish(body, None)
