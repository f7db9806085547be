"""The command `nnrp`, and what handlers that it serves may return.

A handler is a function of a frame, plain or `async`, in a module of yours::

    def handle(submit):
        image = submit.request.sections[0].numpy()
        return 255 - image

    $ nnrp serve app:handle --dev-cert

It returns an answer (:data:`Answer` says what may be one), a :class:`Reply` to say more about it, a
:class:`Drop`, or `None`, which drops the frame too. docs/command.md has the rest.
"""

from nnrp.cli._reply import Answer, Drop, Reply

__all__ = ["Answer", "Drop", "Reply"]
