// A page that counts its visitors, in JavaScript: the fetch event, and Spin's stores by their WIT.
import { Store } from "fermyon:spin/key-value@2.0.0";
import { get as variable } from "fermyon:spin/variables@2.0.0";

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  switch (request.headers.get("spin-path-info")) {
    case "/hello":
      return text("hello from JavaScript\n");
    case "/headers":
      return text([...request.headers].filter(([name]) => name.startsWith("spin-"))
        .map(([name, value]) => `${name}: ${value}\n`).sort().join(""));
    case "/echo":
      return new Response(await request.text(), { status: 201, headers: { "x-method": request.method } });
    case "/variable":
      return text(variable("greeting"));
    case "/count":
      return text(count());
    case "/outbound": {
      const response = await fetch(`${variable("origin")}/outbound?x=1`,
        { method: "POST", headers: { "x-from": "guest" }, body: "from the guest" });
      return text(`${response.status} ${await response.text()}`);
    }
    default:
      return new Response("not here", { status: 404 });
  }
}

function text(body) {
  return new Response(body, { headers: { "content-type": "text/plain" } });
}

function count() {
  const store = Store.open("default");
  const before = store.get("count");
  const next = 1 + Number(before ? new TextDecoder().decode(before) : 0);
  store.set("count", new TextEncoder().encode(String(next)));
  return String(next);
}
