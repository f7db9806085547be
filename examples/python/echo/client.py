import asyncio

from nnrp.adapters.tcp import create_tcp_client_configuration
from nnrp.client import SubmitRequest, dial_client
from nnrp.core import TensorDType, TensorSectionData


async def main() -> None:
    section = TensorSectionData(
        role_id=1, default_codec_id=0, dtype_id=TensorDType.UINT8, tile_payloads=(b"left", b"right")
    )
    async with dial_client("127.0.0.1", 4433, config=create_tcp_client_configuration()) as session:
        request = SubmitRequest(frame_id=1, tile_ids=(3, 7), sections=(section,))
        result = await session.submit(request, timeout=5)
        if result.is_drop:
            print("dropped:", result.drop_reason)
        else:
            print(result.tile_ids, [bytes(tile) for tile in result.sections[0].tile_payloads])


asyncio.run(main())
