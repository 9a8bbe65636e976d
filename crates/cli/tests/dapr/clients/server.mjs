// The app behind Sampan by npm's @dapr/dapr, over HTTP, and a client beside it. Arguments: the app's port, Dapr's.
import dapr from "@dapr/dapr";
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";

const { DaprClient, DaprPubSubStatusEnum, DaprServer, HttpMethod } = dapr;
const [serverPort, daprPort] = process.argv.slice(2);
const daprHost = "127.0.0.1";
const server = new DaprServer({ serverHost: daprHost, serverPort, clientOptions: { daprHost, daprPort } });
const client = new DaprClient({ daprHost, daprPort });
const seen = new EventEmitter();

await server.pubsub.subscribe("pubsub", "one", async (data) => void seen.emit("one", data));
const many = [];
await server.pubsub.subscribeBulk("pubsub", "many", async (data) => many.push(data) === 3 && void seen.emit("many"));
await server.pubsub.subscribeWithOptions("pubsub", "drops", {
    deadLetterTopic: "dead",
    callback: async () => DaprPubSubStatusEnum.DROP,
});
await server.pubsub.subscribe("pubsub", "dead", async (data) => void seen.emit("dead", data));
await server.binding.receive("tick", async () => void seen.emit("tick"));
await server.start();
await server.invoker.listen("echo", async ({ body, query }) => ({ body, query }), { method: HttpMethod.PUT });
const ticked = once(seen, "tick");

const metadata = `http://${daprHost}:${daprPort}/v1.0/metadata`;
while ((await (await fetch(metadata)).json()).subscriptions.length < 4);

const one = once(seen, "one");
assert.equal((await client.pubsub.publish("pubsub", "one", { n: 1 })).error, undefined);
assert.deepEqual(await one, [{ n: 1 }]);
const all = once(seen, "many");
assert.deepEqual((await client.pubsub.publishBulk("pubsub", "many", ["a", { n: 2 }, "c"])).failedMessages, []);
await all;
assert.deepEqual(many, ["a", { n: 2 }, "c"]);
const dead = once(seen, "dead");
await client.pubsub.publish("pubsub", "drops", "lost");
assert.deepEqual(await dead, ["lost"]);
await ticked;
const answer = await client.invoker.invoke("shop", "echo?a=b", HttpMethod.PUT, { n: 1 });
assert.deepEqual(answer, { body: '{"n":1}', query: "/echo?a=b" });
console.log("done");
process.exit(0);
