"""The example does what its page says: tokens come one by one, and leaving early stops the server."""

import re

from processes import line, printed, running


def server(pace):
    return running("token_stream.server", "--port", "0", "--pace", pace)


async def client(process, *arguments):
    port = re.search(r"\d+", await line(process)).group()
    return await printed("token_stream.client", *arguments, "--port", port)


async def test_the_answer_comes_token_by_token_to_its_end():
    async with server("0.05") as serving:
        said = await client(serving, "The client")
        made = re.search(r"frame 1: (\d+) tokens", await line(serving))
    count, took, first = map(float, re.search(r"(\d+) tokens in ([\d.]+) s, .* ([\d.]+) ms", said).groups())
    assert said.startswith("The client ")
    assert count == int(made.group(1)) >= 40
    assert first / 1000 < took / 2, "the first token came long before the last"


async def test_leaving_early_stops_the_server():
    async with server("0.2") as serving:
        said = await client(serving, "The client", "--stop-after", "3")
        stopped = await line(serving)
    assert "3 tokens in" in said
    assert 3 <= int(re.search(r"cancelled after (\d+) tokens", stopped).group(1)) < 40
