"""A camera, a tile index and prompts that are sent once and referred to."""
