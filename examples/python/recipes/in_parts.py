import asyncio

from nnrp.arrays import tensor_section
from nnrp.server import ReceivedSubmit, ServerSession

from recipes import model
from recipes.serving import serve


async def answer(session: ServerSession, received: ReceivedSubmit) -> None:
    tiles = received.request.sections[0].numpy()
    for tile_id, tile in zip(received.request.tile_ids, tiles, strict=True):
        output = await asyncio.to_thread(model.run, tile[None])  # as soon as a tile is ready
        sections = (tensor_section(output, role_id=1),)
        last = tile_id == received.request.tile_ids[-1]
        await session.send_part(received, tile_ids=(tile_id,), sections=sections, last=last)


if __name__ == "__main__":
    asyncio.run(serve(answer))
