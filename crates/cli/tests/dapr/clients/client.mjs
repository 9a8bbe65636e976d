// The building blocks by npm's @dapr/dapr. Arguments: http or grpc, Dapr's port, the port of Redis or nothing.
import dapr from "@dapr/dapr";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";

const { CommunicationProtocolEnum, DaprClient, StateConcurrencyEnum } = dapr;
const [protocol, daprPort, redis] = process.argv.slice(2);
const communicationProtocol = protocol === "grpc" ? CommunicationProtocolEnum.GRPC : CommunicationProtocolEnum.HTTP;
const client = new DaprClient({ daprHost: "127.0.0.1", daprPort, communicationProtocol });

const firstWrite = { concurrency: StateConcurrencyEnum.CONCURRENCY_FIRST_WRITE };
// Over HTTP the SDK gives the error, over gRPC it throws it.
const refused = (call) => call.then((answer) => assert.notEqual(answer.error, undefined), (error) => assert.ok(error));
for (const store of redis ? ["memory", "sqlite", "redis"] : ["memory", "sqlite"]) {
    const saved = await client.state.save(store, [{ key: "one", value: { n: 1.5 } }, { key: "two", value: "text" }]);
    assert.equal(saved.error, undefined);
    assert.deepEqual(await client.state.get(store, "one"), { n: 1.5 });
    assert.equal((await client.state.getBulk(store, ["one", "two"])).length, 2);
    await client.state.transaction(store, [
        { operation: "upsert", request: { key: "three", value: "3" } },
        { operation: "delete", request: { key: "two" } },
    ]);
    assert.equal(String(await client.state.get(store, "three")), "3");
    assert.equal(await client.state.get(store, "two"), "");
    // The tag of a version guards it, and the first of two writers without one wins.
    const tag = async (key) => (await client.state.getBulk(store, [key]))[0].etag;
    const save = (item) => client.state.save(store, [item]);
    const first = await tag("one");
    assert.equal((await save({ key: "one", value: 2, etag: first, options: firstWrite })).error, undefined);
    await refused(save({ key: "one", value: 3, etag: first, options: firstWrite }));
    await refused(client.state.delete(store, "one", { etag: first, ...firstWrite }));
    assert.equal((await save({ key: protocol, value: 1, options: firstWrite })).error, undefined);
    await refused(save({ key: protocol, value: 2, options: firstWrite }));
    assert.equal(String(await client.state.get(store, "one")), "2");
    await client.state.delete(store, "one");
    assert.equal(await client.state.get(store, "one"), "");
}
assert.equal((await client.pubsub.publish("pubsub", "topic", { n: 1 })).error, undefined);
assert.deepEqual((await client.pubsub.publishBulk("pubsub", "topic", ["a", { n: 2 }])).failedMessages, []);
assert.equal((await client.lock.lock("locks", "r", protocol, 60)).success, true);
assert.equal((await client.lock.unlock("locks", "r", "other")).status, 2);
assert.equal((await client.lock.unlock("locks", "r", protocol)).status, 0);
assert.equal((await client.metadata.get()).id, "shop");
assert.deepEqual(await client.secret.get("secrets", "password"), { password: "s3cret" });
assert.ok((await client.secret.getBulk("secrets")).password);
const created = { fileName: `of-${protocol}` };
await client.binding.send("files", "create", "a text", created);
const got = await client.binding.send("files", "get", undefined, created);
assert.ok(Buffer.from(got.data ?? got).toString().includes("a text"), JSON.stringify(got));
if (redis && protocol === "grpc") {
    const set = (value) => execFileSync("redis-cli", ["-p", redis, "SET", "color", value]);
    set("blue||3");
    const { items } = await client.configuration.get("config", ["color"]);
    assert.equal(items.color.value, "blue");
    let told;
    const changed = new Promise((resolve) => (told = resolve));
    const stream = await client.configuration.subscribeWithKeys("config", ["color"], async (data) => told(data));
    // The SDK does not say when it has subscribed.
    const again = setInterval(() => set("red||4"), 100);
    assert.equal((await changed).items.color.value, "red");
    clearInterval(again);
    stream.stop();
}
await client.stop();
console.log("done");
process.exit(0);
