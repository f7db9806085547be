"""`tracemalloc` may be started and stopped at any time.

CPython 3.11 crashes where it is stopped while a thread makes itself a thread state to call into Python.
"""

from programs import run

#: Where a thread attaches anew each time, the first few of these rounds are enough.
PROGRAM = """
import logging, tracemalloc

class NoReaderLoop(asyncio.SelectorEventLoop):  # as on Windows: a thread of ours calls it
    def add_reader(self, *_):
        raise NotImplementedError

class Counting(logging.Handler):
    records = 0
    def emit(self, record):
        self.records += 1

async def main():
    async with network.pair() as (server, client):
        for number in range(500):
            await client.submit_frame(frame(number))
            receiving = asyncio.create_task(client.receive_result(STEP))
            await server.receive_submit(STEP)
            tracemalloc.start()
            await server.send_result(frame_id=number)
            until = time.monotonic() + 0.001
            while time.monotonic() < until:  # a thread that has something to say waits for the interpreter
                pass
            tracemalloc.stop()
            await receiving

counting = Counting()
logger = logging.getLogger("nnrp")
logger.addHandler(counting)
logger.setLevel(logging.DEBUG)
logger.propagate = False
with asyncio.Runner(loop_factory=LOOP) as runner:
    runner.run(main())
print(counting.records > 500)
"""


def test_while_records_are_logged():
    assert run(PROGRAM.replace("LOOP", "None"), "tcp") == ["True"]


def test_while_a_thread_calls_the_loop():
    program = PROGRAM.replace("logging.DEBUG", "logging.CRITICAL").replace("records > 500", "records == 0")
    assert run(program.replace("LOOP", "NoReaderLoop"), "tcp") == ["True"]
