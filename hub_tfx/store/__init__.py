"""Where modules live: the cache, the fetchers that fill it, and the archives they bring.

ModuleCache().resolve(handle) ──▶ fetcher for its scheme ──▶ verified directory, named by digest
"""
