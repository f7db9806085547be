"""Sends the same frames twice, with everything in each and with references, and prints the bytes of both."""

import argparse
import asyncio
import hashlib
from collections.abc import Iterable
from random import Random

from nnrp.adapters import create_tcp_client_configuration
from nnrp.client import ClientSession, SubmitRequest, dial_client
from nnrp.core import (
    CacheObjectKind,
    CachePutFlags,
    ObjectReferenceBlock,
    SubmitMode,
    TensorDType,
    TensorSectionData,
    TileIndexMode,
    build_camera_reference_block,
    build_tile_index_reference_block,
    pack_tile_index_block,
)

FRAMES = 100
#: Poses and intrinsics of a rig of cameras: some kilobytes that rarely change.
CAMERA = Random(1).randbytes(4096)
TILES = tuple(range(0, 512, 2))
SECTION = TensorSectionData(
    role_id=1, default_codec_id=0, dtype_id=TensorDType.UINT8, tile_payloads=tuple(b"pixels" for _ in TILES)
)
EXPECTED = hashlib.sha256(CAMERA).hexdigest() + f" {TILES}"


def inline(frame_id: int) -> SubmitRequest:
    return SubmitRequest(frame_id=frame_id, tile_ids=TILES, sections=(SECTION,), camera_block=CAMERA)


def referring(frame_id: int, camera: ObjectReferenceBlock, tiles: ObjectReferenceBlock) -> SubmitRequest:
    return SubmitRequest(
        frame_id=frame_id,
        tile_ids=TILES,
        sections=(SECTION,),
        submit_mode=SubmitMode.MIXED,
        camera_reference=camera,
        tile_index_reference=tiles,
    )


async def put(session: ClientSession) -> list[ObjectReferenceBlock]:
    """Store camera and tile index at the server; what frames say instead of them."""
    index = pack_tile_index_block(TILES, mode=TileIndexMode.RAW_U16)
    blocks: list[ObjectReferenceBlock] = []
    for kind, data, build in (
        (CacheObjectKind.CAMERA_BLOCK, CAMERA, build_camera_reference_block),
        (CacheObjectKind.TILE_INDEX_BLOCK, index, build_tile_index_reference_block),
    ):
        # Without REUSABLE the server may forget an object after its first use.
        ack = await session.put_cache(kind=kind, key=data, data=data, flags=CachePutFlags.REUSABLE)
        high, low = ack.key
        blocks.append(build(cache_namespace=0, cache_key_hi=high, cache_key_lo=low))
    return blocks


async def submit(session: ClientSession, requests: Iterable[SubmitRequest]) -> None:
    for request in requests:
        result = await session.submit(request, timeout=10)
        if result.token_chunks != (EXPECTED.encode(),):
            raise SystemExit("the server saw another camera")


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=4433)
    port = arguments.parse_args().port
    config = create_tcp_client_configuration()
    async with dial_client("127.0.0.1", port, config=config) as session:
        await submit(session, (inline(number) for number in range(1, FRAMES + 1)))
        everything = session.stats["bytes_sent"]
        camera, tiles = await put(session)
        await submit(session, (referring(FRAMES + number, camera, tiles) for number in range(1, FRAMES + 1)))
        referred = session.stats["bytes_sent"] - everything
        saved = 100 * (everything - referred) / everything
        print(f"{FRAMES} frames: {everything:,} bytes inline, {referred:,} by reference: {saved:.0f} % saved")


asyncio.run(main())
