// Answers HTTP requests, as service workers do.

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const url = new URL(request.url);
  if (url.pathname !== "/") {
    return text(404, `There is no ${url.pathname} here.\n`);
  }
  const name = url.searchParams.get("name") ?? "world";
  return text(200, `Hello, ${name}!\n`);
}

function text(status, body) {
  return new Response(body, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}
