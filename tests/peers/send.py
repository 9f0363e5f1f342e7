"""Sends the files named on the command line with the `hl7` library; prints MSA-1 and MSA-2 of each answer."""
import asyncio
import sys

from hl7.mllp import open_hl7_connection


async def main(port, files):
    reader, writer = await asyncio.wait_for(
        open_hl7_connection("127.0.0.1", port, encoding="utf-8"), timeout=20
    )
    import hl7

    for name in files:
        with open(name, encoding="utf-8", newline="") as file:
            message = hl7.parse(file.read())
        writer.writemessage(message)
        await writer.drain()
        answer = await asyncio.wait_for(reader.readmessage(), timeout=20)
        print(answer["MSA"][0][1], answer["MSA"][0][2], flush=True)
    writer.close()


asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
