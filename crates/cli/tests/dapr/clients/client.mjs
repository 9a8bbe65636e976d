// State, publishing, locks and metadata by npm's @dapr/dapr. Arguments: http or grpc, a host's port.
import dapr from "@dapr/dapr";
import assert from "node:assert/strict";

const { CommunicationProtocolEnum, DaprClient } = dapr;
const [protocol, daprPort] = process.argv.slice(2);
const communicationProtocol = protocol === "grpc" ? CommunicationProtocolEnum.GRPC : CommunicationProtocolEnum.HTTP;
const client = new DaprClient({ daprHost: "127.0.0.1", daprPort, communicationProtocol });

for (const store of ["memory", "sqlite"]) {
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
    await client.state.delete(store, "one");
    assert.equal(await client.state.get(store, "one"), "");
}
assert.equal((await client.pubsub.publish("pubsub", "topic", { n: 1 })).error, undefined);
assert.deepEqual((await client.pubsub.publishBulk("pubsub", "topic", ["a", { n: 2 }])).failedMessages, []);
assert.equal((await client.lock.lock("locks", "r", protocol, 60)).success, true);
assert.equal((await client.lock.unlock("locks", "r", "other")).status, 2);
assert.equal((await client.lock.unlock("locks", "r", protocol)).status, 0);
assert.equal((await client.metadata.get()).id, "shop");
await client.stop();
console.log("done");
process.exit(0);
