"""What a program does with Docker's library for Python, on an engine with the image `guests`."""

import io
import socket
import tarfile
import time

import docker

client = docker.from_env()
assert client.ping()
assert client.version()["ApiVersion"] == "1.47"

# Programs that run to their end.
assert client.containers.run("guests", ["lines", "2"], remove=True) == b"0\n1\n"
try:
    client.containers.run("guests", ["3"], entrypoint="/exit.wasm", remove=True)
    raise AssertionError("an exit code of 3 is an error")
except docker.errors.ContainerError as error:
    assert error.exit_status == 3, error

# One that goes on.
one = client.containers.run("guests", "sleep", entrypoint="/endless.wasm", detach=True, name="one", labels={"a": "b"})
assert [found.name for found in client.containers.list(filters={"label": "a=b"})] == ["one"]
assert one.exec_run(["/streams.wasm", "lines", "2"]) == (0, b"0\n1\n")
assert one.exec_run(["/streams.wasm", "both", "1"], demux=True) == (0, (b"out 0\n", b"err 0\n"))
assert list(one.exec_run(["/streams.wasm", "lines", "2"], stream=True).output) != []
assert one.exec_run(["/exit.wasm", "4"]).exit_code == 4
stats = one.stats(stream=False)
assert stats["memory_stats"]["usage"] > 0 and stats["precpu_stats"]["system_cpu_usage"] > 0, stats
assert any(row[-1] == "/endless.wasm sleep" for row in one.top()["Processes"])

archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    entry = tarfile.TarInfo("put.txt")
    entry.size = 3
    tar.addfile(entry, io.BytesIO(b"abc"))
assert one.put_archive("/", archive.getvalue())
pieces, stat = one.get_archive("/put.txt")
assert stat["name"] == "put.txt" and stat["size"] == 3 and b"abc" in b"".join(pieces)

one.kill()
assert one.wait()["StatusCode"] == 137
one.reload()
assert one.status == "exited" and one.attrs["State"]["ExitCode"] == 137
assert one.logs() == b"started\n"
one.remove()

# Input by a socket, which ends before the output does.
made = client.api.create_container("guests", ["upper"], stdin_open=True)
attached = client.api.attach_socket(made["Id"], {"stdin": 1, "stdout": 1, "stream": 1})
client.api.start(made["Id"])
attached._sock.sendall(b"typed\n")
attached._sock.shutdown(socket.SHUT_WR)
output = b""
while piece := attached._sock.recv(1000):
    output += piece
assert output == b"\x01\0\0\0\0\0\0\x06TYPED\n", output
# It was made without StdinOnce: that its client left is not the end of its input.
client.api.remove_container(made["Id"], force=True)

# Images, volumes, networks.
image = client.images.get("guests")
assert image.tag("named", "1") and "named:1" in client.images.get("guests").tags
saved = b"".join(image.save(named=True))
client.images.remove("named:1")
assert client.images.load(saved)[0].id == image.id
built, _ = client.images.build(fileobj=io.BytesIO(b"FROM guests\nLABEL made=here\n"), tag="built")
assert built.labels["made"] == "here"
volume = client.volumes.create("kept", labels={"c": "d"})
assert [found.name for found in client.volumes.list(filters={"label": "c=d"})] == ["kept"]
volume.remove()
network = client.networks.create("front")
assert "front" in [found.name for found in client.networks.list()]
network.remove()

# What goes wrong has its own exceptions.
for wrong, error in [
    (lambda: client.containers.get("missing"), docker.errors.NotFound),
    (lambda: client.images.get("missing"), docker.errors.ImageNotFound),
    (lambda: client.volumes.get("missing"), docker.errors.NotFound),
    (lambda: client.networks.get("missing"), docker.errors.NotFound),
    (lambda: client.containers.run("guests", privileged=True), docker.errors.APIError),
]:
    try:
        wrong()
        raise AssertionError(f"{error} was expected")
    except error:
        pass

now = time.time()
actions = {event["Action"] for event in client.events(since=1, until=now, decode=True)}
assert {"create", "start", "die", "destroy"} <= actions, actions
print("all is well")
