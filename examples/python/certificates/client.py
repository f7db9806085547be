"""A camera: it shows its certificate, and checks the server's."""

import argparse
import asyncio
import hashlib
from pathlib import Path

from nnrp.adapters import create_quic_client_configuration, create_tcp_client_configuration
from nnrp.client import SubmitRequest, dial_client
from nnrp.core import TensorDType, TensorSectionData


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path, help="where make.sh put the certificates")
    arguments.add_argument("--transport", choices=("quic", "tcp"), default="tcp")
    arguments.add_argument("--address", default="nnrps://localhost:4433")
    chosen = arguments.parse_args()

    quic = chosen.transport == "quic"
    configure = create_quic_client_configuration if quic else create_tcp_client_configuration
    configuration = configure(
        cafile=chosen.folder / "authority.pem",  # whom we believe; without it the platform decides
        certificate=chosen.folder / "camera.pem",
        private_key=chosen.folder / "camera.key",
    )
    section = TensorSectionData(
        role_id=1, default_codec_id=0, dtype_id=TensorDType.UINT8, tile_payloads=(b"picture",)
    )
    async with dial_client(chosen.address, config=configuration) as session:
        result = await session.submit(
            SubmitRequest(frame_id=1, tile_ids=(0,), sections=(section,)), timeout=5
        )
        print("server", hashlib.sha256(session.peer_certificates[0]).hexdigest()[:16])
        print(bytes(result.sections[0].tile_payloads[0]).decode())


asyncio.run(main())
