"""A language model of a few lines whose tokens are streamed as they are made."""
