"""What all operations of the REST API share: keys, limits, errors, pages, idempotency, and their schema."""
