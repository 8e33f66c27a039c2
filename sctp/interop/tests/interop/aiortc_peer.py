"""aiortc's SCTP on standard input and output: a letter, a length of four bytes, and that many bytes.

P is a packet, U says that the association is up, C that it is over, M is a message that arrived. S sends one: first come whether it is
ordered, the policy (0 reliable, 1 retransmissions, 2 milliseconds), and its value in four bytes. X ends the association.
"""

import asyncio
import struct
import sys
import time

from aiortc.rtcsctptransport import RTCSctpTransport

begins = sys.argv[1] == "begin"


def tell(kind, data=b""):
    sys.stdout.buffer.write(kind + struct.pack("!L", len(data)) + data)
    sys.stdout.buffer.flush()


class Transport:
    """What aiortc takes for DTLS."""

    state = "connected"
    _role = "client" if begins else "server"
    receiver = None

    def _register_data_receiver(self, receiver):
        self.receiver = receiver

    def _unregister_data_receiver(self, receiver):
        self.receiver = None

    async def _send_data(self, data):
        tell(b"P", data)


class Sctp(RTCSctpTransport):
    async def _init(self):
        if begins:
            await super()._init()

    async def _receive(self, stream_id, pp_id, data):
        tell(b"M", data)

    def _set_state(self, state):
        super()._set_state(state)
        if state == self.State.ESTABLISHED:
            tell(b"U")
        elif state == self.State.CLOSED:
            tell(b"C")


async def main():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport = Transport()
    sctp = Sctp(transport)
    await sctp.start(None, 5000)
    while True:
        try:
            kind, length = struct.unpack("!cL", await reader.readexactly(5))
            data = await reader.readexactly(length)
        except asyncio.IncompleteReadError:
            return
        if kind == b"P" and transport.receiver:
            await transport.receiver._handle_data(data)
        elif kind == b"S":
            ordered, policy, value = struct.unpack("!BBL", data[:6])
            await sctp._send(
                1,
                53,
                data[6:],
                expiry=time.time() + value / 1000 if policy == 2 else None,
                max_retransmits=value if policy == 1 else None,
                ordered=bool(ordered),
            )
        elif kind == b"X":
            await sctp.stop()


asyncio.run(main())
