"""A network namespace of its own, with no way out but a few ports of this machine.

A socket file is seen from every namespace, so each port goes through one. As a program, this runs a
command there: ``elsewhere.py SOCKETS REACHED,… SERVED,… COMMAND…``.
"""

import asyncio
import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _UP = 0x8913, 0x8914, 0x1  # Of linux/sockios.h and linux/if.h.


def unsharing() -> list[str]:
    """What begins a command that is to have a namespace of its own; empty where none is allowed."""
    for command in (["unshare", "--net"], ["unshare", "--net", "--map-root-user"]):
        with suppress(FileNotFoundError):
            if subprocess.run([*command, "true"], stderr=subprocess.DEVNULL).returncode == 0:
                return command
    return []


@contextmanager
def elsewhere(
    sockets: Path, reached: Sequence[int], served: Sequence[int], command: Sequence[str]
) -> Iterator[list[str]]:
    """The command in a namespace that reaches some ports of this machine and serves others.

    Where no namespace is allowed, the command itself.
    """
    begin = unsharing()
    if not begin:
        yield list(command)
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(_bridge(sockets, served, reached), loop).result()
    ports = [",".join(map(str, some)) for some in (reached, served)]
    yield [*begin, sys.executable, __file__, str(sockets), *ports, *command]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


async def _bridge(sockets: Path, out: Sequence[int], coming_in: Sequence[int]) -> None:
    """What calls a port that goes out lands in its socket file; what comes in, at its port."""
    for port in out:
        await asyncio.start_server(_calling(f"{sockets}/{port}"), "localhost", port)
    for port in coming_in:
        await asyncio.start_unix_server(_calling(port), f"{sockets}/{port}")


def _calling(called: str | int):
    async def serve(reader, writer):
        with suppress(OSError):
            if isinstance(called, str):
                far_reader, far_writer = await asyncio.open_unix_connection(called)
            else:
                far_reader, far_writer = await asyncio.open_connection("localhost", called)
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        writer.close()

    return serve


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


def _raise_loopback() -> None:
    with socket.socket() as any_socket:
        named = struct.pack("16sH22x", b"lo", 0)
        (flags,) = struct.unpack("16xH22x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, named))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _UP))


async def _stay(sockets: Path, reached: Sequence[int], served: Sequence[int]) -> None:
    await _bridge(sockets, reached, served)
    await asyncio.Event().wait()


def _main(sockets: str, reached: str, served: str, *command: str) -> None:
    _raise_loopback()
    if os.fork() == 0:  # The command keeps the process id, by which its workers are found.
        ports = [[int(port) for port in some.split(",") if port] for some in (reached, served)]
        asyncio.run(_stay(Path(sockets), *ports))
    os.execvp(command[0], command)


if __name__ == "__main__":
    _main(*sys.argv[1:])
