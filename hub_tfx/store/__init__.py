"""Where modules live: the cache, and the fetchers that fill it."""
