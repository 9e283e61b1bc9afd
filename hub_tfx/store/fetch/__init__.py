"""One file per kind of handle; ``base`` says what a fetcher is and knows them all."""
