// Two dice, as JSON. Answers HTTP requests as service workers do.

addEventListener("fetch", (event) => event.respondWith(answer()));

async function answer() {
  const dice = [1, 2].map(() => 1 + Math.floor(Math.random() * 6));
  return new Response(JSON.stringify({ dice }) + "\n", { headers: { "content-type": "application/json" } });
}
