"""What is read is let go of again."""

import gc
import sys

from frames import STEP, frame

READS = 1000


async def test_looking_at_tensors_leaves_nothing_behind(tcp):
    async with tcp.pair() as (server, client):
        await client.submit_frame(frame(1, b"x" * 3000, b"y" * 3000))
        body = (await server.receive_submit(STEP))._source.body

        def look():
            body.tile_index_block()
            for section in body.sections():
                section.length_table(), section.payload()

        look()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(READS):
            look()
        gc.collect()
        # One block for each read was lost when every slice kept its bounds.
        assert sys.getallocatedblocks() - before < READS // 10
