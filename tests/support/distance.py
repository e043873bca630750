"""A server made far: a TCP proxy that holds every byte back for half a round trip, each way.

    distance.py ADDRESS PORT ROUND_TRIP_MS SECONDS

It listens on a free port of 127.0.0.1, prints that port, and ends by itself: after SECONDS, or when its standard
input closes, because whoever started it is gone. Bandwidth is not limited, and no packet is lost.
Standard library only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

BLOCK = 1 << 16
HELD = 256  # blocks on their way in one direction, after which the sender has to wait


async def _collect(reader: asyncio.StreamReader, way: asyncio.Queue[tuple[float, bytes]], delay: float) -> None:
    """Note of each block when it is due; an empty one is the end."""
    clock = asyncio.get_running_loop().time
    data = b"-"
    while data:
        try:
            data = await reader.read(BLOCK)
        except OSError:
            data = b""
        await way.put((clock() + delay, data))


async def _deliver(way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    clock = asyncio.get_running_loop().time
    with contextlib.suppress(OSError):
        while True:
            due, data = await way.get()
            await asyncio.sleep(due - clock())
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(HELD)
    collecting = asyncio.create_task(_collect(reader, way, delay))
    await _deliver(way, writer)
    collecting.cancel()


async def _serve(address: str, port: int, delay: float, seconds: float) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # To the client we are there at once. Its SYN, the answer and its ACK would have taken three ways.
        await asyncio.sleep(3 * delay)
        try:
            far_reader, far_writer = await asyncio.open_connection(address, port)
        except OSError:
            writer.close()
            return
        for end in (writer, far_writer):
            end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(_carry(reader, far_writer, delay), _carry(far_reader, writer, delay))
        for end in (writer, far_writer):
            end.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    await asyncio.sleep(seconds)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


@contextlib.contextmanager
def proxy(address: str, port: int, round_trip_ms: float, seconds: float) -> Iterator[int]:
    """Run the proxy as a process of its own while the block runs, and give its port on 127.0.0.1."""
    command = [sys.executable, __file__, address, str(port), str(round_trip_ms), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def main() -> None:
    """Run until the time is over or nobody needs it."""
    address, port, round_trip_ms, seconds = sys.argv[1:]
    asyncio.run(_serve(address, int(port), float(round_trip_ms) / 2000, float(seconds)))


if __name__ == "__main__":
    main()
